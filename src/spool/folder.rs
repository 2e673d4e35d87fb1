//! A spool in a folder of the real file system: its lock, its id, and a list of its files
//! that works while a daemon uses the folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::directories::{RealDirectories, create_durably};
use super::disk::{DirectoryDisk, Disk as _};
use super::error::SpoolError;
use super::log::{SegmentLog, SpoolLimits};
use super::owner::OwnerFile;
use super::scan::scan;
use super::segment::{quarantined_number, segment_number};
use super::shared::Spool;

/// The file that the daemon locks while it uses the folder. It contains the spool's id.
pub(super) const LOCK_FILE: &str = "spool.lock";
/// How much of the lock file is read. A UUID has 36 characters.
const LOCK_FILE_MAX_BYTES: u64 = 64;
/// Only the daemon's user may enter the folder.
const FOLDER_MODE: u32 = 0o700;
/// The mode of parents, before the process's umask.
const PARENT_MODE: u32 = 0o777;
/// Only the daemon's user may read the lock file.
const LOCK_FILE_MODE: u32 = 0o600;

/// Opens spools in folders.
#[derive(Debug)]
pub struct SpoolFolder;

/// A file of a spool.
#[derive(Clone, Debug)]
pub struct SpoolFile {
    /// The name in the folder.
    pub name: String,
    /// The length.
    pub bytes: u64,
    /// The number of intact frames.
    pub frames: u64,
    /// The number of events in these frames.
    pub events: u64,
    /// The number of damaged places.
    pub damaged: u64,
    /// Bytes after the last intact frame. They are torn, or a daemon is writing them.
    pub tail_bytes: u64,
    /// The process that wrote the file, if the header is intact.
    pub instance: Option<Uuid>,
    /// The format version, if the header is intact.
    pub version: Option<u32>,
    /// Whether the file is quarantined because of damage.
    pub quarantined: bool,
}

impl SpoolFolder {
    /// Opens the spool in a folder, or creates it. `instance` is the id of this process.
    ///
    /// # Errors
    /// If the folder cannot be used, another process uses it, or a newer version wrote
    /// to it.
    pub fn open(path: &Path, limits: SpoolLimits, instance: Uuid) -> Result<Spool, SpoolError> {
        let unusable = |source| SpoolError::Folder {
            folder: path.to_owned(),
            source,
        };
        create_durably(&mut RealDirectories, path, FOLDER_MODE, PARENT_MODE).map_err(unusable)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(LOCK_FILE_MODE)
            .open(path.join(LOCK_FILE))
            .map_err(unusable)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => SpoolError::InUse(path.to_owned()),
            TryLockError::Error(source) => unusable(source),
        })?;
        let id = read_or_create_id(&mut lock).map_err(unusable)?;
        let log = SegmentLog::open(DirectoryDisk::new(path), limits, id, instance)?;
        let owner = OwnerFile::read(path).map_err(unusable)?;
        Ok(Spool::new(id, limits, log, Some(lock)).with_owner(owner))
    }
}

/// Reads the spool's id from the lock file, or writes a new one.
fn read_or_create_id(lock: &mut File) -> io::Result<Uuid> {
    let mut text = String::new();
    lock.take(LOCK_FILE_MAX_BYTES).read_to_string(&mut text)?;
    if let Ok(id) = text.trim().parse() {
        return Ok(id);
    }
    let id = Uuid::now_v7();
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{id}")?;
    lock.sync_all()?;
    Ok(id)
}

/// The folders in a folder whose name is one of a spool, in order; none if there is no such folder.
///
/// # Errors
/// If the folder cannot be read.
pub fn folders_in(path: &Path, is_spool: fn(&str) -> bool) -> Result<Vec<PathBuf>, SpoolError> {
    let unusable = |source| SpoolError::Folder {
        folder: path.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unusable)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unusable)?;
        let is_named = entry.file_name().to_str().is_some_and(is_spool);
        if is_named && entry.file_type().map_err(unusable)?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Lists the files of a spool, oldest first. It only reads, so it can be called while a
/// daemon uses the folder.
///
/// # Errors
/// If the folder cannot be read.
pub fn list(path: &Path) -> Result<Vec<SpoolFile>, SpoolError> {
    let unusable = |source| SpoolError::Folder {
        folder: path.to_owned(),
        source,
    };
    let mut files = DirectoryDisk::new(path).list().map_err(unusable)?;
    files.sort_unstable();
    let mut found = Vec::new();
    for (name, bytes) in files {
        let quarantined = quarantined_number(&name).is_some();
        if segment_number(&name).is_none() && !quarantined {
            continue;
        }
        let scanned = File::open(path.join(&name)).and_then(|file| scan(&file, bytes));
        let scanned = match scanned {
            // A daemon has replayed and deleted the file since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            scanned => scanned.map_err(unusable)?,
        };
        found.push(SpoolFile {
            name,
            bytes,
            frames: scanned.frames,
            events: scanned.events,
            damaged: scanned.damaged,
            tail_bytes: bytes.saturating_sub(scanned.end),
            instance: scanned.header.map(|header| header.instance),
            version: scanned.header.map(|header| header.version),
            quarantined,
        });
    }
    Ok(found)
}
