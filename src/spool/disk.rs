//! The few operations the spool needs of a file system, so that tests can put
//! one beneath it that crashes and lies.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// One flat folder of files.
pub trait Disk: Send + 'static {
    /// An open file.
    type File: DiskFile;

    /// Names and lengths of all files.
    ///
    /// # Errors
    /// Of the file system, as for all that follow.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;
    /// Makes a file that must not exist, for reading and writing.
    ///
    /// # Errors
    /// Also when it exists.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// Also when there is none.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Gives a file another name.
    ///
    /// # Errors
    /// Of the file system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Deletes a file.
    ///
    /// # Errors
    /// Of the file system.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes names durable: created, renamed and removed files.
    ///
    /// # Errors
    /// Of the file system.
    fn sync_names(&self) -> io::Result<()>;
}

/// An open file; used at explicit positions, so that it can be shared.
pub trait DiskFile: Send + Sync + 'static {
    /// Writes all of `bytes`; after an error any part of them may be there.
    ///
    /// # Errors
    /// Of the file system, as for all that follow.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Fills `bytes`.
    ///
    /// # Errors
    /// Also when the file ends before.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
    /// Cuts the file off.
    ///
    /// # Errors
    /// Of the file system.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Makes the content durable.
    ///
    /// # Errors
    /// Of the file system. What was written since the last success may be lost
    /// then, even if a later call succeeds.
    fn sync(&self) -> io::Result<()>;
}

/// A real folder.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at this path, which exists.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl Disk for Folder {
    type File = File;

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            // A name that is no UTF-8 is none of ours.
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
            .mode(0o600)
            .open(self.0.join(name))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.0.join(name))
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
