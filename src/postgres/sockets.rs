//! Where the server listens: the folder of its unix socket and a TCP port.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::{
    error::PrivateError,
    files::{self, PRIVATE_DIR},
    layout::Layout,
    server_user::ServerUser,
};

/// The longest path of a unix socket, in bytes, without the final NUL.
const SOCKET_PATH_LIMIT: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
/// The longest name of a Postgres socket.
const LONGEST_NAME: &str = ".s.PGSQL.65535";

/// The permission bits of the group and of others.
const GROUP_AND_OTHERS: u32 = 0o077;

/// The folder of the socket; it is created if missing. It is in the data directory, or in
/// the temporary directory if the path would be too long or is not UTF-8.
pub(super) fn folder(layout: &Layout, user: &ServerUser) -> Result<PathBuf, PrivateError> {
    let dir = match layout.sockets() {
        dir if fits(&dir) => dir,
        _ => env::temp_dir().join(format!("runtraced-{:016x}", fingerprint(&layout.root))),
    };
    if files::make_dir(&dir, PRIVATE_DIR).map_err(PrivateError::io("create", &dir))? {
        user.take_ownership(&dir)?;
    }
    // All users can write to the temporary directory, so another user may have created it.
    let metadata = fs::symlink_metadata(&dir).map_err(PrivateError::io("inspect", &dir))?;
    if !metadata.is_dir() || metadata.uid() != user.uid {
        return Err(PrivateError::WrongOwner {
            dir,
            owner: metadata.uid(),
        });
    }
    if metadata.permissions().mode() & GROUP_AND_OTHERS != 0 {
        files::set_mode(&dir, PRIVATE_DIR).map_err(PrivateError::io("change the mode of", &dir))?;
    }
    user.check_access(&dir)?;
    Ok(dir)
}

/// Removes the socket folder of a server that has ended, if it is in the temporary
/// directory and empty.
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

/// A hash that distinguishes data directories. It need not be secure, because the folder's
/// owner is checked.
fn fingerprint(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// A free port on the loopback address: the wanted one if it is free, so that saved URLs
/// keep working.
pub(super) fn free_port(wanted: Option<u16>) -> Result<u16, PrivateError> {
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    wanted
        .and_then(|port| bind(port).ok())
        .map_or_else(|| bind(0), Ok)
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(PrivateError::io("find a free port on", "127.0.0.1"))
}
