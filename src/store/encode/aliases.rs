//! Resolves step aliases in memory.
//!
//! A step names its parent by id, and that id may be an alias. Resolving it gives the
//! step that it stands for. `batch/aliases.rs` has the statements that store and find
//! aliases.

use std::collections::HashMap;

use uuid::Uuid;

use crate::event::StepDetails;

/// The longest chain of aliases that is followed.
pub const MAX_DEPTH: i32 = 64;

/// A run, and the id of a step or alias in it.
pub type RunScopedId = (Uuid, Uuid);

/// A step, and the parent that it names, which may be an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct NamedParent {
    pub run: Uuid,
    pub step: Uuid,
    pub parent: Uuid,
}

/// What an alias stands for.
#[derive(Clone, Copy, Debug)]
pub struct AliasTarget {
    /// The step that has this alias as a second id.
    pub step_id: Option<Uuid>,
    /// The parent, if the alias is not a step.
    pub parent_step_id: Option<Uuid>,
}

impl AliasTarget {
    /// What the alias stands for when a step names it as its parent.
    fn target_for(&self, step: Uuid) -> Option<Uuid> {
        // An alias of the step itself is another view of the step: go on above it.
        let other = self.step_id.filter(|target| *target != step);
        other.or(self.parent_step_id)
    }
}

/// The aliases that a batch needs.
#[derive(Debug, Default)]
pub struct Aliases(HashMap<RunScopedId, AliasTarget>);

impl Aliases {
    /// Adds an alias.
    pub fn insert(&mut self, alias: RunScopedId, target: AliasTarget) {
        self.0.insert(alias, target);
    }

    /// The parent to store with a step, and the parent that the step named if that one
    /// may be an alias.
    #[must_use]
    pub fn parents(
        &self,
        step: RunScopedId,
        details: &StepDetails,
    ) -> (Option<Uuid>, Option<Uuid>) {
        match details.parent_step_id {
            Some(named) if details.parent_may_be_alias => (self.resolve(step, named), Some(named)),
            parent => (parent, None),
        }
    }

    /// Resolves the parent that a step named.
    ///
    /// The result depends on the aliases only, so it does not depend on the order of
    /// arrival. `None` means that the step has no parent; aliases that lead to the step
    /// itself or in a circle give `None` too.
    #[must_use]
    pub fn resolve(&self, (run, step): RunScopedId, named: Uuid) -> Option<Uuid> {
        let mut parent = named;
        for _ in 0..MAX_DEPTH {
            let Some(alias) = self.0.get(&(run, parent)) else {
                return (parent != step || parent == named).then_some(parent);
            };
            if alias.step_id == Some(parent) && parent != step {
                return Some(parent);
            }
            parent = alias.target_for(step)?;
        }
        None
    }

    /// Follows aliases to the first id that is none of these. `None` if there is no such
    /// id, or if the chain is too long to be followed.
    #[must_use]
    pub fn follow(&self, named: NamedParent) -> Option<NamedParent> {
        let mut parent = named.parent;
        for _ in 0..MAX_DEPTH {
            let Some(alias) = self.0.get(&(named.run, parent)) else {
                return Some(NamedParent { parent, ..named });
            };
            parent = alias.target_for(named.step)?;
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

    /// Aliases as (id, step, parent); 0 means none.
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
    fn an_alias_resolves_to_its_step_or_to_its_parent() {
        let aliases = aliases(&[(10, 1, 2), (11, 0, 10), (12, 0, 0), (13, 0, 7)]);
        assert_eq!(resolved(&aliases, 5, 10), Some(1));
        assert_eq!(resolved(&aliases, 5, 11), Some(1));
        assert_eq!(resolved(&aliases, 5, 12), None);
        assert_eq!(resolved(&aliases, 5, 13), Some(7));
        assert_eq!(resolved(&aliases, 5, 6), Some(6));
    }

    #[test]
    fn a_step_is_never_its_own_ancestor() {
        let aliases = aliases(&[(10, 1, 2), (11, 0, 10), (12, 1, 0), (13, 0, 1), (1, 1, 3)]);
        assert_eq!(resolved(&aliases, 1, 10), Some(2));
        assert_eq!(resolved(&aliases, 1, 11), Some(2));
        assert_eq!(resolved(&aliases, 1, 12), None);
        assert_eq!(resolved(&aliases, 1, 13), Some(3));
        assert_eq!(resolved(&aliases, 8, 13), Some(1));
    }

    #[test]
    fn circles_and_chains_that_are_too_long_resolve_to_no_parent() {
        let circle = aliases(&[(10, 0, 11), (11, 0, 10)]);
        assert_eq!(resolved(&circle, 5, 10), None);
        let chain: Vec<_> = (100..100 + 63).map(|n| (n, 0, n + 1)).collect();
        assert_eq!(resolved(&aliases(&chain), 5, 100), Some(163));
        let chain: Vec<_> = (100..100 + 64).map(|n| (n, 0, n + 1)).collect();
        assert_eq!(resolved(&aliases(&chain), 5, 100), None);
    }
}
