//! The part of a client's batch that goes to one shard, and what has become of its events.

use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::Durability;
use super::ticket::Tracker;
use crate::event::Event;
use crate::store::EventOutcome;

/// The part of a client's batch that goes to one shard.
#[derive(Debug)]
pub(super) struct Unit {
    events: Vec<(u32, Event)>,
    /// What has become of each event; empty until something is known of any.
    states: Vec<UnitState>,
    bytes: usize,
    admitted: Instant,
    /// The least that the client wants.
    least: Durability,
    tracker: Option<Arc<Tracker>>,
}

#[derive(Debug)]
pub(super) enum UnitState {
    Open,
    Written(EventOutcome),
    Spooled,
}

impl Unit {
    /// An empty one, with room for so many events and no more: most of the budget
    /// waits in units.
    pub fn new(least: Durability, events: usize) -> Self {
        Self {
            events: Vec::with_capacity(events),
            states: Vec::new(),
            bytes: 0,
            admitted: Instant::now(),
            least,
            tracker: None,
        }
    }

    pub fn push(&mut self, index: u32, event: Event) {
        self.bytes += event.weight_bytes();
        self.events.push((index, event));
    }

    pub fn tracked_by(mut self, tracker: Arc<Tracker>) -> Self {
        self.tracker = Some(tracker);
        self
    }

    pub fn least(&self) -> Durability {
        self.least
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How long ago it was admitted.
    pub fn age(&self) -> Duration {
        self.admitted.elapsed()
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Events of which it is not known yet what becomes of them.
    pub fn open(&self) -> impl Iterator<Item = &Event> {
        let states = self.states.iter().map(Some);
        let all = self.events.iter().zip(states.chain(iter::repeat(None)));
        all.filter(|(_, state)| matches!(state, None | Some(UnitState::Open)))
            .map(|((_, event), _)| event)
    }

    /// What has become of the open events, in their order.
    fn update(&mut self, states: impl Iterator<Item = UnitState>) {
        let mut states = states.peekable();
        if states.peek().is_none() {
            return;
        }
        self.states
            .resize_with(self.events.len(), || UnitState::Open);
        for state in &mut self.states {
            if matches!(state, UnitState::Open)
                && let Some(new) = states.next()
            {
                *state = new;
            }
        }
    }

    /// Answers for it if nothing is open; gives it back if something is.
    pub fn settle(self) -> Option<Self> {
        if self.open().next().is_some() {
            return Some(self);
        }
        let indexes = self.events.iter().map(|(index, _)| *index);
        let outcomes = self.states.into_iter().map(|state| match state {
            UnitState::Written(outcome) => Some(outcome),
            UnitState::Open | UnitState::Spooled => None,
        });
        if let Some(tracker) = &self.tracker {
            tracker.settle(indexes.zip(outcomes));
        }
        None
    }
}

/// Says what has become of the open events of units; returns those that still
/// have some.
pub(super) fn update(units: Vec<Unit>, states: impl IntoIterator<Item = UnitState>) -> Vec<Unit> {
    let mut states = states.into_iter();
    let mut rest = Vec::new();
    for mut unit in units {
        let open = unit.open().count();
        unit.update(states.by_ref().take(open));
        rest.extend(unit.settle());
    }
    rest
}
