//! The spool as a folder of the real file system: its lock, its name, and what
//! people may see of it while a daemon works with it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use uuid::Uuid;

use super::disk::{Disk as _, Folder};
use super::error::SpoolError;
use super::log::{SegmentLog, SpoolLimits};
use super::scan::scan;
use super::segment::{quarantined_number, segment_number};
use super::shared::Spool;

/// Locked by the daemon that uses the folder; holds the spool's id.
const LOCK_FILE: &str = "spool.lock";

/// Opens spools in folders.
#[derive(Debug)]
pub struct SpoolFolder;

/// One file of a spool, as it is now.
#[derive(Clone, Debug)]
pub struct SpoolFile {
    /// Its name in the folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Sound frames.
    pub frames: u64,
    /// Events in them.
    pub events: u64,
    /// Damaged places.
    pub damaged: u64,
    /// Bytes behind the last sound frame: torn, or being written right now.
    pub tail_bytes: u64,
    /// The process that wrote it, if its header is sound.
    pub instance: Option<Uuid>,
    /// The format it is in, if its header is sound.
    pub version: Option<u32>,
    /// Put aside because of damage.
    pub quarantined: bool,
}

impl SpoolFolder {
    /// Opens or makes the spool in a folder; `instance` is this process.
    ///
    /// # Errors
    /// When the folder cannot be used, another process uses it, or a newer
    /// version wrote to it.
    pub fn open(path: &Path, limits: SpoolLimits, instance: Uuid) -> Result<Spool, SpoolError> {
        let unusable = |source| SpoolError::Folder {
            folder: path.to_owned(),
            source,
        };
        if let Some(parent) = path.parent() {
            // Not closed by us: others may have to pass through.
            fs::create_dir_all(parent).map_err(unusable)?;
        }
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            made => made.map_err(unusable)?,
        }
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK_FILE))
            .map_err(unusable)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => SpoolError::InUse(path.to_owned()),
            TryLockError::Error(source) => unusable(source),
        })?;
        let id = identify(&mut lock).map_err(unusable)?;
        let log = SegmentLog::open(Folder::new(path), limits, id, instance)?;
        Ok(Spool::new(id, limits, log, Some(lock)))
    }
}

/// Reads the id from the lock file, or gives the spool one.
fn identify(lock: &mut File) -> io::Result<Uuid> {
    let mut text = String::new();
    lock.take(64).read_to_string(&mut text)?;
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

/// The files of a spool, oldest first. Changes nothing, and may be called while
/// a daemon uses the folder.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(path: &Path) -> Result<Vec<SpoolFile>, SpoolError> {
    let unusable = |source| SpoolError::Folder {
        folder: path.to_owned(),
        source,
    };
    let mut files = Folder::new(path).list().map_err(unusable)?;
    files.sort_unstable();
    let mut found = Vec::new();
    for (name, bytes) in files {
        let quarantined = quarantined_number(&name).is_some();
        if segment_number(&name).is_none() && !quarantined {
            continue;
        }
        let scanned = File::open(path.join(&name)).and_then(|file| scan(&file, bytes));
        let scanned = match scanned {
            // Replayed and deleted since it was listed.
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
