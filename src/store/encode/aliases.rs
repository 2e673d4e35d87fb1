//! Aliases of steps, resolved in memory: which step an id stands for that another
//! step names as its parent. The statements that store and find aliases are in
//! `batch/aliases.rs`.

use std::collections::HashMap;

use uuid::Uuid;

use crate::event::StepDetails;

/// How many aliases are followed from one to the next.
pub const MAX_DEPTH: i32 = 64;

/// A step, or an id that may be an alias, and its run.
pub type OfRun = (Uuid, Uuid);

/// What an alias stands for.
#[derive(Clone, Copy, Debug)]
pub struct AliasTarget {
    /// The step that the alias is another id of.
    pub step_id: Option<Uuid>,
    /// Where the alias is no step: what is above it.
    pub parent_step_id: Option<Uuid>,
}

/// Those aliases that a batch needs.
#[derive(Debug, Default)]
pub struct Aliases(HashMap<OfRun, AliasTarget>);

impl Aliases {
    /// Adds one.
    pub fn insert(&mut self, alias: OfRun, target: AliasTarget) {
        self.0.insert(alias, target);
    }

    /// The parent that a step is stored with, and the one that it named, where
    /// that may be an alias.
    #[must_use]
    pub fn parents(&self, step: OfRun, details: &StepDetails) -> (Option<Uuid>, Option<Uuid>) {
        match details.parent_step_id {
            Some(named) if details.parent_may_be_alias => (self.resolve(step, named), Some(named)),
            parent => (parent, None),
        }
    }

    /// What a step is below that names such a parent. It depends on nothing but
    /// the aliases, so that it is the same whatever came first. `None`: it is at
    /// the top, also where aliases lead to the step itself, or round in a circle.
    #[must_use]
    pub fn resolve(&self, (run, step): OfRun, named: Uuid) -> Option<Uuid> {
        let mut parent = named;
        for _ in 0..MAX_DEPTH {
            let Some(alias) = self.0.get(&(run, parent)) else {
                return (parent != step || parent == named).then_some(parent);
            };
            parent = match alias.step_id {
                // An alias of the very step: it is another view of it.
                Some(own) if own == step => alias.parent_step_id?,
                Some(own) if own == parent => return Some(own),
                Some(own) => own,
                None => alias.parent_step_id?,
            };
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Uuid = Uuid::from_u128(99);

    fn id(id: u128) -> Uuid {
        Uuid::from_u128(id)
    }

    /// Aliases as (id, step, parent); 0 is none.
    fn aliases(all: &[(u128, u128, u128)]) -> Aliases {
        let some = |n: u128| (n != 0).then(|| id(n));
        let alias = |&(alias, step, parent): &(u128, u128, u128)| {
            let alias_of = AliasTarget {
                step_id: some(step),
                parent_step_id: some(parent),
            };
            ((RUN, id(alias)), alias_of)
        };
        Aliases(all.iter().map(alias).collect())
    }

    fn resolved(aliases: &Aliases, step: u128, named: u128) -> Option<u128> {
        aliases
            .resolve((RUN, id(step)), id(named))
            .map(|id| id.as_u128())
    }

    #[test]
    fn an_alias_stands_for_its_step_or_for_what_it_is_below() {
        let aliases = aliases(&[(10, 1, 2), (11, 0, 10), (12, 0, 0), (13, 0, 7)]);
        assert_eq!(resolved(&aliases, 5, 10), Some(1));
        assert_eq!(resolved(&aliases, 5, 11), Some(1));
        assert_eq!(resolved(&aliases, 5, 12), None);
        assert_eq!(resolved(&aliases, 5, 13), Some(7));
        assert_eq!(resolved(&aliases, 5, 6), Some(6));
    }

    #[test]
    fn a_step_is_never_put_below_itself() {
        let aliases = aliases(&[(10, 1, 2), (11, 0, 10), (12, 1, 0), (13, 0, 1), (1, 1, 3)]);
        assert_eq!(resolved(&aliases, 1, 10), Some(2));
        assert_eq!(resolved(&aliases, 1, 11), Some(2));
        assert_eq!(resolved(&aliases, 1, 12), None);
        assert_eq!(resolved(&aliases, 1, 13), Some(3));
        assert_eq!(resolved(&aliases, 8, 13), Some(1));
    }

    #[test]
    fn circles_and_what_is_too_deep_end_at_the_top() {
        let circle = aliases(&[(10, 0, 11), (11, 0, 10)]);
        assert_eq!(resolved(&circle, 5, 10), None);
        let chain: Vec<_> = (100..100 + 63).map(|n| (n, 0, n + 1)).collect();
        assert_eq!(resolved(&aliases(&chain), 5, 100), Some(163));
        let chain: Vec<_> = (100..100 + 64).map(|n| (n, 0, n + 1)).collect();
        assert_eq!(resolved(&aliases(&chain), 5, 100), None);
    }
}
