//! Where the server listens: the folder of its unix socket, and a TCP port.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::{error::PrivateError, files, identity::Identity, layout::Layout};

/// The longest path a unix socket may have, in bytes, without the final NUL.
const SOCKET_PATH_LIMIT: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
/// The longest name that Postgres gives to its socket.
const LONGEST_NAME: &str = ".s.PGSQL.65535";

/// The folder for the socket, made if need be: in the data directory, or in
/// the temporary one when the path would be too long or cannot be in a URL.
pub(super) fn folder(layout: &Layout, identity: &Identity) -> Result<PathBuf, PrivateError> {
    let dir = match layout.sockets() {
        dir if fits(&dir) => dir,
        _ => env::temp_dir().join(format!("runtraced-{:016x}", fingerprint(&layout.root))),
    };
    if files::make_dir(&dir, 0o700).map_err(PrivateError::io("make", &dir))? {
        identity.own(&dir)?;
    }
    // The temporary directory is everybody's: somebody may have been quicker.
    let found = fs::symlink_metadata(&dir).map_err(PrivateError::io("look at", &dir))?;
    if !found.is_dir() || found.uid() != identity.uid {
        return Err(PrivateError::WrongOwner {
            dir,
            owner: found.uid(),
        });
    }
    if found.permissions().mode() & 0o077 != 0 {
        files::set_mode(&dir, 0o700).map_err(PrivateError::io("close", &dir))?;
    }
    identity.check_reach(&dir)?;
    Ok(dir)
}

/// Removes the folder of a server that ended, when it is in the temporary
/// directory. Somebody else's file in it keeps it.
pub(super) fn remove_folder(layout: &Layout, dir: &Path) {
    if dir != layout.sockets() {
        let _ = fs::remove_dir(dir);
    }
}

fn fits(dir: &Path) -> bool {
    let path = dir.join(LONGEST_NAME);
    path.to_str()
        .is_some_and(|path| path.len() <= SOCKET_PATH_LIMIT)
}

/// Only to tell folders apart; the owner is checked.
fn fingerprint(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// A free port on the loopback address: the wanted one when it is free, so
/// that bookmarks stay good.
pub(super) fn free_port(wanted: Option<u16>) -> Result<u16, PrivateError> {
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    wanted
        .and_then(|port| bind(port).ok())
        .map_or_else(|| bind(0), Ok)
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(PrivateError::io("find a free port on", "127.0.0.1"))
}
