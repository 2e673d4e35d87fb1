//! Sees to it that the file of keys has what the table has, whatever the disk does.

use std::io;

use tokio::task::JoinHandle;

use super::kept::KeptKeys;
use super::table::{KeyRecord, KeyTable};

/// What the file has and what it is to have. A disk that hangs holds up nothing but the file.
pub struct Keeper {
    kept: KeptKeys,
    wanted: Option<Vec<KeyRecord>>,
    /// The file may have something else than is wanted.
    stale: bool,
    /// That was told.
    told: bool,
    writing: Option<JoinHandle<io::Result<()>>>,
}

impl Keeper {
    /// Of a file that is as the last daemon left it.
    pub fn new(kept: KeptKeys) -> Self {
        Self {
            kept,
            wanted: None,
            stale: false,
            told: false,
            writing: None,
        }
    }

    /// The keys of the last daemon are the table's, until the database tells.
    pub fn recall(&mut self, table: &KeyTable) {
        match self.kept.read() {
            Ok(Some(keys)) => {
                tracing::info!(valid = keys.len(), "the keys of the last start");
                table.replace(keys.clone());
                self.wanted = Some(keys);
            }
            Ok(None) => {}
            // WARN: nothing is lost; who has a key waits until the database is reached.
            Err(error) => tracing::warn!(%error, "the keys of the last start cannot be read"),
        }
    }

    /// These are to be in the file, in any order.
    pub fn want(&mut self, mut keys: Vec<KeyRecord>) {
        keys.sort_unstable_by_key(|key| key.id);
        if self.wanted.as_ref() != Some(&keys) {
            self.wanted = Some(keys);
            self.stale = true;
        }
    }

    /// To be called again and again: begins to write, or looks what has come of it.
    /// What fails is tried again with the next turn.
    pub async fn turn(&mut self) {
        match self.writing.take() {
            Some(writing) if writing.is_finished() => {
                let written = writing.await.map_err(io::Error::other).flatten();
                self.written(written);
            }
            writing => self.writing = writing,
        }
        if self.stale
            && self.writing.is_none()
            && let Some(keys) = self.wanted.clone()
        {
            let kept = self.kept.clone();
            // What is wanted from here on needs another turn.
            self.stale = false;
            let write = move || kept.write(&keys);
            self.writing = Some(tokio::task::spawn_blocking(write));
        }
    }

    fn written(&mut self, written: io::Result<()>) {
        match written {
            Ok(()) => self.told = false,
            Err(error) => {
                self.stale = true;
                if !std::mem::replace(&mut self.told, true) {
                    // WARN: tried again; nothing is lost unless this daemon is started
                    // anew in an outage.
                    tracing::warn!(%error, "the keys cannot be kept for the next start");
                }
            }
        }
    }
}
