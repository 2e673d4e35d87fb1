//! The user that Postgres runs as: the daemon's user or, as Postgres refuses root, an
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

/// The user that runs Postgres.
#[derive(Debug, Clone)]
pub(super) struct ServerUser {
    pub uid: u32,
    /// `None`: Postgres runs as the daemon's user.
    unprivileged: Option<UnprivilegedUser>,
}

#[derive(Debug, Clone)]
struct UnprivilegedUser {
    gid: u32,
    name: String,
}

impl ServerUser {
    /// Chooses the user. For root it is the owner of an existing cluster, else `postgres`,
    /// else `nobody`.
    pub fn choose(layout: &Layout) -> Result<Self, PrivateError> {
        let cluster = layout.cluster();
        let owner = fs::metadata(cluster.path()).ok();
        let uid = current_uid()?;
        match owner {
            Some(owner) if uid == 0 && owner.uid() != 0 => Ok(Self {
                uid: owner.uid(),
                unprivileged: Some(UnprivilegedUser {
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
            _ => Ok(Self {
                uid,
                unprivileged: None,
            }),
        }
    }

    fn named(name: &str) -> Option<Self> {
        let uid = id(&["-u", name])?;
        let gid = id(&["-g", name])?;
        let name = name.to_owned();
        // The name may be another name of root, which Postgres refuses.
        (uid != 0).then_some(Self {
            uid,
            unprivileged: Some(UnprivilegedUser { gid, name }),
        })
    }

    /// A command that runs as this user in `dir`, without the PG* variables of our own
    /// environment.
    pub fn command(&self, program: &Path, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(dir).env("LC_ALL", "C");
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PG") {
                command.env_remove(name);
            }
        }
        if let Some(user) = &self.unprivileged {
            command.uid(self.uid).gid(user.gid);
        }
        command
    }

    /// Makes this user the owner of a path.
    pub fn take_ownership(&self, path: &Path) -> Result<(), PrivateError> {
        match &self.unprivileged {
            Some(user) => chown(path, Some(self.uid), Some(user.gid))
                .map_err(PrivateError::io("change the owner of", path)),
            None => Ok(()),
        }
    }

    /// Whether Postgres runs as another user than the daemon.
    pub fn is_unprivileged(&self) -> bool {
        self.unprivileged.is_some()
    }

    /// Checks that this user can enter `dir`, by running a command there.
    pub fn check_access(&self, dir: &Path) -> Result<(), PrivateError> {
        let Some(user) = &self.unprivileged else {
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
                    .map(|closed| format!(" ({} denies access)", closed.display()))
                    .unwrap_or_default(),
            }),
        }
    }

    /// The topmost folder on the path to `dir` whose mode denies access to this user.
    fn obstacle(&self, dir: &Path) -> Option<PathBuf> {
        const OWNER_EXECUTE: u32 = 0o100;
        const OTHERS_EXECUTE: u32 = 0o001;
        let mut folders: Vec<&Path> = dir.ancestors().collect();
        folders.reverse();
        let is_closed = |folder: &&&Path| {
            fs::metadata(folder).is_ok_and(|folder| {
                let bit = if folder.uid() == self.uid {
                    OWNER_EXECUTE
                } else {
                    OTHERS_EXECUTE
                };
                folder.permissions().mode() & bit == 0
            })
        };
        folders
            .iter()
            .find(is_closed)
            .map(|folder| folder.to_path_buf())
    }
}

fn current_uid() -> Result<u32, PrivateError> {
    id(&["-u"]).ok_or_else(|| {
        PrivateError::io("run", "id -u")(std::io::Error::other("it printed no user id"))
    })
}

/// Runs the program `id`, which also knows users that are not in /etc/passwd, such as LDAP
/// users.
fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
