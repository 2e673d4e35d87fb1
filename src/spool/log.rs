//! The log of a spool, for a single thread.
//!
//! Frames are appended, then synced; only synced frames are read. Frames are read and
//! acknowledged in order, once per process; several may be read before the first is
//! acknowledged. A new process starts again with the oldest segment that exists. So a
//! frame may be read twice, but no frame is skipped.

mod read;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::SystemTime;

use uuid::Uuid;

use super::disk::{Disk, DiskFile};
use super::error::SpoolError;
use super::frame::{FrameHeader, FramePlace, MAX_PAYLOAD_BYTES};
use super::scan::scan;
use super::segment::{
    FORMAT_VERSION, HEADER_BYTES, SegmentHeader, quarantine_name, quarantined_number, segment_name,
    segment_number,
};

// States of a pending frame.
const UNSYNCED: u8 = 0;
const DURABLE: u8 = 1;
const LOST: u8 = 2;

/// The size limits of a spool.
#[derive(Clone, Copy, Debug)]
pub struct SpoolLimits {
    /// The most bytes of all files together. A hard limit.
    pub total_bytes: u64,
    /// A new segment begins when the last one has reached this many bytes.
    pub segment_bytes: u64,
}

/// What a spool contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolUsage {
    /// The bytes of all files, including quarantined ones.
    pub bytes: u64,
    /// The number of segment files.
    pub segments: u64,
    /// The number of synced events that are not acknowledged.
    pub events: u64,
    /// The number of damaged places found since the spool was opened.
    pub damaged: u64,
    /// The number of quarantined files.
    pub quarantined: u64,
    /// When the oldest segment with such events began.
    pub oldest: Option<SystemTime>,
}

/// An appended frame. The next sync makes it durable or loses it.
#[derive(Debug)]
pub struct PendingFrame(Arc<AtomicU8>);

impl PendingFrame {
    /// Whether the frame is durable; `None` before the sync.
    #[must_use]
    pub fn durable(&self) -> Option<bool> {
        match self.0.load(Ordering::Acquire) {
            UNSYNCED => None,
            state => Some(state == DURABLE),
        }
    }
}

struct UnsyncedFrame {
    segment: u64,
    end: u64,
    events: u32,
    state: Arc<AtomicU8>,
    /// Grows by `events` at the moment they are durable.
    counter: Arc<AtomicU64>,
}

/// A frame that was read and is not acknowledged.
#[derive(Clone, Copy)]
struct ReadFrame {
    place: FramePlace,
    events: u32,
}

struct Segment {
    number: u64,
    /// When its file began.
    since: SystemTime,
    /// The process that wrote it, if the header is intact.
    instance: Option<Uuid>,
    /// The end of the last appended frame.
    len: u64,
    /// The end of the last synced frame.
    synced: u64,
    /// The bytes on disk that count against the budget.
    charged: u64,
    /// The number of synced events that are not acknowledged.
    events: u64,
    damaged: bool,
}

/// The files to sync. It is separate from the log, so others can append during the sync.
#[derive(Debug)]
pub struct SyncPlan<D: Disk> {
    files: Vec<Arc<D::File>>,
    frames: usize,
    names: bool,
}

impl<D: Disk> SyncPlan<D> {
    /// Syncs the files. Their names are synced by [`SegmentLog::end_sync`].
    ///
    /// # Errors
    /// If the disk fails. Then nothing since the last sync is durable.
    pub fn run(&self) -> std::io::Result<()> {
        self.files.iter().try_for_each(|file| file.sync())
    }
}

/// The log of a spool; see the module documentation.
pub struct SegmentLog<D: Disk> {
    disk: D,
    limits: SpoolLimits,
    header: SegmentHeader,
    /// All segments, oldest first.
    segments: VecDeque<Segment>,
    /// The file of the last segment, while it takes frames.
    active: Option<Arc<D::File>>,
    unsynced: VecDeque<UnsyncedFrame>,
    /// Files with unsynced frames.
    dirty: Vec<Arc<D::File>>,
    /// Whether some names are unsynced.
    dirty_names: bool,
    next_number: u64,
    next_sequence: u64,
    /// Where to read the next frame.
    cursor: FramePlace,
    /// The number and file of the segment that is being read.
    reader: Option<(u64, D::File)>,
    /// The frames that were read and are not acknowledged, oldest first.
    unacked: VecDeque<ReadFrame>,
    usage: SpoolUsage,
}

impl<D: Disk> SegmentLog<D> {
    /// Opens and repairs the log: it cuts off torn tails and deletes files without frames.
    /// `spool` is the permanent id of the spool, `instance` the id of this process.
    ///
    /// # Errors
    /// If the disk fails, or if a newer version wrote a file.
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
            cursor: FramePlace::default(),
            reader: None,
            unacked: VecDeque::new(),
            usage: SpoolUsage::default(),
        };
        let mut files = log.disk.list()?;
        // Names sort like numbers.
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
            // Nothing in the file is readable. Keep it, so that a person can inspect it.
            self.report_damage(name, 1);
            self.disk.rename(name, &quarantine_name(number))?;
            self.usage.bytes += len;
            self.usage.quarantined += 1;
            return Ok(());
        } else if found.frames == 0 {
            // No frame was ever synced, or all were acknowledged.
            self.disk.remove(name)?;
            return Ok(());
        }
        if found.end < len {
            tracing::info!(
                file = name,
                bytes = len - found.end,
                "cut off the torn tail of a spool file; its events were never acked"
            );
            file.truncate(found.end)?;
        }
        // The previous process may have ended before it synced these frames.
        file.sync()?;
        if let Some(last) = found.last_sequence {
            self.next_sequence = self.next_sequence.max(last + 1);
        }
        self.usage.events += found.events;
        self.usage.bytes += found.end;
        self.usage.segments += 1;
        self.segments.push_back(Segment {
            number,
            since: self.disk.began(&segment_name(number)),
            instance: found.header.map(|header| header.instance),
            len: found.end,
            synced: found.end,
            charged: found.end,
            events: found.events,
            damaged: found.damaged > 0,
        });
        Ok(())
    }

    /// What the log contains.
    #[must_use]
    pub fn usage(&self) -> SpoolUsage {
        let mut full = self.segments.iter().filter(|segment| segment.events > 0);
        SpoolUsage {
            oldest: full.next().map(|segment| segment.since),
            ..self.usage
        }
    }

    /// Appends a frame. When it becomes durable, and before it can be read, `counter`
    /// grows by `events`.
    ///
    /// # Errors
    /// If the budget is full or the disk fails. Then nothing is appended.
    pub fn append(
        &mut self,
        payload: &[u8],
        events: u32,
        counter: &Arc<AtomicU64>,
    ) -> Result<PendingFrame, SpoolError> {
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
        if let Err(error) = file.write_all_at(&header.frame(payload), segment.len) {
            if file.truncate(segment.len).is_err() {
                // The bytes after the last frame are unknown, so append no more frames here.
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
        let state = Arc::new(AtomicU8::new(UNSYNCED));
        self.unsynced.push_back(UnsyncedFrame {
            segment: segment.number,
            end: segment.len,
            events,
            state: state.clone(),
            counter: counter.clone(),
        });
        if !self.dirty.iter().any(|dirty| Arc::ptr_eq(dirty, &file)) {
            self.dirty.push(file);
        }
        Ok(PendingFrame(state))
    }

    fn begin_segment(&mut self) -> Result<Arc<D::File>, SpoolError> {
        let number = self.next_number;
        let name = segment_name(number);
        let file = self.disk.create(&name)?;
        self.next_number += 1;
        if let Err(error) = file.write_all_at(&self.header.encode(), 0) {
            // If this fails too, the next start deletes the file, as it has no frames.
            let _ = self.disk.remove(&name);
            return Err(error.into());
        }
        let file = Arc::new(file);
        let len = HEADER_BYTES as u64;
        self.segments.push_back(Segment {
            number,
            since: SystemTime::now(),
            instance: Some(self.header.instance),
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

    /// Begins a sync of all frames that were appended so far.
    pub fn begin_sync(&mut self) -> SyncPlan<D> {
        SyncPlan {
            files: std::mem::take(&mut self.dirty),
            frames: self.unsynced.len(),
            names: std::mem::take(&mut self.dirty_names),
        }
    }

    /// Ends a sync. If it succeeded, its frames are durable and can be read. If it failed,
    /// all unsynced frames are lost, including those appended during the sync.
    ///
    /// # Errors
    /// The error of the sync.
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
        // Files with later frames are in `dirty` again.
        Ok(())
    }

    /// Cuts off all unsynced frames, because their state on disk is unknown after a failed
    /// sync. The file of the last segment takes no more frames.
    fn lose_unsynced(&mut self) {
        self.active = None;
        self.dirty.clear();
        // No name is known to be durable until the next successful sync.
        self.dirty_names = true;
        for frame in self.unsynced.drain(..) {
            frame.state.store(LOST, Ordering::Release);
        }
        for segment in &mut self.segments {
            if segment.len == segment.synced {
                continue;
            }
            segment.len = segment.synced;
            let truncated = self
                .disk
                .open(&segment_name(segment.number))
                .and_then(|file| file.truncate(segment.synced));
            if truncated.is_ok() {
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
