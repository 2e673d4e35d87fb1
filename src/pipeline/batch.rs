//! What a handler passes to the pipeline, and what it gets back.

use crate::event::{Event, Refusal};
use crate::histograms::BatchSource;
use crate::own_spans::SpanIds;

/// The least weight of a batch, in bytes. A queue has capacity for as many units as the
/// budget can hold at this weight, so sending to a queue never blocks.
pub(super) const MIN_UNIT_BYTES: usize = 256;

/// A client's batch after validation.
#[derive(Debug, Default)]
pub struct Batch {
    /// The client that sent the batch: the number of its connection.
    pub client: u64,
    /// The valid events with their positions in the batch.
    pub events: Vec<(u32, Event)>,
    /// The refused events with their positions in the batch.
    pub refused: Vec<(u32, Refusal)>,
    /// Where and when it arrived.
    pub source: BatchSource,
    /// The request that brought it, if that may be told.
    pub request: Option<SpanIds>,
}

impl Batch {
    /// The bytes that the batch takes of the memory budget until it is settled.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        let events: usize = self
            .events
            .iter()
            .map(|(_, event)| event.weight_bytes())
            .sum();
        // A unit takes a slot in a queue, whatever its size.
        events + MIN_UNIT_BYTES
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

/// The outcome of a client's batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOutcome {
    /// The lowest durability of its events.
    pub durability: Durability,
    /// Events that inserted or changed a row.
    pub committed: u64,
    /// Events that were committed before.
    pub duplicate: u64,
    /// Events that are in the spool.
    pub spooled: u64,
    /// Refused events and dead letters, with their positions in the batch.
    pub refused: Vec<(u32, Refusal)>,
}
