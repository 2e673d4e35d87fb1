//! The log itself: one writer's view, without threads.
//!
//! Append, then sync; only what was synced is read. Reading and acknowledging
//! go through the frames in order, once; a new process begins again with the
//! oldest segment that is there, so a frame may be read twice, never not at all.

mod read;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use uuid::Uuid;

use super::disk::{Disk, DiskFile};
use super::error::SpoolError;
use super::frame::{FrameHeader, MAX_PAYLOAD_BYTES};
use super::scan::scan;
use super::segment::{
    FORMAT_VERSION, HEADER_BYTES, SegmentHeader, quarantine_name, quarantined_number, segment_name,
    segment_number,
};

const WAITING: u8 = 0;
const DURABLE: u8 = 1;
const LOST: u8 = 2;

/// How large the log may become.
#[derive(Clone, Copy, Debug)]
pub struct SpoolLimits {
    /// Bytes of all files together; never exceeded.
    pub total_bytes: u64,
    /// A segment that has reached so many bytes is followed by another.
    pub segment_bytes: u64,
}

/// What the log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all files, quarantined ones too.
    pub bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Synced events that are not yet acknowledged.
    pub events: u64,
    /// Damaged places found since it was opened.
    pub damaged: u64,
    /// Files kept because of damage.
    pub quarantined: u64,
}

/// A frame that was appended; durable or lost after the next sync.
#[derive(Debug)]
pub struct Pending(Arc<AtomicU8>);

impl Pending {
    /// Whether it is durable; `None` before it was synced.
    #[must_use]
    pub fn durable(&self) -> Option<bool> {
        match self.0.load(Ordering::Acquire) {
            WAITING => None,
            state => Some(state == DURABLE),
        }
    }
}

struct Unsynced {
    segment: u64,
    end: u64,
    events: u32,
    state: Arc<AtomicU8>,
    /// Grows by the events the moment they are durable.
    counter: Arc<AtomicU64>,
}

struct Segment {
    number: u64,
    /// Where the last whole frame ends.
    len: u64,
    /// Where the last synced frame ends.
    synced: u64,
    /// Bytes on disk that count against the budget.
    charged: u64,
    /// Synced events that are not yet acknowledged.
    events: u64,
    damaged: bool,
}

/// What is to be synced, apart from the log so that others append meanwhile.
#[derive(Debug)]
pub struct SyncPlan<D: Disk> {
    files: Vec<Arc<D::File>>,
    frames: usize,
    names: bool,
}

impl<D: Disk> SyncPlan<D> {
    /// Syncs the files. Names are made durable by the log itself.
    ///
    /// # Errors
    /// Of the disk; then nothing since the last sync is durable.
    pub fn run(&self) -> std::io::Result<()> {
        self.files.iter().try_for_each(|file| file.sync())
    }
}

/// See the module.
pub struct SegmentLog<D: Disk> {
    disk: D,
    limits: SpoolLimits,
    header: SegmentHeader,
    /// Oldest first.
    segments: VecDeque<Segment>,
    /// The last segment, while it takes frames.
    active: Option<Arc<D::File>>,
    unsynced: VecDeque<Unsynced>,
    /// Files with frames that are not synced, and whether their names are not.
    dirty: Vec<Arc<D::File>>,
    dirty_names: bool,
    next_number: u64,
    next_sequence: u64,
    /// Where reading goes on in the first segment.
    read_at: u64,
    reader: Option<(u64, D::File)>,
    /// The frame that was read and is to be acknowledged: its end, its events.
    in_hand: Option<(u64, u32)>,
    usage: Usage,
}

impl<D: Disk> SegmentLog<D> {
    /// Opens what is there, repairing it: torn tails are cut off, files without
    /// frames deleted. `spool` names the folder for good, `instance` this process.
    ///
    /// # Errors
    /// When the disk fails, or a newer version wrote a file.
    pub fn open(
        disk: D,
        limits: SpoolLimits,
        spool: Uuid,
        instance: Uuid,
    ) -> Result<Self, SpoolError> {
        let header = SegmentHeader {
            version: FORMAT_VERSION,
            spool,
            instance,
        };
        let mut log = Self {
            disk,
            limits,
            header,
            segments: VecDeque::new(),
            active: None,
            unsynced: VecDeque::new(),
            dirty: Vec::new(),
            dirty_names: false,
            next_number: 1,
            next_sequence: 1,
            read_at: 0,
            reader: None,
            in_hand: None,
            usage: Usage::default(),
        };
        let mut files = log.disk.list()?;
        // Names sort as numbers do.
        files.sort_unstable();
        for (name, len) in files {
            if let Some(number) = segment_number(&name) {
                log.recover(number, &name, len)?;
            } else if let Some(number) = quarantined_number(&name) {
                log.next_number = log.next_number.max(number + 1);
                log.usage.bytes += len;
                log.usage.quarantined += 1;
            }
        }
        log.disk.sync_names()?;
        Ok(log)
    }

    fn recover(&mut self, number: u64, name: &str, len: u64) -> Result<(), SpoolError> {
        self.next_number = self.next_number.max(number + 1);
        let file = self.disk.open(name)?;
        let found = scan(&file, len)?;
        if let Some(SegmentHeader { version, .. }) = found.header
            && version > FORMAT_VERSION
        {
            let file = name.to_owned();
            return Err(SpoolError::NewerVersion { file, version });
        }
        if found.damaged > 0 {
            self.report_damage(name, found.damaged);
        } else if found.frames == 0 && found.header.is_none() && len > HEADER_BYTES as u64 {
            // Nothing in it makes sense; a person may see more.
            self.report_damage(name, 1);
            self.disk.rename(name, &quarantine_name(number))?;
            self.usage.bytes += len;
            self.usage.quarantined += 1;
            return Ok(());
        } else if found.frames == 0 {
            // Nothing in it was ever synced, or all of it was acknowledged.
            self.disk.remove(name)?;
            return Ok(());
        }
        if found.end < len {
            tracing::info!(
                file = name,
                bytes = len - found.end,
                "a torn tail of the spool is cut off; nothing in it was acknowledged"
            );
            file.truncate(found.end)?;
        }
        // The process before may have ended before it synced what is read now.
        file.sync()?;
        if let Some(last) = found.last_sequence {
            self.next_sequence = self.next_sequence.max(last + 1);
        }
        self.usage.events += found.events;
        self.usage.bytes += found.end;
        self.usage.segments += 1;
        self.segments.push_back(Segment {
            number,
            len: found.end,
            synced: found.end,
            charged: found.end,
            events: found.events,
            damaged: found.damaged > 0,
        });
        Ok(())
    }

    /// What it holds.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Appends a frame. `counter` grows by `events` at the moment it is durable,
    /// before anybody can read it.
    ///
    /// # Errors
    /// When there is no room, or the disk fails; then nothing was appended.
    pub fn append(
        &mut self,
        payload: &[u8],
        events: u32,
        counter: &Arc<AtomicU64>,
    ) -> Result<Pending, SpoolError> {
        let payload_len = u32::try_from(payload.len())
            .ok()
            .filter(|_| payload.len() <= MAX_PAYLOAD_BYTES)
            .ok_or(SpoolError::Full)?;
        let header = FrameHeader::of(payload, payload_len, self.next_sequence, events);
        let full = self
            .segments
            .back()
            .is_some_and(|last| last.len >= self.limits.segment_bytes);
        if full {
            self.active = None;
        }
        let mut needed = header.frame_len();
        if self.active.is_none() {
            needed += HEADER_BYTES as u64;
        }
        if self.usage.bytes + needed > self.limits.total_bytes {
            return Err(SpoolError::Full);
        }
        let file = match &self.active {
            Some(file) => file.clone(),
            None => self.begin_segment()?,
        };
        let Some(segment) = self.segments.back_mut() else {
            return Err(SpoolError::Full);
        };
        let mut bytes = Vec::with_capacity(payload.len() + header.encode().len());
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(payload);
        if let Err(error) = file.write_all_at(&bytes, segment.len) {
            if file.truncate(segment.len).is_err() {
                // What stands behind its frames is not known: it gets no more.
                segment.charged += header.frame_len();
                self.usage.bytes += header.frame_len();
                self.active = None;
            }
            return Err(error.into());
        }
        segment.len += header.frame_len();
        segment.charged += header.frame_len();
        self.usage.bytes += header.frame_len();
        self.next_sequence += 1;
        let state = Arc::new(AtomicU8::new(WAITING));
        self.unsynced.push_back(Unsynced {
            segment: segment.number,
            end: segment.len,
            events,
            state: state.clone(),
            counter: counter.clone(),
        });
        if !self.dirty.iter().any(|dirty| Arc::ptr_eq(dirty, &file)) {
            self.dirty.push(file);
        }
        Ok(Pending(state))
    }

    fn begin_segment(&mut self) -> Result<Arc<D::File>, SpoolError> {
        let number = self.next_number;
        let name = segment_name(number);
        let file = self.disk.create(&name)?;
        self.next_number += 1;
        if let Err(error) = file.write_all_at(&self.header.encode(), 0) {
            // Left behind, it holds no frame and is deleted at the next start.
            let _ = self.disk.remove(&name);
            return Err(error.into());
        }
        let file = Arc::new(file);
        let len = HEADER_BYTES as u64;
        self.segments.push_back(Segment {
            number,
            len,
            synced: len,
            charged: len,
            events: 0,
            damaged: false,
        });
        self.usage.bytes += len;
        self.usage.segments += 1;
        self.dirty_names = true;
        self.active = Some(file.clone());
        Ok(file)
    }

    /// What is to be synced for all that was appended so far.
    pub fn begin_sync(&mut self) -> SyncPlan<D> {
        SyncPlan {
            files: std::mem::take(&mut self.dirty),
            frames: self.unsynced.len(),
            names: std::mem::take(&mut self.dirty_names),
        }
    }

    /// Ends a sync: its frames are durable and can be read, or all that is not
    /// synced is lost, whoever appended it.
    ///
    /// # Errors
    /// That of the sync.
    pub fn end_sync(
        &mut self,
        plan: &SyncPlan<D>,
        synced: std::io::Result<()>,
    ) -> Result<(), SpoolError> {
        let names = if plan.names {
            self.disk.sync_names()
        } else {
            Ok(())
        };
        if let Err(error) = synced.and(names) {
            self.lose_unsynced();
            return Err(error.into());
        }
        for frame in self.unsynced.drain(..plan.frames) {
            if let Some(segment) = self
                .segments
                .iter_mut()
                .rfind(|segment| segment.number == frame.segment)
            {
                segment.synced = frame.end;
                segment.events += u64::from(frame.events);
            }
            self.usage.events += u64::from(frame.events);
            frame
                .counter
                .fetch_add(u64::from(frame.events), Ordering::AcqRel);
            frame.state.store(DURABLE, Ordering::Release);
        }
        // The files of later frames are still dirty: they are in `dirty`.
        Ok(())
    }

    /// After a failed sync nobody knows what is on disk: what was not synced
    /// before is cut off, and its files get no more.
    fn lose_unsynced(&mut self) {
        self.active = None;
        self.dirty.clear();
        // Until a name is known to be durable it has to be synced again.
        self.dirty_names = true;
        for frame in self.unsynced.drain(..) {
            frame.state.store(LOST, Ordering::Release);
        }
        for segment in &mut self.segments {
            if segment.len == segment.synced {
                continue;
            }
            segment.len = segment.synced;
            let cut = self
                .disk
                .open(&segment_name(segment.number))
                .and_then(|file| file.truncate(segment.synced));
            if cut.is_ok() {
                self.usage.bytes -= segment.charged - segment.synced;
                segment.charged = segment.synced;
            }
        }
        self.drop_finished();
    }
}

impl<D: Disk> std::fmt::Debug for SegmentLog<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SegmentLog")
            .field("usage", &self.usage)
            .finish_non_exhaustive()
    }
}
