//! The part of a client's batch that goes to one shard.

use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::Durability;
use super::suspects::{IsolatedUnit, Suspects};
use super::ticket::Tracker;
use crate::event::Event;
use crate::own_spans::SpanIds;
use crate::store::EventOutcome;

/// The part of a client's batch that goes to one shard.
#[derive(Debug)]
pub(super) struct Unit {
    /// The events with their positions in the client's batch.
    events: Vec<(u32, Event)>,
    /// The state of each event. Empty while all events are open.
    states: Vec<EventState>,
    bytes: usize,
    admitted: Instant,
    min_durability: Durability,
    client: u64,
    /// The part of all runs that its events are of; see [`super::route`].
    part: usize,
    /// The request that brought it, if that may be told.
    request: Option<SpanIds>,
    /// Whether the unit was refused alone.
    torn: bool,
    isolated: Option<IsolatedUnit>,
    tracker: Option<Arc<Tracker>>,
}

#[derive(Debug)]
pub(super) enum EventState {
    /// Neither written nor spooled.
    Open,
    Written(EventOutcome),
    Spooled,
}

impl Unit {
    /// An empty unit with capacity for exactly `events` events. Units hold most of the
    /// memory budget, so spare capacity would add up.
    pub fn new(client: u64, min_durability: Durability, events: usize) -> Self {
        Self {
            events: Vec::with_capacity(events),
            states: Vec::new(),
            bytes: 0,
            admitted: Instant::now(),
            min_durability,
            client,
            part: 0,
            request: None,
            torn: false,
            isolated: None,
            tracker: None,
        }
    }

    pub fn push(&mut self, index: u32, event: Event) {
        self.bytes += event.weight_bytes();
        self.events.push((index, event));
    }

    pub fn of_part(mut self, part: usize) -> Self {
        self.part = part;
        self
    }

    /// Units of one part may be written together without a change of slot.
    pub fn part(&self) -> usize {
        self.part
    }

    pub fn of_request(mut self, request: Option<SpanIds>) -> Self {
        self.request = request;
        self
    }

    pub fn request(&self) -> Option<SpanIds> {
        self.request
    }

    /// When the unit was admitted.
    pub fn admitted(&self) -> Instant {
        self.admitted
    }

    pub fn tracked_by(mut self, tracker: Arc<Tracker>) -> Self {
        self.tracker = Some(tracker);
        self
    }

    pub fn min_durability(&self) -> Durability {
        self.min_durability
    }

    /// The client that sent the unit.
    pub fn client(&self) -> u64 {
        self.client
    }

    /// Whether the unit was refused alone, so that it is written in parts.
    pub fn is_torn(&self) -> bool {
        self.torn
    }

    /// Records that the unit was refused alone.
    pub fn tear(&mut self) {
        self.torn = true;
    }

    /// Records that the unit is being isolated, if its client is a suspect.
    pub fn isolate(&mut self, suspects: &Arc<Suspects>) {
        if self.isolated.is_none() {
            self.isolated = suspects.isolate(self.client);
        }
    }

    /// Records that the unit is not being isolated any more.
    pub fn release(&mut self) {
        self.isolated = None;
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The time since the unit was admitted.
    pub fn age(&self) -> Duration {
        self.admitted.elapsed()
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// The events that are neither written nor spooled.
    pub fn open(&self) -> impl Iterator<Item = &Event> {
        let states = self.states.iter().map(Some);
        let all = self.events.iter().zip(states.chain(iter::repeat(None)));
        all.filter(|(_, state)| matches!(state, None | Some(EventState::Open)))
            .map(|((_, event), _)| event)
    }

    /// Sets the states of the open events, in order.
    fn update(&mut self, states: impl Iterator<Item = EventState>) {
        let mut states = states.peekable();
        if states.peek().is_none() {
            return;
        }
        self.states
            .resize_with(self.events.len(), || EventState::Open);
        for state in &mut self.states {
            if matches!(state, EventState::Open)
                && let Some(new) = states.next()
            {
                *state = new;
            }
        }
    }

    /// Reports the outcomes if no event is open. Otherwise returns the unit.
    pub fn settle(self) -> Option<Self> {
        if self.open().next().is_some() {
            return Some(self);
        }
        let indexes = self.events.iter().map(|(index, _)| *index);
        let outcomes = self.states.into_iter().map(|state| match state {
            EventState::Written(outcome) => Some(outcome),
            EventState::Open | EventState::Spooled => None,
        });
        if let Some(tracker) = &self.tracker {
            tracker.settle(indexes.zip(outcomes));
        }
        None
    }
}

/// Sets the states of the open events of `units`, in order. Returns the units that still
/// have open events.
pub(super) fn update(units: Vec<Unit>, states: impl IntoIterator<Item = EventState>) -> Vec<Unit> {
    let mut states = states.into_iter();
    let mut rest = Vec::new();
    for mut unit in units {
        let open = unit.open().count();
        unit.update(states.by_ref().take(open));
        rest.extend(unit.settle());
    }
    rest
}
