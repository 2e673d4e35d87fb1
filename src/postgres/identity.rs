//! As whom Postgres runs: as we are, or, since it refuses root, as an
//! unprivileged user.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{error::PrivateError, layout::Layout};

/// Who runs Postgres.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub uid: u32,
    /// `None`: Postgres runs as we do.
    drop_to: Option<DropTo>,
}

#[derive(Debug, Clone)]
struct DropTo {
    gid: u32,
    name: String,
}

impl Identity {
    /// As root: the owner of an existing cluster, else `postgres`, else `nobody`.
    pub fn choose(layout: &Layout) -> Result<Self, PrivateError> {
        let cluster = layout.cluster();
        let owner = fs::metadata(cluster.path()).ok();
        let uid = own_uid()?;
        match owner {
            Some(owner) if uid == 0 && owner.uid() != 0 => Ok(Self {
                uid: owner.uid(),
                drop_to: Some(DropTo {
                    gid: owner.gid(),
                    name: owner.uid().to_string(),
                }),
            }),
            Some(owner) if owner.uid() != uid => Err(PrivateError::WrongOwner {
                dir: cluster.0,
                owner: owner.uid(),
            }),
            _ if uid == 0 => ["postgres", "nobody"]
                .into_iter()
                .find_map(Self::named)
                .ok_or(PrivateError::NoUser),
            _ => Ok(Self { uid, drop_to: None }),
        }
    }

    fn named(name: &str) -> Option<Self> {
        let uid = id(&["-u", name])?;
        let gid = id(&["-g", name])?;
        let name = name.to_owned();
        // A `postgres` that is root under another name is of no help.
        (uid != 0).then_some(Self {
            uid,
            drop_to: Some(DropTo { gid, name }),
        })
    }

    /// A command that runs as this user, in `dir`, without the settings of
    /// whoever started us.
    pub fn command(&self, program: &Path, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(dir).env("LC_ALL", "C");
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PG") {
                command.env_remove(name);
            }
        }
        if let Some(user) = &self.drop_to {
            command.uid(self.uid).gid(user.gid);
        }
        command
    }

    /// Gives a path to this user.
    pub fn own(&self, path: &Path) -> Result<(), PrivateError> {
        match &self.drop_to {
            Some(user) => chown(path, Some(self.uid), Some(user.gid))
                .map_err(PrivateError::io("change the owner of", path)),
            None => Ok(()),
        }
    }

    /// Whether Postgres runs as somebody else than we do.
    pub fn drops(&self) -> bool {
        self.drop_to.is_some()
    }

    /// Proves that this user can enter `dir`, by doing it.
    pub fn check_reach(&self, dir: &Path) -> Result<(), PrivateError> {
        let Some(user) = &self.drop_to else {
            return Ok(());
        };
        let entered = self
            .command(Path::new("/bin/sh"), dir)
            .args(["-c", ":"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match entered {
            Ok(status) if status.success() => Ok(()),
            _ => Err(PrivateError::OutOfReach {
                user: user.name.clone(),
                path: dir.to_owned(),
                because: self
                    .obstacle(dir)
                    .map(|at| format!(" ({} is closed to it)", at.display()))
                    .unwrap_or_default(),
            }),
        }
    }

    /// The topmost folder on the way to `dir` that the mode bits close.
    fn obstacle(&self, dir: &Path) -> Option<PathBuf> {
        let mut way: Vec<&Path> = dir.ancestors().collect();
        way.reverse();
        let closed = |at: &&&Path| {
            fs::metadata(at).is_ok_and(|folder| {
                let shift = if folder.uid() == self.uid { 6 } else { 0 };
                folder.permissions().mode() >> shift & 1 == 0
            })
        };
        way.iter().find(closed).map(|at| at.to_path_buf())
    }
}

fn own_uid() -> Result<u32, PrivateError> {
    id(&["-u"]).ok_or_else(|| {
        PrivateError::io("run", "id -u")(std::io::Error::other("it gave no user id"))
    })
}

/// `id` knows users of every kind of directory service, /etc/passwd does not.
fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
