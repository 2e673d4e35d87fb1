//! A file system in memory that keeps apart what is written and what is durable.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::spool::{Disk, DiskFile};

#[derive(Debug, Default)]
struct Content {
    /// As a running program sees it.
    now: Vec<u8>,
    /// As it was at the last sync.
    durable: Vec<u8>,
    /// Writes since then, in order.
    unsynced: Vec<(u64, Vec<u8>)>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Arc<Mutex<Content>>>,
    /// The names that survive a crash.
    durable_names: BTreeMap<String, Arc<Mutex<Content>>>,
    /// How many bytes may still be written before the disk is full.
    room: Option<usize>,
    /// The next syncs that fail.
    failing_syncs: usize,
    /// Truncating fails, too.
    stubborn: bool,
}

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct FakeDisk(Arc<Mutex<State>>);

/// An open file.
#[derive(Clone, Debug)]
pub struct FakeFile {
    content: Arc<Mutex<Content>>,
    disk: Arc<Mutex<State>>,
}

impl FakeDisk {
    /// What a loss of power leaves: what was synced, and of the rest any
    /// beginning, whose last write may be torn or garbage.
    pub fn crash(&self, rng: &mut StdRng) {
        let mut state = self.0.lock().unwrap();
        let unsure: Vec<String> = state.files.keys().cloned().collect();
        for name in unsure {
            // A name that was not synced may be there, or not.
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
            let kept = rng.random_range(0..=writes.len());
            for (number, (offset, bytes)) in writes.into_iter().take(kept).enumerate() {
                let last = number + 1 == kept;
                let len = if last {
                    rng.random_range(0..=bytes.len())
                } else {
                    bytes.len()
                };
                let mut bytes = bytes[..len].to_vec();
                if last && rng.random_bool(0.3) {
                    // The length is there, the content is not.
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
        state.stubborn = false;
    }

    /// The next writes fail after so many bytes, until [`Self::heal`].
    pub fn fill(&self, room: usize) {
        self.0.lock().unwrap().room = Some(room);
    }

    /// So many syncs fail; what they were to make durable may never be.
    pub fn fail_syncs(&self, count: usize) {
        self.0.lock().unwrap().failing_syncs = count;
    }

    /// Files cannot be cut off either.
    pub fn refuse_truncation(&self) {
        self.0.lock().unwrap().stubborn = true;
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        let mut state = self.0.lock().unwrap();
        (state.room, state.failing_syncs, state.stubborn) = (None, 0, false);
    }

    /// Changes a file behind the program's back, durably.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let file = self.0.lock().unwrap().files[name].clone();
        let mut content = file.lock().unwrap();
        change(&mut content.now);
        content.durable = content.now.clone();
        content.unsynced.clear();
    }

    /// Another disk with the same files.
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

    /// All files and their content.
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
        if self.disk.lock().unwrap().stubborn {
            return Err(io::Error::other("no truncation"));
        }
        let len = usize::try_from(len).unwrap();
        let mut content = self.content.lock().unwrap();
        content.now.truncate(len);
        // Like a journalled file system: cut lengths come before later writes.
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
            // As Linux does: the pages count as clean, written or not.
            self.content.lock().unwrap().unsynced.clear();
            return Err(io::Error::other("no sync"));
        }
        let mut content = self.content.lock().unwrap();
        content.durable = content.now.clone();
        content.unsynced.clear();
        Ok(())
    }
}
