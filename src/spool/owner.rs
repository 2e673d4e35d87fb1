//! The owner of a spool: a text that names the database that its events are for. The spool
//! keeps the text and does not read it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const FILE: &str = "spool.database";
const NEW_FILE: &str = "spool.database.new";
const MODE: u32 = 0o600;
/// How much of the file is read.
const MAX_BYTES: u64 = 4_096;

/// The file with the owner, and its content.
#[derive(Debug)]
pub(super) struct OwnerFile {
    folder: PathBuf,
    owner: Mutex<Option<String>>,
}

impl OwnerFile {
    /// Reads the owner of the spool in a folder.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let owner = match File::open(folder.join(FILE)) {
            Ok(file) => {
                let mut text = String::new();
                file.take(MAX_BYTES).read_to_string(&mut text)?;
                Some(text)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            folder: folder.to_owned(),
            owner: Mutex::new(owner),
        })
    }

    /// The folder of the spool.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The owner, if the spool has one.
    pub fn get(&self) -> Option<String> {
        let owner = self.owner.lock();
        owner.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the owner durably.
    pub fn set(&self, owner: Option<&str>) -> io::Result<()> {
        match owner {
            Some(owner) => {
                let mut file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(MODE)
                    .open(self.folder.join(NEW_FILE))?;
                file.write_all(owner.as_bytes())?;
                file.sync_all()?;
                fs::rename(self.folder.join(NEW_FILE), self.folder.join(FILE))?;
            }
            None => match fs::remove_file(self.folder.join(FILE)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
        }
        File::open(&self.folder)?.sync_all()?;
        let mut now = self.owner.lock().unwrap_or_else(PoisonError::into_inner);
        *now = owner.map(str::to_owned);
        Ok(())
    }
}
