//! Looks at the folder of a spool without changing it, also while a daemon uses it.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::{Access, access, statvfs};

use super::error::SpoolError;
use super::folder::{LOCK_FILE, list};
use super::owner::OwnerFile;

/// Permission bits of everybody but the owner.
const OTHERS: u32 = 0o077;

/// What the folder of a spool is like.
#[derive(Clone, Debug)]
pub struct SpoolFolderState {
    /// Whether this process may write there, or create the folder.
    pub writable: bool,
    /// Whether other users may enter it.
    pub open_to_others: bool,
    /// Whether a process holds its lock.
    pub in_use: bool,
    /// The text that names the database of its events, if it is known.
    pub owner: Option<String>,
    /// The events in it.
    pub events: u64,
    /// The bytes of its files.
    pub bytes: u64,
    /// The bytes that are free on its disk.
    pub free_bytes: u64,
    /// Files that are damaged or quarantined.
    pub damaged: u64,
}

/// Looks at the folder of a spool, which need not exist.
///
/// # Errors
/// If it cannot be read.
pub fn look_at(path: &Path) -> Result<SpoolFolderState, SpoolError> {
    let unusable = |source: io::Error| SpoolError::Folder {
        folder: path.to_owned(),
        source,
    };
    // The folder is created below the nearest one that exists.
    let there = path.ancestors().find(|folder| folder.exists());
    let there = there
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let disk = statvfs(there).map_err(|error| unusable(error.into()))?;
    let mut state = SpoolFolderState {
        writable: access(there, Access::WRITE_OK | Access::EXEC_OK).is_ok(),
        open_to_others: false,
        in_use: false,
        owner: None,
        events: 0,
        bytes: 0,
        free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
        damaged: 0,
    };
    if there != path {
        return Ok(state);
    }
    let mode = path.metadata().map_err(unusable)?.permissions().mode();
    state.open_to_others = mode & OTHERS != 0;
    state.in_use = is_locked(path).map_err(unusable)?;
    state.owner = OwnerFile::read(path).map_err(unusable)?.get();
    for file in list(path)? {
        state.events += file.events;
        state.bytes += file.bytes;
        state.damaged += u64::from(file.damaged > 0 || file.quarantined);
    }
    Ok(state)
}

fn is_locked(path: &Path) -> io::Result<bool> {
    let lock = match File::open(path.join(LOCK_FILE)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::spool::{SpoolFolder, SpoolLimits};

    #[test]
    fn a_folder_is_looked_at_and_not_changed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("deep/spool");
        let state = look_at(&path).unwrap();
        assert!(
            state.writable && !state.in_use && state.free_bytes > 0,
            "{state:?}"
        );
        assert!(!root.path().join("deep").exists());
        let limits = SpoolLimits {
            total_bytes: 1 << 20,
            segment_bytes: 1 << 20,
        };
        let spool = SpoolFolder::open(&path, limits, uuid::Uuid::nil()).unwrap();
        spool.set_owner(Some("7/1\nhere\n")).unwrap();
        let counter = std::sync::Arc::default();
        spool.store([(b"payload", 2)], &counter).1.unwrap();
        let state = look_at(&path).unwrap();
        assert!(state.in_use && !state.open_to_others, "{state:?}");
        assert_eq!(
            (state.events, state.owner.as_deref()),
            (2, Some("7/1\nhere\n"))
        );
        drop(spool);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let state = look_at(&path).unwrap();
        assert!(!state.in_use && state.open_to_others, "{state:?}");
    }
}
