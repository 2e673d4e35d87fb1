//! Keeps the key cache on disk up to date, in the background.

use std::io;

use tokio::task::JoinHandle;

use super::key_cache::KeyCache;
use super::table::{KeyRecord, KeyTable};

/// Writes the latest keys to the cache file. A hanging disk delays only the file.
pub struct KeyCacheWriter {
    cache: KeyCache,
    latest: Option<Vec<KeyRecord>>,
    /// Whether the file may differ from `latest`.
    stale: bool,
    /// Whether the current failure is logged already.
    warned: bool,
    writing: Option<JoinHandle<io::Result<()>>>,
}

impl KeyCacheWriter {
    /// A writer for the file as the last daemon left it.
    pub fn new(cache: KeyCache) -> Self {
        Self {
            cache,
            latest: None,
            stale: false,
            warned: false,
            writing: None,
        }
    }

    /// Fills the table with the cached keys. They are valid until the database is read.
    pub fn load_into(&mut self, table: &KeyTable) {
        match self.cache.read() {
            Ok(Some(keys)) => {
                tracing::info!(valid = keys.len(), "loaded the cached keys");
                table.replace(keys.clone());
                self.latest = Some(keys);
            }
            Ok(None) => {}
            // WARN: nothing is lost; clients with keys wait until the database is reached.
            Err(error) => tracing::warn!(%error, "cannot read the cached keys"),
        }
    }

    /// Sets the keys that the file must hold, in any order.
    pub fn set_latest(&mut self, mut keys: Vec<KeyRecord>) {
        keys.sort_unstable_by_key(|key| key.id);
        if self.latest.as_ref() != Some(&keys) {
            self.latest = Some(keys);
            self.stale = true;
        }
    }

    /// Starts a write if the file is stale, or collects the result of the last one.
    /// Call it periodically: the next call retries a failed write.
    pub async fn poll(&mut self) {
        match self.writing.take() {
            Some(writing) if writing.is_finished() => {
                let written = writing.await.map_err(io::Error::other).flatten();
                self.record_result(written);
            }
            writing => self.writing = writing,
        }
        if self.stale
            && self.writing.is_none()
            && let Some(keys) = self.latest.clone()
        {
            let cache = self.cache.clone();
            // Keys that are set during the write make the file stale again.
            self.stale = false;
            let write = move || cache.write(&keys);
            self.writing = Some(tokio::task::spawn_blocking(write));
        }
    }

    fn record_result(&mut self, written: io::Result<()>) {
        match written {
            Ok(()) => self.warned = false,
            Err(error) => {
                self.stale = true;
                if !std::mem::replace(&mut self.warned, true) {
                    // WARN: the write is retried. Only a restart during an outage would
                    // miss the keys.
                    tracing::warn!(%error, "cannot write the key cache; retrying");
                }
            }
        }
    }
}
