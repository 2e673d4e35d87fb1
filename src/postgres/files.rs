//! Small file operations: folders with a mode, durable writes, the lock, the
//! log's rotation and its tail.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::{error::PrivateError, layout::Layout};

/// A log longer than this, in bytes, is moved aside at the next start.
const LOG_LIMIT: u64 = 1 << 20;
/// How much of the log's end an error shows, in bytes and in lines.
const TAIL_BYTES: u64 = 8 << 10;
const TAIL_LINES: usize = 20;

/// Makes one folder with exactly this mode; an existing one is left as it is.
/// Says whether it was made.
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

/// Makes what `path` names durable: a file's content, a folder's entries.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Writes a new file that only its owner reads.
pub(super) fn write_secret(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Replaces a file as a whole, also over a crash.
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

/// Reads a text file; `None` when there is none.
pub(super) fn read_optional(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The folder's lock; it ends with this value or with the process.
#[derive(Debug)]
pub(super) struct FolderLock(File);

impl Drop for FolderLock {
    /// Closing the file is not enough: a child that is just being started
    /// still has a copy of it.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Takes the folder's lock, or says who has it.
pub(super) fn lock(layout: &Layout) -> Result<FolderLock, PrivateError> {
    let path = layout.lock();
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(PrivateError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use(layout, &mut file)),
        Err(TryLockError::Error(error)) => return Err(PrivateError::io("lock", path)(error)),
    }
    // Only for the error that a second daemon shows.
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

/// Opens the log for a new Postgres, after moving a long one aside. Also
/// tells its length so far, in bytes.
pub(super) fn open_log(layout: &Layout) -> io::Result<(File, u64)> {
    let path = layout.log();
    if fs::metadata(&path).is_ok_and(|log| log.len() > LOG_LIMIT) {
        fs::rename(&path, layout.old_log())?;
    }
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// The last lines of the log, none of them before byte `from`, as well as
/// they can be had.
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
