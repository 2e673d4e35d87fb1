//! The steps of a batch that only bridges need: step aliases, and roots that end runs.
//!
//! A batch that no alias can affect runs no statement here.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::aliases::{self, AliasChanges};
use super::error::BatchError;
use super::gone::GoneIds;
use super::state::{BatchRuns, BatchWriter};
use super::{large_runs, roots, runs, views};
use crate::event::AliasedRoot;
use crate::store::outcome::EventOutcome;
use crate::store::plan::Plan;

/// The most runs that one transaction reserves: each one takes an entry of the server's
/// lock table.
const MAX_RESERVED_RUNS: usize = 500;

/// The most roots that a batch reads. Of a run with more, the sweeper looks at all.
const MOST_ROOTS: i64 = 10_000;

impl BatchWriter<'_> {
    /// Locks the existing runs of the batch, including those that only aliases name.
    pub async fn lock_runs(&mut self, plan: &Plan<'_>) -> Result<BatchRuns, BatchError> {
        let mut runs = BatchRuns {
            ids: plan.runs.clone(),
            locked: HashMap::new(),
            ended: plan.ends(),
            open_totals: HashMap::new(),
            final_totals: HashMap::new(),
            forgotten: HashSet::new(),
            with_views: HashSet::new(),
        };
        runs.ids.extend(&plan.bridged_runs);
        runs.ids.extend(&plan.scored_runs);
        runs.ids.sort_unstable();
        runs.ids.dedup();
        if runs.ids.is_empty() {
            return Ok(runs);
        }
        runs.locked = runs::lock_runs(self.conn, &runs.ids, self.run_timeout_ms).await?;
        // Writers of a new run and writers of its aliases must agree on its owner, so
        // runs with tenant events are reserved too.
        let bridged = plan.bridged_runs.iter().chain(plan.run_tenants.keys());
        let mut absent: Vec<Uuid> = bridged
            .filter(|id| !runs.locked.contains_key(id))
            .copied()
            .collect();
        absent.sort_unstable();
        absent.dedup();
        if absent.len() > MAX_RESERVED_RUNS {
            return Err(BatchError::NeedsSplit);
        }
        if !absent.is_empty() {
            aliases::reserve_runs(self.conn, &absent).await?.none()?;
            // Another writer may have created some of them before we got the reservation.
            let created = runs::lock_created_runs(self.conn, &absent, self.run_timeout_ms).await?;
            runs.locked.extend(created);
        }
        let being_deleted = runs.locked.iter().filter(|(_, run)| run.gone);
        GoneIds::of_runs(being_deleted.map(|(id, _)| *id)).none()?;
        // Only a batch that does more than score a run may settle or reopen it.
        let touches = |id: &Uuid| {
            let names = |runs: &[Uuid]| runs.binary_search(id).is_ok();
            names(&plan.runs) || names(&plan.bridged_runs) && runs.locked.contains_key(id)
        };
        runs.ids.retain(touches);
        let shows_views = |id: &&Uuid| runs.locked.get(id).is_some_and(|run| run.views_shown);
        let shown: Vec<Uuid> = runs.ids.iter().filter(shows_views).copied().collect();
        let few = large_runs::few_rows(self.conn, &shown).await?;
        let (shown, large): (Vec<Uuid>, Vec<Uuid>) = shown.iter().partition(|id| few.contains(id));
        let merged = plan.merged_ids();
        runs.forgotten = views::forget(self.conn, &shown, &merged, &large).await?;
        if !merged.is_empty() {
            self.postponed_runs.extend(large);
        }
        Ok(runs)
    }

    /// Writes the aliases of the batch, moves the stored steps that they affect, and
    /// loads the aliases that the batch's own steps name. Returns the roots of its runs.
    pub async fn write_aliases(
        &mut self,
        plan: &Plan<'_>,
        runs: &BatchRuns,
    ) -> Result<Vec<(Uuid, AliasedRoot)>, BatchError> {
        if plan.bridged_runs.is_empty() {
            return Ok(Vec::new());
        }
        let exists = |run: &Uuid| runs.ids.binary_search(run).is_ok();
        let pending = |run| !exists(&run);
        let mut changes = match &plan.aliases {
            none if none.is_empty() => AliasChanges::default(),
            patches => aliases::write(self.conn, patches, pending, &plan.run_tenants).await?,
        };
        let changed: HashSet<_> = changes.inserted.iter().chain(&changes.updated).collect();
        for patch in &plan.aliases {
            let alias = patch.target.event;
            let changed = changed.contains(&(alias.run_id, alias.alias_id));
            for index in patch.contributors() {
                self.record_outcome(index, changed);
            }
        }
        for ids in [&mut changes.inserted, &mut changes.updated] {
            ids.retain(|(run, _)| runs.locked.contains_key(run));
        }
        self.moved_runs
            .extend(changes.updated.iter().map(|(run, _)| *run));
        // An alias may move steps, so that other calls are nested.
        let moved = changes.inserted.iter().chain(&changes.updated);
        self.changed_runs.extend(moved.map(|(run, _)| *run));
        if !aliases::move_steps(self.conn, &changes).await? {
            let moved = changes.inserted.iter().chain(&changes.updated);
            self.postponed_runs.extend(moved.map(|(run, _)| *run));
        }
        let bridged = plan.bridged_runs.iter().copied();
        let existing: Vec<Uuid> = bridged.filter(exists).collect();
        let found = aliases::find(
            self.conn,
            &plan.named_parents(),
            &existing,
            Some(MOST_ROOTS),
            &plan.run_tenants,
        )
        .await?;
        if found.root_rows >= MOST_ROOTS {
            self.postponed_runs.extend(&existing);
        }
        self.aliases = found.aliases;
        Ok(found.roots)
    }

    /// Ends the runs of traces whose root is not a step.
    pub async fn end_by_roots(
        &mut self,
        roots: &[(Uuid, AliasedRoot)],
        runs: &mut BatchRuns,
    ) -> Result<(), BatchError> {
        let changed = roots::end_runs(self.conn, roots).await?;
        self.changed_runs.extend(changed);
        runs.ended.extend(roots.iter().map(|(run, _)| run));
        Ok(())
    }

    /// Records the outcomes of superseded events.
    pub fn record_superseded(&mut self, plan: &Plan<'_>) {
        for &(index, winner) in &plan.superseded {
            self.outcomes[index] = match &self.outcomes[winner] {
                refused @ EventOutcome::Refused(_) => refused.clone(),
                _ => EventOutcome::Duplicate,
            };
        }
    }
}
