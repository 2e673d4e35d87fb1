//! File operations: folders with a mode, durable writes, the lock, and the server log.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::{error::PrivateError, layout::Layout};

/// The mode of folders that only their owner may enter.
pub(super) const PRIVATE_DIR: u32 = 0o700;
/// The mode of files that only their owner may read.
const PRIVATE_FILE: u32 = 0o600;
/// A log longer than this is renamed at the next start, so that it cannot grow forever.
const LOG_LIMIT_BYTES: u64 = 1 << 20;
/// How much of the log's end an error shows: enough for the cause, short enough to print.
const TAIL_BYTES: u64 = 8 << 10;
const TAIL_LINES: usize = 20;

/// Creates a folder with exactly this mode. It does not change an existing folder. Returns
/// whether it created the folder.
pub(super) fn make_dir(path: &Path, mode: u32) -> io::Result<bool> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => set_mode(path, mode).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sets a path's permission bits.
pub(super) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Makes a file's content or a folder's entries durable.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Writes a new file that only its owner can read.
pub(super) fn write_secret(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE_FILE)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Replaces a file atomically, also if the machine crashes.
pub(super) fn replace_secret(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    write_secret(&new, content)?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), sync)
}

/// Reads a text file. `None` if it does not exist.
pub(super) fn read_optional(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The lock on the data directory. Dropping it or ending the process releases the lock.
#[derive(Debug)]
pub(super) struct FolderLock(File);

impl Drop for FolderLock {
    /// Unlocks explicitly. Closing the file is not enough, because a child that is being
    /// started may still have a copy of it.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Takes the lock on the data directory. The error names the process that holds it.
pub(super) fn lock(layout: &Layout) -> Result<FolderLock, PrivateError> {
    let path = layout.lock();
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE_FILE)
        .open(&path)
        .map_err(PrivateError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use(layout, &mut file)),
        Err(TryLockError::Error(error)) => return Err(PrivateError::io("lock", path)(error)),
    }
    // The process id is for the error message of a second daemon.
    file.set_len(0)
        .and_then(|()| write!(file, "{}", std::process::id()))
        .map_err(PrivateError::io("write", path))?;
    Ok(FolderLock(file))
}

fn in_use(layout: &Layout, file: &mut File) -> PrivateError {
    let mut text = String::new();
    let holder = match file.read_to_string(&mut text) {
        Ok(_) if text.parse::<u32>().is_ok() => format!(" (process {text})"),
        _ => String::new(),
    };
    PrivateError::InUse {
        dir: layout.root.clone(),
        holder,
    }
}

/// Opens the log for a new server, and renames a long log first. Also returns the log's
/// length in bytes.
pub(super) fn open_log(layout: &Layout) -> io::Result<(File, u64)> {
    let path = layout.log();
    if fs::metadata(&path).is_ok_and(|log| log.len() > LOG_LIMIT_BYTES) {
        fs::rename(&path, layout.old_log())?;
    }
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(PRIVATE_FILE)
        .open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// The log's path and its last lines after byte `from`. No lines if the log cannot be read.
pub(super) fn log_tail(layout: &Layout, from: u64) -> (PathBuf, String) {
    let path = layout.log();
    let text = read_end(&path, from).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(TAIL_LINES);
    (path, lines[first..].join("\n"))
}

fn read_end(path: &Path, from: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(TAIL_BYTES))))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
