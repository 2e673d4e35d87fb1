//! The reading end of the log. It reads frames in order, quarantines damaged segments,
//! and deletes segments whose frames are all acknowledged.

use std::cmp::Ordering::{Equal, Greater, Less};

use uuid::Uuid;

use super::{ReadFrame, Segment, SegmentLog};
use crate::spool::disk::Disk;
use crate::spool::error::SpoolError;
use crate::spool::frame::{Frame, FramePlace};
use crate::spool::scan::{FrameRead, find_frame, read_frame};
use crate::spool::segment::{HEADER_BYTES, quarantine_name, segment_name};

impl<D: Disk> SegmentLog<D> {
    /// Reads the oldest frame that is durable and not acknowledged. It returns the same
    /// frame until [`Self::ack`].
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn read(&mut self) -> Result<Option<Frame>, SpoolError> {
        while let Some(oldest) = self.unacked.front() {
            let FramePlace { segment, offset } = oldest.place;
            let index = self.segments.partition_point(|one| one.number < segment);
            let synced = self.segments.get(index).map_or(0, |one| one.synced);
            let file = self.disk.open(&segment_name(segment))?;
            if let FrameRead::Frame(mut frame) = read_frame(&file, offset, synced)? {
                frame.place.segment = segment;
                return Ok(Some(frame));
            }
            // Damaged since it was read.
            self.damage_while_reading(index);
            self.ack();
        }
        self.read_ahead()
    }

    /// Reads the durable frame after the last one that was read, whether that one is
    /// acknowledged or not.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn read_ahead(&mut self) -> Result<Option<Frame>, SpoolError> {
        loop {
            let behind = |segment: &Segment| segment.number < self.cursor.segment;
            let index = self.segments.partition_point(behind);
            let Some(segment) = self.segments.get(index) else {
                return Ok(None);
            };
            let (number, synced) = (segment.number, segment.synced);
            if number != self.cursor.segment {
                // Skip the header, also if it is damaged.
                self.cursor = FramePlace {
                    segment: number,
                    offset: HEADER_BYTES as u64,
                };
            }
            if self.cursor.offset >= synced {
                let next = self.segments.get(index + 1).map(|next| next.number);
                let complete = segment.len == synced;
                match next.filter(|_| complete) {
                    Some(next) => {
                        self.cursor = FramePlace {
                            segment: next,
                            offset: HEADER_BYTES as u64,
                        }
                    }
                    None => {
                        self.drop_finished();
                        return Ok(None);
                    }
                }
                continue;
            }
            if self.reader.as_ref().is_none_or(|(open, _)| *open != number) {
                self.reader = Some((number, self.disk.open(&segment_name(number))?));
            }
            let Some((_, file)) = &self.reader else {
                return Ok(None);
            };
            match read_frame(file, self.cursor.offset, synced)? {
                FrameRead::Frame(mut frame) => {
                    frame.place.segment = number;
                    self.unacked.push_back(ReadFrame {
                        place: frame.place,
                        events: frame.events,
                    });
                    self.cursor.offset = frame.end;
                    return Ok(Some(frame));
                }
                FrameRead::End => self.cursor.offset = synced,
                FrameRead::Damaged { .. } => {
                    let next = find_frame(file, self.cursor.offset + 1, synced)?;
                    self.cursor.offset = next.unwrap_or(synced);
                    self.damage_while_reading(index);
                }
            }
        }
    }

    /// Whether the log has the segment with this number, and this process wrote it.
    pub fn has_segment(&self, number: u64, instance: Uuid) -> bool {
        let mut segments = self.segments.iter();
        segments.any(|segment| segment.number == number && segment.instance == Some(instance))
    }

    /// The process that wrote a segment, if that is known.
    pub fn writer_of(&self, number: u64) -> Option<Uuid> {
        let mut segments = self.segments.iter();
        let found = segments.find(|segment| segment.number == number);
        found.and_then(|segment| segment.instance)
    }

    fn damage_while_reading(&mut self, index: usize) {
        // Damage found when the log was opened is reported already.
        if let Some(segment) = self.segments.get_mut(index)
            && !segment.damaged
        {
            segment.damaged = true;
            let name = segment_name(segment.number);
            self.report_damage(&name, 1);
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

    /// Acknowledges the oldest frame that was read: it is settled. Deletes the segment if
    /// this was its last frame.
    pub fn ack(&mut self) {
        let Some(ReadFrame { place, events }) = self.unacked.pop_front() else {
            return;
        };
        if let Some(segment) = self.segment_mut(place.segment) {
            segment.events = segment.events.saturating_sub(u64::from(events));
        }
        self.usage.events = self.usage.events.saturating_sub(u64::from(events));
        self.drop_finished();
    }

    /// Skips the oldest frame that was read, because it cannot be settled. Its file will be
    /// quarantined.
    pub fn quarantine(&mut self) {
        if let Some(ReadFrame { place, .. }) = self.unacked.front().copied()
            && let Some(segment) = self.segment_mut(place.segment)
        {
            segment.damaged = true;
        }
        self.ack();
    }

    fn segment_mut(&mut self, number: u64) -> Option<&mut Segment> {
        let mut segments = self.segments.iter_mut();
        segments.find(|segment| segment.number == number)
    }

    /// Deletes or quarantines the segments whose frames are all acknowledged.
    pub(super) fn drop_finished(&mut self) {
        while let Some(first) = self.segments.front() {
            let unacked = self.unacked.front().map(|frame| frame.place.segment);
            let in_use = first.len > first.synced || unacked == Some(first.number);
            let read = match self.cursor.segment.cmp(&first.number) {
                Less => first.synced <= HEADER_BYTES as u64,
                Equal => self.cursor.offset >= first.synced,
                Greater => true,
            };
            if in_use || !read {
                return;
            }
            if self.segments.len() == 1 {
                self.active = None;
            }
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
