//! What neither Postgres nor the spool could take.

use std::collections::VecDeque;

use super::batch::Durability;
use super::unit::Unit;

/// Units that wait to be tried again. Bounded: they hold their part of the byte budget.
#[derive(Debug, Default)]
pub(super) struct Parked {
    /// The spool may have room for them again.
    spoolable: VecDeque<Unit>,
    /// They wait for Postgres alone.
    for_postgres: VecDeque<Unit>,
}

impl Parked {
    /// Keeps units, behind those that are there.
    pub fn extend(&mut self, units: impl IntoIterator<Item = Unit>) {
        for unit in units {
            match unit.least() {
                Durability::Spooled => self.spoolable.push_back(unit),
                Durability::Committed => self.for_postgres.push_back(unit),
            }
        }
    }

    /// The first that may be tried now; without Postgres only what the spool may take.
    pub fn pop(&mut self, without_postgres: bool) -> Option<Unit> {
        let spoolable = self.spoolable.pop_front();
        spoolable.or_else(|| {
            let postgres = !without_postgres;
            postgres.then(|| self.for_postgres.pop_front()).flatten()
        })
    }

    /// Whether there is something for the spool.
    pub fn is_spoolable(&self) -> bool {
        !self.spoolable.is_empty()
    }

    /// Whether nothing is parked.
    pub fn is_empty(&self) -> bool {
        self.spoolable.is_empty() && self.for_postgres.is_empty()
    }

    /// How many events are parked.
    pub fn events(&self) -> usize {
        let units = self.spoolable.iter().chain(&self.for_postgres);
        units.map(Unit::len).sum()
    }
}
