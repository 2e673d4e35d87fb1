//! The outcomes of the events of a batch.

use std::ops::AddAssign;

use crate::event::Refusal;

/// The outcome of one event. Each event has exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventOutcome {
    /// The event made or changed a row.
    Committed,
    /// The event changed nothing: its content was stored already.
    Duplicate,
    /// The event was refused and is not stored.
    Refused(Refusal),
    /// The event is stored in `ingest_dead_letters`: Postgres refused it, or it was refused
    /// after its ack.
    DeadLettered(Refusal),
    /// The event is not stored, because its run or session was deleted.
    Ignored(Refusal),
}

/// The number of events per outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct OutcomeCounts {
    pub committed: u64,
    pub duplicate: u64,
    pub refused: u64,
    pub dead_lettered: u64,
    pub ignored: u64,
}

impl OutcomeCounts {
    /// Counts outcomes.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a EventOutcome>) -> Self {
        let mut counts = Self::default();
        for outcome in outcomes {
            match outcome {
                EventOutcome::Committed => counts.committed += 1,
                EventOutcome::Duplicate => counts.duplicate += 1,
                EventOutcome::Refused(_) => counts.refused += 1,
                EventOutcome::DeadLettered(_) => counts.dead_lettered += 1,
                EventOutcome::Ignored(_) => counts.ignored += 1,
            }
        }
        counts
    }
}

/// What values of steps that are stored as contents took, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContentBytes {
    /// The values.
    pub values: u64,
    /// The rows of contents that were added for them, approximately.
    pub new: u64,
}

impl AddAssign for ContentBytes {
    fn add_assign(&mut self, other: Self) {
        self.values += other.values;
        self.new += other.new;
    }
}
