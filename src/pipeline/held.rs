//! Units that a shard has taken from its queue while it gathered units of another slot.

use std::collections::{BTreeMap, VecDeque};

use super::unit::Unit;

/// The units, by the part of all runs that they are of.
#[derive(Debug, Default)]
pub(super) struct HeldUnits {
    by_part: BTreeMap<usize, VecDeque<Unit>>,
}

impl HeldUnits {
    pub fn is_empty(&self) -> bool {
        self.by_part.is_empty()
    }

    /// Number of events.
    pub fn events(&self) -> usize {
        self.by_part.values().flatten().map(Unit::len).sum()
    }

    pub fn push(&mut self, unit: Unit) {
        self.by_part.entry(unit.part()).or_default().push_back(unit);
    }

    /// The unit that was admitted first.
    pub fn pop_oldest(&mut self) -> Option<Unit> {
        let fronts = self.by_part.iter();
        let oldest = fronts.min_by_key(|(_, units)| units.front().map(Unit::admitted));
        let part = *oldest?.0;
        self.pop_of(part)
    }

    /// The first unit of a part.
    pub fn pop_of(&mut self, part: usize) -> Option<Unit> {
        let units = self.by_part.get_mut(&part)?;
        let unit = units.pop_front();
        if units.is_empty() {
            self.by_part.remove(&part);
        }
        unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Durability;

    #[test]
    fn units_come_back_by_part_and_by_age() {
        let mut held = HeldUnits::default();
        for part in [2, 0, 2, 1] {
            held.push(Unit::new(0, Durability::Spooled, 0).of_part(part));
        }
        let parts: Vec<usize> = [
            held.pop_of(2),
            held.pop_of(7),
            held.pop_oldest(),
            held.pop_oldest(),
            held.pop_oldest(),
            held.pop_oldest(),
        ]
        .iter()
        .flatten()
        .map(Unit::part)
        .collect();
        assert_eq!(parts, [2, 0, 2, 1]);
        assert!(held.is_empty());
    }
}
