//! What a handler hands in, and what it gets back.

use crate::event::{Event, Refusal};

/// A client's batch after validation.
#[derive(Debug, Default)]
pub struct Batch {
    /// The valid events with their positions.
    pub events: Vec<(u32, Event)>,
    /// The others.
    pub refused: Vec<(u32, Refusal)>,
}

impl Batch {
    /// What it holds of the byte budget until it is settled.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        let events: usize = self
            .events
            .iter()
            .map(|(_, event)| event.weight_bytes())
            .sum();
        // Each shard's unit takes a slot of the queue, whatever is in it.
        events + super::MIN_UNIT_BYTES
    }
}

/// How safe a settled batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// In the spool, fsynced.
    Spooled,
    /// Committed in Postgres.
    Committed,
}

/// What became of a client's batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOutcome {
    /// The least of its events.
    pub durability: Durability,
    /// Events that made or changed a row.
    pub committed: u64,
    /// Events that were there already.
    pub duplicate: u64,
    /// Events that are in the spool.
    pub spooled: u64,
    /// Events that were refused, dead letters included, by position.
    pub refused: Vec<(u32, Refusal)>,
}
