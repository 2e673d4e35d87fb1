//! The log as several threads share it: one sync serves all who wait for it.

use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::disk::{Disk, Folder};
use super::error::SpoolError;
use super::frame::Frame;
use super::log::{Pending, SegmentLog, SpoolLimits, Usage};

/// A spool that threads append to and one thread reads.
#[derive(Debug)]
pub struct Spool<D: Disk = Folder> {
    id: Uuid,
    limits: SpoolLimits,
    log: Mutex<SegmentLog<D>>,
    /// Held by who syncs; whoever waits for it may find its frames synced.
    syncing: Mutex<()>,
    /// A copy that is read without waiting for the disk.
    usage: Mutex<Usage>,
    refusing: AtomicBool,
    found_events: u64,
    /// Keeps other processes out.
    _lock: Option<File>,
}

impl<D: Disk> Spool<D> {
    /// Shares a log; `lock` is held as long as the spool.
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
            _lock: lock,
        }
    }

    /// Names the folder for good.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Events that earlier processes left.
    #[must_use]
    pub fn found_events(&self) -> u64 {
        self.found_events
    }

    /// The byte budget.
    #[must_use]
    pub fn budget_bytes(&self) -> u64 {
        self.limits.total_bytes
    }

    /// What it holds.
    #[must_use]
    pub fn usage(&self) -> Usage {
        *lock(&self.usage)
    }

    /// Whether the last attempt to store something failed.
    #[must_use]
    pub fn refusing(&self) -> bool {
        self.refusing.load(Relaxed)
    }

    /// Makes payloads durable, each with its number of events, and returns how
    /// many of them are, from the first on. `counter` grows by the events of
    /// those. Each payload is asked for when the one before has been appended, so
    /// one of them is in memory at a time. Blocks for the disk.
    ///
    /// # Errors
    /// Beside the count: why the others are not in the spool.
    pub fn store<P: AsRef<[u8]>>(
        &self,
        payloads: impl IntoIterator<Item = (P, u32)>,
        counter: &Arc<AtomicU64>,
    ) -> (usize, Result<(), SpoolError>) {
        let (appended, mut result) = self.append(payloads, counter);
        if !appended.is_empty() {
            result = self.sync(&appended).and(result);
        }
        let durable = |pending: &&Pending| pending.durable() == Some(true);
        let stored = appended.iter().take_while(durable).count();
        self.refusing.store(result.is_err(), Relaxed);
        (stored, result)
    }

    fn append<P: AsRef<[u8]>>(
        &self,
        payloads: impl IntoIterator<Item = (P, u32)>,
        counter: &Arc<AtomicU64>,
    ) -> (Vec<Pending>, Result<(), SpoolError>) {
        let mut appended = Vec::new();
        for (payload, events) in payloads {
            let mut log = lock(&self.log);
            // A failed sync of another thread's loses all that was appended before it.
            // What came after it would be kept, and counted, though nothing is stored.
            if appended.last().and_then(Pending::durable) == Some(false) {
                return (appended, Err(lost()));
            }
            match log.append(payload.as_ref(), events, counter) {
                Ok(pending) => appended.push(pending),
                Err(error) => return (appended, Err(error)),
            }
        }
        (appended, Ok(()))
    }

    fn sync(&self, appended: &[Pending]) -> Result<(), SpoolError> {
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
            return Err(lost());
        }
        let plan = lock(&self.log).begin_sync();
        // Others append meanwhile, and share the next sync.
        let synced = plan.run();
        let mut log = lock(&self.log);
        let result = log.end_sync(&plan, synced);
        self.publish(&log);
        result
    }

    /// The next frame that is not acknowledged; the same until [`Self::ack`].
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn read(&self) -> Result<Option<Frame>, SpoolError> {
        let mut log = lock(&self.log);
        let frame = log.read();
        self.publish(&log);
        frame
    }

    /// The frame that was last read is settled.
    pub fn ack(&self) {
        let mut log = lock(&self.log);
        log.ack();
        self.publish(&log);
    }

    /// The frame that was last read cannot be settled: it is not read again
    /// before the next start, and its file is kept.
    pub fn quarantine(&self) {
        let mut log = lock(&self.log);
        log.quarantine();
        self.publish(&log);
    }

    fn publish(&self, log: &SegmentLog<D>) {
        *lock(&self.usage) = log.usage();
    }
}

fn lost() -> SpoolError {
    std::io::Error::other("another writer's sync failed").into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
