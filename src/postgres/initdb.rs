//! Makes the cluster: in a staging folder that is renamed when it is whole,
//! so a daemon killed in between leaves nothing half-done in its place.

use std::{
    fs, io,
    process::{Output, Stdio},
    thread,
    time::Duration,
};

use rand::distr::{Alphanumeric, SampleString as _};

use super::{
    ROLE,
    binaries::Binaries,
    error::PrivateError,
    files,
    identity::Identity,
    layout::{Cluster, Layout},
};

const PASSWORD_LENGTH: usize = 32;
/// How often a leftover is removed: an `initdb` whose daemon was killed may
/// still be writing to it.
const REMOVE_TRIES: u32 = 20;

/// The major version of an existing cluster; `None` when there is none.
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
                reason: format!("it says `{}`", text.trim()),
            }),
    }
}

/// Makes the cluster. The folder's lock must be held.
pub(super) fn create(
    layout: &Layout,
    binaries: &Binaries,
    identity: &Identity,
) -> Result<(), PrivateError> {
    let mut random = rand::rng();
    let staging = layout.staging(&Alphanumeric.sample_string(&mut random, 8));
    let password = Alphanumeric.sample_string(&mut random, PASSWORD_LENGTH);
    prepare(&staging, &password, identity)?;
    // Not every system has C.UTF-8; order and comparison are by code point in both.
    let first = run(&staging, binaries, identity, "C.UTF-8")?;
    if !first.status.success() {
        let _ = fs::remove_dir_all(staging.data());
        let second = run(&staging, binaries, identity, "C")?;
        if !second.status.success() {
            let _ = fs::remove_dir_all(staging.path());
            return Err(failure(&second));
        }
    }
    publish(layout, &staging)
}

fn prepare(staging: &Cluster, password: &str, identity: &Identity) -> Result<(), PrivateError> {
    files::make_dir(staging.path(), 0o700).map_err(PrivateError::io("make", staging.path()))?;
    let file = staging.password();
    files::write_secret(&file, password.as_bytes()).map_err(PrivateError::io("write", &file))?;
    identity.own(&file)?;
    identity.own(staging.path())
}

fn run(
    staging: &Cluster,
    binaries: &Binaries,
    identity: &Identity,
    ctype: &str,
) -> Result<Output, PrivateError> {
    let program = binaries.program("initdb");
    identity
        .command(&program, staging.path())
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
            "" => format!("it ended with {}", output.status),
            text => text.to_owned(),
        },
    }
}

/// `initdb` has synced what is inside.
fn publish(layout: &Layout, staging: &Cluster) -> Result<(), PrivateError> {
    let cluster = layout.cluster();
    files::sync(staging.path())
        .and_then(|()| fs::rename(staging.path(), cluster.path()))
        .and_then(|()| files::sync(&layout.root))
        .map_err(PrivateError::io("put in place", cluster.path()))
}

/// Removes what killed daemons left behind. The folder's lock must be held.
pub(super) fn remove_leftovers(layout: &Layout) -> Result<(), PrivateError> {
    let entries = fs::read_dir(&layout.root).map_err(PrivateError::io("list", &layout.root))?;
    for entry in entries {
        let entry = entry.map_err(PrivateError::io("list", &layout.root))?;
        let name = entry.file_name();
        if name
            .as_encoded_bytes()
            .starts_with(Layout::STAGING.as_bytes())
        {
            let path = entry.path();
            remove_stubbornly(&path).map_err(PrivateError::io("remove", &path))?;
        }
    }
    Ok(())
}

fn remove_stubbornly(path: &std::path::Path) -> io::Result<()> {
    for _ in 0..REMOVE_TRIES {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                thread::sleep(Duration::from_millis(100));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            done => return done,
        }
    }
    fs::remove_dir_all(path)
}
