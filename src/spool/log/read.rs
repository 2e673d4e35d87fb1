//! The reading end of the log. It reads frames in order, quarantines damaged segments,
//! and deletes segments whose frames are all acknowledged.

use super::{Segment, SegmentLog};
use crate::spool::disk::Disk;
use crate::spool::error::SpoolError;
use crate::spool::frame::Frame;
use crate::spool::scan::{FrameRead, find_frame, read_frame};
use crate::spool::segment::{HEADER_BYTES, quarantine_name, segment_name};

impl<D: Disk> SegmentLog<D> {
    /// Reads the next frame that is durable and not acknowledged. It returns the same
    /// frame until [`Self::ack`].
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn read(&mut self) -> Result<Option<Frame>, SpoolError> {
        loop {
            let Some(first) = self.segments.front() else {
                return Ok(None);
            };
            let (number, synced) = (first.number, first.synced);
            if self.read_at >= synced {
                let before = self.segments.len();
                self.drop_finished();
                if self.segments.len() == before {
                    return Ok(None);
                }
                continue;
            }
            if self.reader.as_ref().is_none_or(|(open, _)| *open != number) {
                self.reader = Some((number, self.disk.open(&segment_name(number))?));
                // Skip the header, also if it is damaged.
                self.read_at = self.read_at.max(HEADER_BYTES as u64);
            }
            let Some((_, file)) = &self.reader else {
                return Ok(None);
            };
            match read_frame(file, self.read_at, synced)? {
                FrameRead::Frame(frame) => {
                    self.unacked = Some((frame.end, frame.events));
                    return Ok(Some(frame));
                }
                FrameRead::End => self.read_at = synced,
                FrameRead::Damaged { .. } => {
                    let next = find_frame(file, self.read_at + 1, synced)?;
                    self.read_at = next.unwrap_or(synced);
                    self.damage_while_reading(number);
                }
            }
        }
    }

    fn damage_while_reading(&mut self, number: u64) {
        // Damage found when the log was opened is reported already.
        if let Some(first) = self.segments.front_mut()
            && !first.damaged
        {
            first.damaged = true;
            self.report_damage(&segment_name(number), 1);
        }
    }

    pub(super) fn report_damage(&mut self, file: &str, places: u64) {
        self.usage.damaged += places;
        // ERROR: events that were acked are lost.
        tracing::error!(
            file,
            places,
            "a spool file is damaged: its damaged frames are lost; the file will be quarantined"
        );
    }

    /// Acknowledges the frame that was read last: it is settled. Deletes the segment if
    /// this was its last frame.
    pub fn ack(&mut self) {
        let Some((end, events)) = self.unacked.take() else {
            return;
        };
        self.read_at = end;
        if let Some(first) = self.segments.front_mut() {
            first.events = first.events.saturating_sub(u64::from(events));
        }
        self.usage.events = self.usage.events.saturating_sub(u64::from(events));
        self.drop_finished();
    }

    /// Skips the frame that was read last, because it cannot be settled. Its file will be
    /// quarantined.
    pub fn quarantine(&mut self) {
        if let Some(first) = self.segments.front_mut() {
            first.damaged = true;
        }
        self.ack();
    }

    /// Deletes or quarantines the segments whose frames are all acknowledged.
    pub(super) fn drop_finished(&mut self) {
        while let Some(first) = self.segments.front() {
            let in_use = first.len > first.synced || self.unacked.is_some();
            let unread = self.read_at < first.synced && first.synced > HEADER_BYTES as u64;
            if in_use || unread {
                return;
            }
            if self.segments.len() == 1 {
                self.active = None;
            }
            self.read_at = 0;
            self.reader = None;
            if let Some(segment) = self.segments.pop_front() {
                self.usage.segments -= 1;
                self.dispose(&segment);
            }
        }
    }

    fn dispose(&mut self, segment: &Segment) {
        // Events of damaged frames were counted when the frames were appended.
        self.usage.events = self.usage.events.saturating_sub(segment.events);
        let name = segment_name(segment.number);
        let done = if segment.damaged {
            self.usage.quarantined += 1;
            self.disk.rename(&name, &quarantine_name(segment.number))
        } else {
            self.disk.remove(&name)
        };
        // Make it durable: otherwise the file could come back after a power loss and exceed
        // the budget together with newer files.
        match done.and_then(|()| self.disk.sync_names()) {
            Ok(()) if segment.damaged => {}
            Ok(()) => self.usage.bytes -= segment.charged,
            // WARN: the file still counts against the budget, and its frames are read
            // again after a restart.
            Err(error) => {
                tracing::warn!(file = name, %error, "cannot delete or rename a finished spool file");
            }
        }
    }
}
