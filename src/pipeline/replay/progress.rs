//! How far a spool is replayed, as the ledger keeps it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::spool::FramePlace;

/// The place of an event in its spool. Events are ordered by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EventPlace {
    pub frame: FramePlace,
    /// The position of the event in its frame.
    pub event: u32,
}

impl EventPlace {
    /// Stands for all events of a frame that cannot be decoded.
    pub fn whole(frame: FramePlace) -> Self {
        let event = u32::MAX;
        Self { frame, event }
    }

    /// The place after this event.
    pub fn next(self) -> Self {
        let event = self.event.saturating_add(1);
        Self { event, ..self }
    }
}

/// The serialized form of a place: segment, offset, event.
type Numbers = (u64, u64, u32);

/// How far a spool is replayed.
///
/// The number of a segment may be used again once the spool was empty, so the progress
/// also names the process that wrote the segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The process that wrote the segment of `done`.
    pub instance: Uuid,
    /// All events before this place are settled, except those in `open`.
    done: Numbers,
    /// Events before `done` that are not settled, in order.
    open: Vec<Numbers>,
    /// Events before `done` that cannot be stored; their files must be quarantined.
    kept: Vec<Numbers>,
}

impl Progress {
    pub fn new(
        instance: Uuid,
        done: EventPlace,
        open: impl IntoIterator<Item = EventPlace>,
        kept: &[EventPlace],
    ) -> Self {
        let mut open: Vec<Numbers> = open.into_iter().map(numbers).collect();
        open.sort_unstable();
        Self {
            instance,
            done: numbers(done),
            open,
            kept: kept.iter().copied().map(numbers).collect(),
        }
    }

    pub fn done(&self) -> EventPlace {
        place(self.done)
    }

    pub fn kept(&self) -> impl Iterator<Item = EventPlace> {
        self.kept.iter().copied().map(place)
    }

    /// Whether the event is settled.
    pub fn is_settled(&self, event: EventPlace) -> bool {
        let event = numbers(event);
        event < self.done && self.open.binary_search(&event).is_err()
    }

    /// Whether all events of a frame are settled.
    pub fn is_frame_settled(&self, frame: FramePlace, events: u32) -> bool {
        let first = numbers(EventPlace { frame, event: 0 });
        let end = (first.0, first.1, events);
        let open = self.open.partition_point(|open| *open < first);
        end <= self.done && self.open.get(open).is_none_or(|open| *open >= end)
    }
}

fn numbers(place: EventPlace) -> Numbers {
    (place.frame.segment, place.frame.offset, place.event)
}

fn place((segment, offset, event): Numbers) -> EventPlace {
    let frame = FramePlace { segment, offset };
    EventPlace { frame, event }
}
