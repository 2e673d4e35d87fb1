//! A file system in memory that distinguishes written data from durable data.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::spool::{Disk, DiskFile};

#[derive(Debug, Default)]
struct Content {
    /// The content as a running program sees it.
    now: Vec<u8>,
    /// The content at the last sync.
    durable: Vec<u8>,
    /// The writes since the last sync, in order.
    unsynced: Vec<(u64, Vec<u8>)>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Arc<Mutex<Content>>>,
    /// The names that survive a crash.
    durable_names: BTreeMap<String, Arc<Mutex<Content>>>,
    /// How many bytes can be written before the disk is full.
    room: Option<usize>,
    /// How many of the next syncs fail.
    failing_syncs: usize,
    /// Whether truncating fails too.
    refuses_truncation: bool,
}

/// A fake disk. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct FakeDisk(Arc<Mutex<State>>);

/// An open file.
#[derive(Clone, Debug)]
pub struct FakeFile {
    content: Arc<Mutex<Content>>,
    disk: Arc<Mutex<State>>,
}

impl FakeDisk {
    /// Loses power. Synced data survives. Of the unsynced writes some first ones survive,
    /// and the last of these may be torn or garbage.
    pub fn crash(&self, rng: &mut StdRng) {
        let mut state = self.0.lock().unwrap();
        let names: Vec<String> = state.files.keys().cloned().collect();
        for name in names {
            // An unsynced name may survive.
            if !state.durable_names.contains_key(&name) && rng.random_bool(0.5) {
                let content = state.files[&name].clone();
                state.durable_names.insert(name, content);
            }
        }
        state.files = state.durable_names.clone();
        for content in state.files.values() {
            let mut content = content.lock().unwrap();
            let mut left = content.durable.clone();
            let writes = std::mem::take(&mut content.unsynced);
            let survivors = rng.random_range(0..=writes.len());
            for (number, (offset, bytes)) in writes.into_iter().take(survivors).enumerate() {
                let last = number + 1 == survivors;
                let len = if last {
                    rng.random_range(0..=bytes.len())
                } else {
                    bytes.len()
                };
                let mut bytes = bytes[..len].to_vec();
                if last && rng.random_bool(0.3) {
                    // The length survived, the content did not.
                    let from = rng.random_range(0..=bytes.len());
                    bytes[from..].fill(0);
                }
                put(&mut left, offset, &bytes);
            }
            content.now = left.clone();
            content.durable = left;
        }
        state.room = None;
        state.failing_syncs = 0;
        state.refuses_truncation = false;
    }

    /// Makes the disk full after `room` bytes, until [`Self::heal`].
    pub fn fill(&self, room: usize) {
        self.0.lock().unwrap().room = Some(room);
    }

    /// Makes the next `count` syncs fail and lose their data.
    pub fn fail_syncs(&self, count: usize) {
        self.0.lock().unwrap().failing_syncs = count;
    }

    /// Makes truncating fail.
    pub fn refuse_truncation(&self) {
        self.0.lock().unwrap().refuses_truncation = true;
    }

    /// Ends all failures.
    pub fn heal(&self) {
        let mut state = self.0.lock().unwrap();
        (state.room, state.failing_syncs, state.refuses_truncation) = (None, 0, false);
    }

    /// Changes a file durably, without the log's knowledge.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let file = self.0.lock().unwrap().files[name].clone();
        let mut content = file.lock().unwrap();
        change(&mut content.now);
        content.durable = content.now.clone();
        content.unsynced.clear();
    }

    /// Copies all files to another disk.
    pub fn copy(&self) -> Self {
        let copy = Self::default();
        for (name, now) in self.files() {
            let file = Arc::new(Mutex::new(Content {
                durable: now.clone(),
                now,
                unsynced: Vec::new(),
            }));
            copy.0.lock().unwrap().files.insert(name, file);
        }
        copy
    }

    /// All files with their content.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let state = self.0.lock().unwrap();
        let read = |(name, content): (&String, &Arc<Mutex<Content>>)| {
            (name.clone(), content.lock().unwrap().now.clone())
        };
        state.files.iter().map(read).collect()
    }
}

fn put(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let offset = usize::try_from(offset).unwrap();
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

impl Disk for FakeDisk {
    type File = FakeFile;

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let files = self.files().into_iter();
        Ok(files.map(|(name, now)| (name, now.len() as u64)).collect())
    }

    fn create(&self, name: &str) -> io::Result<FakeFile> {
        let mut state = self.0.lock().unwrap();
        if state.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if state.room == Some(0) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let content = Arc::<Mutex<Content>>::default();
        state.files.insert(name.to_owned(), content.clone());
        let disk = self.0.clone();
        Ok(FakeFile { content, disk })
    }

    fn open(&self, name: &str) -> io::Result<FakeFile> {
        let state = self.0.lock().unwrap();
        let content = state.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let (content, disk) = (content.clone(), self.0.clone());
        Ok(FakeFile { content, disk })
    }

    fn began(&self, _: &str) -> std::time::SystemTime {
        std::time::SystemTime::UNIX_EPOCH
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let content = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.0.lock().unwrap().files.remove(name);
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if state.failing_syncs > 0 {
            state.failing_syncs -= 1;
            return Err(io::Error::other("no sync"));
        }
        state.durable_names = state.files.clone();
        Ok(())
    }
}

impl DiskFile for FakeFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.lock().unwrap();
        let room = state.room.unwrap_or(usize::MAX);
        let written = &bytes[..bytes.len().min(room)];
        if let Some(left) = &mut state.room {
            *left -= written.len();
        }
        let mut content = self.content.lock().unwrap();
        put(&mut content.now, offset, written);
        content.unsynced.push((offset, written.to_vec()));
        if written.len() < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.content.lock().unwrap();
        let offset = usize::try_from(offset).unwrap();
        let found = content.now.get(offset..offset + bytes.len());
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        if self.disk.lock().unwrap().refuses_truncation {
            return Err(io::Error::other("no truncation"));
        }
        let len = usize::try_from(len).unwrap();
        let mut content = self.content.lock().unwrap();
        content.now.truncate(len);
        // As in a journalled file system, a truncation is ordered before later writes.
        content.durable.truncate(len);
        for (offset, bytes) in &mut content.unsynced {
            let left = len.saturating_sub(usize::try_from(*offset).unwrap());
            bytes.truncate(left);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.lock().unwrap();
        if state.failing_syncs > 0 {
            state.failing_syncs -= 1;
            // As on Linux: after a failed sync the pages count as clean, written or not.
            self.content.lock().unwrap().unsynced.clear();
            return Err(io::Error::other("no sync"));
        }
        let mut content = self.content.lock().unwrap();
        content.durable = content.now.clone();
        content.unsynced.clear();
        Ok(())
    }
}
