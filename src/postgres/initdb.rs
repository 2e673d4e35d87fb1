//! Creates the cluster. It is created in a staging folder, which is renamed when it is
//! complete. So a daemon that is killed in between leaves no incomplete cluster.

use std::{
    fs, io,
    process::{Output, Stdio},
    thread,
    time::Duration,
};

use rand::distr::{Alphanumeric, SampleString as _};

use super::{
    binaries::Binaries,
    constants::ROLE,
    error::PrivateError,
    files::{self, PRIVATE_DIR},
    layout::{Cluster, Layout},
    server_user::ServerUser,
};

/// 32 random letters and digits have 190 bits of entropy.
const PASSWORD_LENGTH: usize = 32;
/// Enough to make the names of staging folders unique.
const STAGING_SUFFIX_LENGTH: usize = 8;
/// How often the removal of a leftover is tried: an `initdb` whose daemon was killed may
/// still be writing to it.
const REMOVE_TRIES: u32 = 20;
const REMOVE_INTERVAL: Duration = Duration::from_millis(100);

/// The major version of an existing cluster. `None` if there is no cluster.
pub(super) fn made_by(layout: &Layout) -> Result<Option<u32>, PrivateError> {
    let path = layout.cluster().version();
    match files::read_optional(&path).map_err(PrivateError::io("read", &path))? {
        None => Ok(None),
        Some(text) => text
            .trim()
            .parse()
            .map(Some)
            .map_err(|_| PrivateError::Damaged {
                path,
                reason: format!("it contains `{}`", text.trim()),
            }),
    }
}

/// Creates the cluster. The caller must hold the folder's lock.
pub(super) fn create(
    layout: &Layout,
    binaries: &Binaries,
    user: &ServerUser,
) -> Result<(), PrivateError> {
    let mut random = rand::rng();
    let staging = layout.staging(&Alphanumeric.sample_string(&mut random, STAGING_SUFFIX_LENGTH));
    let password = Alphanumeric.sample_string(&mut random, PASSWORD_LENGTH);
    prepare(&staging, &password, user)?;
    // Not every system has C.UTF-8. Both locales sort and compare by code point.
    let first = run(&staging, binaries, user, "C.UTF-8")?;
    if !first.status.success() {
        let _ = fs::remove_dir_all(staging.data());
        let second = run(&staging, binaries, user, "C")?;
        if !second.status.success() {
            let _ = fs::remove_dir_all(staging.path());
            return Err(failure(&second));
        }
    }
    publish(layout, &staging)
}

fn prepare(staging: &Cluster, password: &str, user: &ServerUser) -> Result<(), PrivateError> {
    files::make_dir(staging.path(), PRIVATE_DIR)
        .map_err(PrivateError::io("create", staging.path()))?;
    let file = staging.password();
    files::write_secret(&file, password.as_bytes()).map_err(PrivateError::io("write", &file))?;
    user.take_ownership(&file)?;
    user.take_ownership(staging.path())
}

fn run(
    staging: &Cluster,
    binaries: &Binaries,
    user: &ServerUser,
    ctype: &str,
) -> Result<Output, PrivateError> {
    let program = binaries.program("initdb");
    user.command(&program, staging.path())
        .arg("--pgdata")
        .arg(staging.data())
        .arg("--pwfile")
        .arg(staging.password())
        .args(["--username", ROLE])
        .args(["--auth-local=trust", "--auth-host=scram-sha-256"])
        .args(["--encoding=UTF8", "--locale=C", "--data-checksums"])
        .arg(format!("--lc-ctype={ctype}"))
        .stdin(Stdio::null())
        .output()
        .map_err(PrivateError::io("run", program))
}

fn failure(output: &Output) -> PrivateError {
    let text = String::from_utf8_lossy(&output.stderr);
    PrivateError::Initdb {
        output: match text.trim() {
            "" => format!("it printed nothing and ended with {}", output.status),
            text => text.to_owned(),
        },
    }
}

/// Renames the staging folder to the cluster's name. `initdb` has synced its content.
fn publish(layout: &Layout, staging: &Cluster) -> Result<(), PrivateError> {
    let cluster = layout.cluster();
    files::sync(staging.path())
        .and_then(|()| fs::rename(staging.path(), cluster.path()))
        .and_then(|()| files::sync(&layout.root))
        .map_err(PrivateError::io("move the new cluster to", cluster.path()))
}

/// Removes staging folders of killed daemons. The caller must hold the folder's lock.
pub(super) fn remove_leftovers(layout: &Layout) -> Result<(), PrivateError> {
    let entries = fs::read_dir(&layout.root).map_err(PrivateError::io("list", &layout.root))?;
    for entry in entries {
        let entry = entry.map_err(PrivateError::io("list", &layout.root))?;
        let name = entry.file_name();
        if name
            .as_encoded_bytes()
            .starts_with(Layout::STAGING_PREFIX.as_bytes())
        {
            let path = entry.path();
            remove_with_retries(&path).map_err(PrivateError::io("remove", &path))?;
        }
    }
    Ok(())
}

fn remove_with_retries(path: &std::path::Path) -> io::Result<()> {
    for _ in 0..REMOVE_TRIES {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                thread::sleep(REMOVE_INTERVAL);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            done => return done,
        }
    }
    fs::remove_dir_all(path)
}
