//! What became of the events of a batch.

use crate::event::Refusal;

/// What became of one event; each has exactly one outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventOutcome {
    /// It made or changed a row.
    Committed,
    /// It was there already.
    Duplicate,
    /// It was refused.
    Refused(Refusal),
    /// Postgres refused it; it is kept in `ingest_dead_letters`.
    DeadLettered(Refusal),
}

/// How many events met which outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct OutcomeCounts {
    pub committed: u64,
    pub duplicate: u64,
    pub refused: u64,
    pub dead_lettered: u64,
}

impl OutcomeCounts {
    /// Counts outcomes.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a EventOutcome>) -> Self {
        let mut tally = Self::default();
        for outcome in outcomes {
            match outcome {
                EventOutcome::Committed => tally.committed += 1,
                EventOutcome::Duplicate => tally.duplicate += 1,
                EventOutcome::Refused(_) => tally.refused += 1,
                EventOutcome::DeadLettered(_) => tally.dead_lettered += 1,
            }
        }
        tally
    }
}
