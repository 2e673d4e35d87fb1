//! The reading end of the log: frames in their order, what is damaged put aside,
//! what is settled deleted file by file.

use super::super::disk::Disk;
use super::super::error::SpoolError;
use super::super::frame::Frame;
use super::super::scan::{Found, find_frame, read_frame};
use super::super::segment::{HEADER_BYTES, quarantine_name, segment_name};
use super::{Segment, SegmentLog};

impl<D: Disk> SegmentLog<D> {
    /// The next frame that is durable and not yet acknowledged; the same one
    /// until [`Self::ack`].
    ///
    /// # Errors
    /// When the disk cannot be read.
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
                // A header that is damaged is no frame either: it is skipped.
                self.read_at = self.read_at.max(HEADER_BYTES as u64);
            }
            let Some((_, file)) = &self.reader else {
                return Ok(None);
            };
            match read_frame(file, self.read_at, synced)? {
                Found::Frame(frame) => {
                    self.in_hand = Some((frame.end, frame.events));
                    return Ok(Some(frame));
                }
                Found::End => self.read_at = synced,
                Found::Damage { .. } => {
                    let next = find_frame(file, self.read_at + 1, synced)?;
                    self.read_at = next.unwrap_or(synced);
                    self.damage_while_reading(number);
                }
            }
        }
    }

    fn damage_while_reading(&mut self, number: u64) {
        // What was found when it was opened has been reported.
        if let Some(first) = self.segments.front_mut()
            && !first.damaged
        {
            first.damaged = true;
            self.report_damage(&segment_name(number), 1);
        }
    }

    pub(super) fn report_damage(&mut self, file: &str, places: u64) {
        self.usage.damaged += places;
        // ERROR: events that were acknowledged are lost.
        tracing::error!(
            file,
            places,
            "the spool is damaged: the frames that are hit are lost, the file is kept"
        );
    }

    /// The frame that was last read is settled; its segment is deleted if it
    /// was the last one in it.
    pub fn ack(&mut self) {
        let Some((end, events)) = self.in_hand.take() else {
            return;
        };
        self.read_at = end;
        if let Some(first) = self.segments.front_mut() {
            first.events = first.events.saturating_sub(u64::from(events));
        }
        self.usage.events = self.usage.events.saturating_sub(u64::from(events));
        self.drop_finished();
    }

    /// The frame that was last read cannot be settled; its file is kept.
    pub fn quarantine(&mut self) {
        if let Some(first) = self.segments.front_mut() {
            first.damaged = true;
        }
        self.ack();
    }

    /// Deletes segments that are read to their end and get no more.
    pub(super) fn drop_finished(&mut self) {
        while let Some(first) = self.segments.front() {
            let in_use = first.len > first.synced || self.in_hand.is_some();
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
        // Those of frames that turned out to be damaged.
        self.usage.events = self.usage.events.saturating_sub(segment.events);
        let name = segment_name(segment.number);
        let done = if segment.damaged {
            self.usage.quarantined += 1;
            self.disk.rename(&name, &quarantine_name(segment.number))
        } else {
            self.disk.remove(&name)
        };
        // Durably, or after a loss of power it would be beside what took its room.
        match done.and_then(|()| self.disk.sync_names()) {
            Ok(()) if segment.damaged => {}
            Ok(()) => self.usage.bytes -= segment.charged,
            // WARN: it goes on counting, and is read again after a restart.
            Err(error) => {
                tracing::warn!(file = name, %error, "a file of the spool cannot be put away");
            }
        }
    }
}
