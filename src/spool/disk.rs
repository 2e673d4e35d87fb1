//! The file-system operations that the spool needs, as a trait. Tests use a file system
//! that crashes and loses writes.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A flat folder of files.
pub trait Disk: Send + 'static {
    /// An open file.
    type File: DiskFile;

    /// The names and lengths of all files.
    ///
    /// # Errors
    /// If the file system fails.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;
    /// Creates a file for reading and writing.
    ///
    /// # Errors
    /// If the file exists, or the file system fails.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// If the file does not exist, or the file system fails.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Renames a file.
    ///
    /// # Errors
    /// If the file system fails.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Deletes a file.
    ///
    /// # Errors
    /// If the file system fails.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// When a file began, as well as it is known.
    fn began(&self, name: &str) -> SystemTime;
    /// Makes created, renamed and removed names durable.
    ///
    /// # Errors
    /// If the file system fails.
    fn sync_names(&self) -> io::Result<()>;
}

/// An open file. It is read and written at explicit positions, so it can be shared.
pub trait DiskFile: Send + Sync + 'static {
    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// If the file system fails. Any part of `bytes` may be written then.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reads until `bytes` is full.
    ///
    /// # Errors
    /// If the file is too short, or the file system fails.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
    /// Truncates the file.
    ///
    /// # Errors
    /// If the file system fails.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Makes the content durable.
    ///
    /// # Errors
    /// If the file system fails. Everything written since the last success may be lost
    /// then, even if a later call succeeds.
    fn sync(&self) -> io::Result<()>;
}

/// Only the daemon's user may read spooled events.
const FILE_MODE: u32 = 0o600;

/// A folder of the real file system.
#[derive(Clone, Debug)]
pub struct DirectoryDisk(PathBuf);

impl DirectoryDisk {
    /// The existing folder at this path.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl Disk for DirectoryDisk {
    type File = File;

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            // The spool's own names are UTF-8.
            if let Ok(name) = entry.file_name().into_string() {
                files.push((name, entry.metadata()?.len()));
            }
        }
        Ok(files)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(self.0.join(name))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.0.join(name))
    }

    fn began(&self, name: &str) -> SystemTime {
        // Not every file system knows when a file was created.
        let times = fs::metadata(self.0.join(name))
            .and_then(|found| found.created().or_else(|_| found.modified()));
        times.unwrap_or_else(|_| SystemTime::now())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

impl DiskFile for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, offset)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, bytes, offset)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
