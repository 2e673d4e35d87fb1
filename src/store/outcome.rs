//! What became of the events of a batch.

use crate::event::Refusal;

/// What became of one event; each has exactly one fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It made or changed a row.
    Committed,
    /// It was there already.
    Duplicate,
    /// It was refused.
    Refused(Refusal),
    /// Postgres refused it; it is kept in `ingest_dead_letters`.
    DeadLettered(Refusal),
}

/// How many events met which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Tally {
    pub committed: u64,
    pub duplicate: u64,
    pub refused: u64,
    pub dead_lettered: u64,
}

impl Tally {
    /// Counts fates.
    pub fn of<'a>(fates: impl IntoIterator<Item = &'a Fate>) -> Self {
        let mut tally = Self::default();
        for fate in fates {
            match fate {
                Fate::Committed => tally.committed += 1,
                Fate::Duplicate => tally.duplicate += 1,
                Fate::Refused(_) => tally.refused += 1,
                Fate::DeadLettered(_) => tally.dead_lettered += 1,
            }
        }
        tally
    }
}
