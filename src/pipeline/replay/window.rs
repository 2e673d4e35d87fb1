//! The frames that the replayer has read and not yet acknowledged, and their events.

use std::collections::VecDeque;

use uuid::Uuid;

use super::isolation::Trouble;
use super::progress::{EventPlace, Progress};
use crate::event::Event;
use crate::spool::{Frame, FramePlace};
use crate::store::RefusedPart;

/// An event that is not settled.
struct OpenEvent {
    place: EventPlace,
    event: Event,
    /// Set once the event failed on its own.
    trouble: Option<Trouble>,
}

struct WindowFrame {
    place: FramePlace,
    /// The process that wrote its segment; nil if unknown.
    instance: Uuid,
    /// The number of open events.
    open: usize,
    /// Whether every settled event is stored somewhere.
    sound: bool,
}

/// What came of adding a frame.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pushed {
    /// The events that an earlier process settled.
    pub settled: u64,
    /// The events of a frame that cannot be decoded.
    pub unreadable: u64,
}

/// Some open events: those that are written in one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplayBatch {
    /// The first events in the order of the spool.
    Front(usize),
    /// The first of the events that failed on their own.
    Deferred,
    /// The first of the refused events.
    Refused(usize),
}

impl ReplayBatch {
    /// How many of the queued, the deferred and the refused events it has.
    fn counts(self) -> (usize, usize, usize) {
        match self {
            Self::Front(count) => (count, 0, 0),
            Self::Deferred => (0, 1, 0),
            Self::Refused(count) => (0, 0, count),
        }
    }
}

/// The window.
#[derive(Default)]
pub(super) struct Window {
    frames: VecDeque<WindowFrame>,
    /// Open events in the order of the spool.
    queue: VecDeque<OpenEvent>,
    /// Events that failed on their own, in the order of their next attempts.
    deferred: VecDeque<OpenEvent>,
    /// Events that Postgres refused on their own, and why. They become dead letters.
    refused: VecDeque<(OpenEvent, RefusedPart)>,
    /// The weight of all open events.
    bytes: usize,
    /// All events before this place are settled, except the open ones.
    done: EventPlace,
    done_by: Uuid,
    /// Events that cannot be stored, in files that are not quarantined yet.
    kept: Vec<EventPlace>,
    /// What an earlier process settled, until all of that was read.
    earlier: Option<Progress>,
}

impl Window {
    /// Continues where an earlier process ended. The window must be empty.
    pub fn resume(&mut self, earlier: Progress) {
        self.done = earlier.done();
        self.done_by = earlier.instance;
        self.kept = earlier.kept().collect();
        self.earlier = Some(earlier);
    }

    /// Whether frames that an earlier process settled may still be read.
    pub fn is_resuming(&self) -> bool {
        self.earlier.is_some()
    }

    /// No more frames of an earlier process are there.
    pub fn resumed(&mut self) {
        self.earlier = None;
    }

    /// Adds a frame that was read. `instance` is the process that wrote its segment.
    pub fn push(
        &mut self,
        frame: &Frame,
        instance: Uuid,
        decode: fn(&[u8]) -> Option<Vec<Event>>,
    ) -> Pushed {
        let place = frame.place;
        if self
            .earlier
            .as_ref()
            .is_some_and(|earlier| earlier.done().frame < place)
        {
            self.earlier = None;
        }
        let mut pushed = Pushed::default();
        let mut open = 0;
        let earlier = self.earlier.as_ref();
        if earlier.is_some_and(|earlier| earlier.is_frame_settled(place, frame.events)) {
            pushed.settled = u64::from(frame.events);
        } else if let Some(events) = decode(&frame.payload) {
            for (event, number) in events.into_iter().zip(0..) {
                let place = EventPlace {
                    frame: place,
                    event: number,
                };
                if earlier.is_some_and(|earlier| earlier.is_settled(place)) {
                    pushed.settled += 1;
                    continue;
                }
                open += 1;
                self.bytes += event.weight_bytes();
                self.queue.push_back(OpenEvent {
                    place,
                    event,
                    trouble: None,
                });
            }
        } else {
            pushed.unreadable = u64::from(frame.events);
            self.kept.push(EventPlace::whole(place));
        }
        self.frames.push_back(WindowFrame {
            place,
            instance,
            open,
            sound: self.kept.iter().all(|kept| kept.frame != place),
        });
        // Files before the first frame are quarantined already.
        let first = self.frames.front().map_or(0, |first| first.place.segment);
        self.kept.retain(|kept| kept.frame.segment >= first);
        pushed
    }

    /// The number of open events in the order of the spool.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// The number of events that failed on their own.
    pub fn deferred(&self) -> usize {
        self.deferred.len()
    }

    /// The number of refused events.
    pub fn refused(&self) -> usize {
        self.refused.len()
    }

    /// The weight of all open events.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many of the first events make a batch of at most so many events and bytes. At
    /// least one, if there is one.
    pub fn front(&self, max_events: usize, max_bytes: usize) -> usize {
        fitting(&self.queue, max_events, max_bytes, |open| open)
    }

    /// The same for the first refused events.
    pub fn refused_front(&self, max_events: usize, max_bytes: usize) -> usize {
        fitting(&self.refused, max_events, max_bytes, |(open, _)| open)
    }

    /// The first refused events, and why Postgres refused them.
    pub fn refusals(&self, count: usize) -> Vec<(&Event, &RefusedPart)> {
        let first = self.refused.iter().take(count);
        first.map(|(open, part)| (&open.event, part)).collect()
    }

    /// The events of a batch.
    pub fn events(&self, batch: ReplayBatch) -> Vec<&Event> {
        let (queued, deferred, refused) = batch.counts();
        let queue = self.queue.iter().take(queued);
        let deferred = self.deferred.iter().take(deferred);
        let refused = self.refused.iter().take(refused).map(|(open, _)| open);
        let all = queue.chain(deferred).chain(refused);
        all.map(|open| &open.event).collect()
    }

    /// The place of the first event of a batch.
    pub fn place(&self, batch: ReplayBatch) -> EventPlace {
        let first = match batch {
            ReplayBatch::Front(_) => self.queue.front(),
            ReplayBatch::Deferred => self.deferred.front(),
            ReplayBatch::Refused(_) => self.refused.front().map(|(open, _)| open),
        };
        first.map_or_else(EventPlace::default, |open| open.place)
    }

    /// The progress once a batch is settled.
    pub fn progress_after(&self, batch: ReplayBatch) -> Progress {
        let (queued, deferred, refused) = batch.counts();
        let (done, instance) = self.done_after(queued);
        let before = self.queue.iter().skip(queued);
        let before = before.take_while(|open| open.place < done);
        let refused = self.refused.iter().skip(refused).map(|(open, _)| open);
        let open = before.chain(self.deferred.iter().skip(deferred));
        let open = open.chain(refused);
        Progress::new(instance, done, open.map(|open| open.place), &self.kept)
    }

    fn done_after(&self, queued: usize) -> (EventPlace, Uuid) {
        let last = queued.checked_sub(1).and_then(|last| self.queue.get(last));
        match last.map(|last| last.place.next()) {
            Some(done) if done > self.done => {
                let frame = self.frame(done.frame);
                let instance = frame.map(|at| self.frames[at].instance);
                (done, instance.unwrap_or_default())
            }
            _ => (self.done, self.done_by),
        }
    }

    /// A batch is settled.
    pub fn settle(&mut self, batch: ReplayBatch) {
        self.remove(batch);
    }

    /// An event cannot be stored anywhere: its file will be quarantined.
    pub fn keep(&mut self, batch: ReplayBatch) {
        for place in self.remove(batch) {
            if let Some(at) = self.frame(place.frame) {
                self.frames[at].sound = false;
            }
            self.kept.push(place);
        }
    }

    fn remove(&mut self, batch: ReplayBatch) -> Vec<EventPlace> {
        let removed: Vec<OpenEvent> = match batch {
            ReplayBatch::Front(count) => {
                (self.done, self.done_by) = self.done_after(count);
                self.queue.drain(..count).collect()
            }
            ReplayBatch::Deferred => self.deferred.pop_front().into_iter().collect(),
            ReplayBatch::Refused(count) => {
                let first = self.refused.drain(..count);
                first.map(|(open, _)| open).collect()
            }
        };
        for open in &removed {
            self.bytes -= open.event.weight_bytes();
            if let Some(at) = self.frame(open.place.frame) {
                self.frames[at].open -= 1;
            }
        }
        removed.into_iter().map(|open| open.place).collect()
    }

    fn frame(&self, place: FramePlace) -> Option<usize> {
        self.frames
            .binary_search_by_key(&place, |frame| frame.place)
            .ok()
    }

    /// The event of a batch failed on its own: the ones behind it come first now. An event
    /// that failed again goes behind the others that did.
    pub fn defer(&mut self, batch: ReplayBatch, trouble: Trouble) {
        if let Some(open) = self.set_aside(batch) {
            self.deferred.push_back(OpenEvent {
                trouble: Some(trouble),
                ..open
            });
        }
    }

    /// The event of a batch was refused on its own.
    pub fn refuse(&mut self, batch: ReplayBatch, part: RefusedPart) {
        if let Some(open) = self.set_aside(batch) {
            self.refused.push_back((open, part));
        }
    }

    /// Takes the first event of a batch out of its list. It stays open.
    fn set_aside(&mut self, batch: ReplayBatch) -> Option<OpenEvent> {
        match batch {
            ReplayBatch::Front(_) => {
                (self.done, self.done_by) = self.done_after(1);
                self.queue.pop_front()
            }
            ReplayBatch::Deferred => self.deferred.pop_front(),
            ReplayBatch::Refused(_) => self.refused.pop_front().map(|(open, _)| open),
        }
    }

    /// The trouble with the first event that failed on its own.
    pub fn trouble(&self) -> Option<Trouble> {
        self.deferred.front().and_then(|open| open.trouble)
    }

    /// Removes the first frame if all of its events are settled. Returns whether they are
    /// all stored somewhere.
    pub fn pop_settled(&mut self) -> Option<bool> {
        self.frames.front().filter(|frame| frame.open == 0)?;
        self.frames.pop_front().map(|frame| frame.sound)
    }
}

/// How many of the first events make a batch of at most so many events and bytes. At least
/// one, if there is one.
fn fitting<T>(
    list: &VecDeque<T>,
    max_events: usize,
    max_bytes: usize,
    open: impl Fn(&T) -> &OpenEvent,
) -> usize {
    let mut bytes = 0;
    let fits = list.iter().take(max_events).take_while(|item| {
        bytes += open(item).event.weight_bytes();
        bytes <= max_bytes
    });
    fits.count().max(1).min(list.len())
}

#[cfg(test)]
mod tests;
