//! A spool that several threads share. One sync serves all threads that wait for it.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::disk::{DirectoryDisk, Disk};
use super::error::SpoolError;
use super::frame::Frame;
use super::log::{PendingFrame, SegmentLog, SpoolLimits, SpoolUsage};
use super::owner::OwnerFile;

/// A spool that many threads append to and one thread reads.
#[derive(Debug)]
pub struct Spool<D: Disk = DirectoryDisk> {
    id: Uuid,
    limits: SpoolLimits,
    log: Mutex<SegmentLog<D>>,
    /// Held during a sync. A thread that waited for it may find its frames synced.
    syncing: Mutex<()>,
    /// A copy, which can be read without waiting for the disk.
    usage: Mutex<SpoolUsage>,
    refusing: AtomicBool,
    found_events: u64,
    owner: Option<OwnerFile>,
    /// Whether the spool takes no events, because they would mix with those of another
    /// owner.
    blocked: AtomicBool,
    /// The locked lock file, which keeps other processes out.
    _lock: Option<File>,
}

impl<D: Disk> Spool<D> {
    /// Shares a log. The spool holds `lock` until it is dropped.
    pub fn new(id: Uuid, limits: SpoolLimits, log: SegmentLog<D>, lock: Option<File>) -> Self {
        let usage = log.usage();
        Self {
            id,
            limits,
            log: Mutex::new(log),
            syncing: Mutex::new(()),
            usage: Mutex::new(usage),
            refusing: AtomicBool::new(false),
            found_events: usage.events,
            owner: None,
            blocked: AtomicBool::new(false),
            _lock: lock,
        }
    }

    /// Adds the file with the owner.
    pub(super) fn with_owner(self, owner: OwnerFile) -> Self {
        let owner = Some(owner);
        Self { owner, ..self }
    }

    /// The folder, if the spool is in one.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.owner.as_ref().map(OwnerFile::folder)
    }

    /// The text that names the database of the spool's events, if it is known.
    #[must_use]
    pub fn owner(&self) -> Option<String> {
        self.owner.as_ref().and_then(OwnerFile::get)
    }

    /// Changes the owner durably.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn set_owner(&self, owner: Option<&str>) -> Result<(), SpoolError> {
        match &self.owner {
            Some(file) => Ok(file.set(owner)?),
            None => Ok(()),
        }
    }

    /// Says whether the spool takes no events, because they would mix with those of another
    /// owner.
    pub fn block(&self, blocked: bool) {
        self.blocked.store(blocked, Relaxed);
    }

    /// The permanent id of the spool.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The number of events that earlier processes left.
    #[must_use]
    pub fn found_events(&self) -> u64 {
        self.found_events
    }

    /// The byte budget of all files together.
    #[must_use]
    pub fn budget_bytes(&self) -> u64 {
        self.limits.total_bytes
    }

    /// What the spool contains.
    #[must_use]
    pub fn usage(&self) -> SpoolUsage {
        *lock(&self.usage)
    }

    /// The age of the oldest segment that holds events.
    #[must_use]
    pub fn oldest_age(&self) -> Option<Duration> {
        let oldest = self.usage().oldest?;
        // A clock may have been set back.
        Some(oldest.elapsed().unwrap_or_default())
    }

    /// Whether the last attempt to store something failed.
    #[must_use]
    pub fn refusing(&self) -> bool {
        self.refusing.load(Relaxed)
    }

    /// Stores payloads, each with its number of events. Returns how many payloads are
    /// durable; they are the first ones. `counter` grows by their events.
    ///
    /// It takes one payload at a time from the iterator, so only one is in memory. It
    /// blocks on the disk.
    ///
    /// # Errors
    /// The second value says why the remaining payloads are not in the spool.
    pub fn store<P: AsRef<[u8]>>(
        &self,
        payloads: impl IntoIterator<Item = (P, u32)>,
        counter: &Arc<AtomicU64>,
    ) -> (usize, Result<(), SpoolError>) {
        if self.blocked.load(Relaxed) {
            self.refusing.store(true, Relaxed);
            return (0, Err(SpoolError::OtherDatabase));
        }
        let (appended, mut result) = self.append(payloads, counter);
        if !appended.is_empty() {
            result = self.sync(&appended).and(result);
        }
        let durable = |pending: &&PendingFrame| pending.durable() == Some(true);
        let stored = appended.iter().take_while(durable).count();
        self.refusing.store(result.is_err(), Relaxed);
        (stored, result)
    }

    fn append<P: AsRef<[u8]>>(
        &self,
        payloads: impl IntoIterator<Item = (P, u32)>,
        counter: &Arc<AtomicU64>,
    ) -> (Vec<PendingFrame>, Result<(), SpoolError>) {
        let mut appended = Vec::new();
        for (payload, events) in payloads {
            let mut log = lock(&self.log);
            // Another thread's failed sync has lost our earlier payloads. Stop here: a later
            // payload could become durable and count although the earlier ones are lost.
            if appended.last().and_then(PendingFrame::durable) == Some(false) {
                return (appended, Err(sync_failed()));
            }
            match log.append(payload.as_ref(), events, counter) {
                Ok(pending) => appended.push(pending),
                Err(error) => return (appended, Err(error)),
            }
        }
        (appended, Ok(()))
    }

    fn sync(&self, appended: &[PendingFrame]) -> Result<(), SpoolError> {
        let _syncing = lock(&self.syncing);
        if appended
            .iter()
            .all(|pending| pending.durable() == Some(true))
        {
            return Ok(());
        }
        if appended
            .iter()
            .any(|pending| pending.durable() == Some(false))
        {
            return Err(sync_failed());
        }
        let plan = lock(&self.log).begin_sync();
        // Other threads can append during the sync; their frames share the next one.
        let synced = plan.run();
        let mut log = lock(&self.log);
        let result = log.end_sync(&plan, synced);
        self.publish(&log);
        result
    }

    /// Reads the oldest frame that is not acknowledged. It returns the same frame until
    /// [`Self::ack`].
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn read(&self) -> Result<Option<Frame>, SpoolError> {
        self.change(SegmentLog::read)
    }

    /// Reads the frame after the last one that was read, acknowledged or not.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn read_ahead(&self) -> Result<Option<Frame>, SpoolError> {
        self.change(SegmentLog::read_ahead)
    }

    /// Acknowledges the oldest frame that was read: it is settled.
    pub fn ack(&self) {
        self.change(SegmentLog::ack);
    }

    /// Skips the oldest frame that was read, because it cannot be settled. It is not read
    /// again before the next start, and its file is quarantined.
    pub fn quarantine(&self) {
        self.change(SegmentLog::quarantine);
    }

    /// Whether the spool has the segment with this number, and this process wrote it.
    pub fn has_segment(&self, number: u64, instance: Uuid) -> bool {
        lock(&self.log).has_segment(number, instance)
    }

    /// The process that wrote a segment, if that is known.
    pub fn writer_of(&self, segment: u64) -> Option<Uuid> {
        lock(&self.log).writer_of(segment)
    }

    fn change<T>(&self, change: impl FnOnce(&mut SegmentLog<D>) -> T) -> T {
        let mut log = lock(&self.log);
        let value = change(&mut log);
        self.publish(&log);
        value
    }

    fn publish(&self, log: &SegmentLog<D>) {
        *lock(&self.usage) = log.usage();
    }
}

fn sync_failed() -> SpoolError {
    std::io::Error::other("the sync of another writer failed").into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
