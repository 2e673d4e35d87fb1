//! Units that neither Postgres nor the spool could take.

use std::collections::VecDeque;

use super::batch::Durability;
use super::unit::Unit;

/// Units that wait for another attempt. They are bounded by the memory budget, of which
/// they hold their part.
#[derive(Debug, Default)]
pub(super) struct ParkedUnits {
    /// Units that may be spooled.
    spoolable: VecDeque<Unit>,
    /// Units that must be committed.
    for_postgres: VecDeque<Unit>,
}

impl ParkedUnits {
    /// Appends units.
    pub fn extend(&mut self, units: impl IntoIterator<Item = Unit>) {
        for unit in units {
            match unit.min_durability() {
                Durability::Spooled => self.spoolable.push_back(unit),
                Durability::Committed => self.for_postgres.push_back(unit),
            }
        }
    }

    /// Takes the first unit that can be tried now. With `spool_only`, only units that may
    /// be spooled.
    pub fn pop(&mut self, spool_only: bool) -> Option<Unit> {
        let spoolable = self.spoolable.pop_front();
        spoolable.or_else(|| {
            let postgres = !spool_only;
            postgres.then(|| self.for_postgres.pop_front()).flatten()
        })
    }

    /// Whether some unit may be spooled.
    pub fn has_spoolable(&self) -> bool {
        !self.spoolable.is_empty()
    }

    /// Whether no unit is parked.
    pub fn is_empty(&self) -> bool {
        self.spoolable.is_empty() && self.for_postgres.is_empty()
    }

    /// The number of parked events.
    pub fn events(&self) -> usize {
        let units = self.spoolable.iter().chain(&self.for_postgres);
        units.map(Unit::len).sum()
    }
}
