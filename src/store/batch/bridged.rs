//! The part of a batch that only bridges need: aliases of steps, and roots that
//! end runs. A batch in which no event may have to do with an alias costs no
//! statement here.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::aliases::Written;
use super::{BatchError, BatchWriter, Runs, aliases, roots, runs as run_rows};
use crate::event::AliasedRoot;
use crate::store::outcome::EventOutcome;
use crate::store::plan::Plan;

/// Runs that one transaction waits for: each is a lock of the server's table.
const MAX_RESERVED_RUNS: usize = 500;

impl BatchWriter<'_> {
    /// Locks the runs of the batch that exist, those included that only aliases
    /// name.
    pub(super) async fn lock_runs(&mut self, plan: &Plan<'_>) -> Result<Runs, BatchError> {
        let mut runs = Runs {
            ids: plan.runs.clone(),
            locked: HashMap::new(),
            ended: plan.ends(),
            sums: HashMap::new(),
            final_sums: HashMap::new(),
        };
        runs.ids.extend(&plan.bridged_runs);
        runs.ids.sort_unstable();
        runs.ids.dedup();
        if runs.ids.is_empty() {
            return Ok(runs);
        }
        runs.locked = run_rows::lock_runs(self.conn, &runs.ids, self.run_timeout_ms).await?;
        // Whose a new run is must be settled with those who bring its aliases.
        let bridged = plan.bridged_runs.iter().chain(plan.run_tenants.keys());
        let mut absent: Vec<Uuid> = bridged
            .filter(|id| !runs.locked.contains_key(id))
            .copied()
            .collect();
        absent.sort_unstable();
        absent.dedup();
        if absent.len() > MAX_RESERVED_RUNS {
            return Err(BatchError::Repetitive);
        }
        if !absent.is_empty() {
            aliases::reserve_runs(self.conn, &absent).await?;
            let come = run_rows::lock_runs(self.conn, &absent, self.run_timeout_ms).await?;
            runs.locked.extend(come);
        }
        runs.ids
            .retain(|id| runs.locked.contains_key(id) || plan.runs.binary_search(id).is_ok());
        Ok(runs)
    }

    /// Writes the aliases of the batch and moves the steps that they concern;
    /// finds those that its own steps name. Returns the roots of its runs.
    pub(super) async fn write_aliases(
        &mut self,
        plan: &Plan<'_>,
        runs: &Runs,
    ) -> Result<Vec<(Uuid, AliasedRoot)>, BatchError> {
        if plan.bridged_runs.is_empty() {
            return Ok(Vec::new());
        }
        let exists = |run: &Uuid| runs.ids.binary_search(run).is_ok();
        let mut written = Written::default();
        for pass in &plan.alias_passes {
            let part =
                aliases::write(self.conn, pass, |run| !exists(&run), &plan.run_tenants).await?;
            let changed: HashSet<_> = part.inserted.iter().chain(&part.updated).collect();
            for at in pass {
                let id = (at.event.run_id, at.event.alias_id);
                self.record_outcome(at.index, changed.contains(&id));
            }
            written.inserted.extend(&part.inserted);
            written.updated.extend(&part.updated);
        }
        for ids in [&mut written.inserted, &mut written.updated] {
            ids.retain(|(run, _)| runs.locked.contains_key(run));
        }
        aliases::move_steps(self.conn, &written).await?;
        let rows = plan.merges.iter().chain([&plan.appends]);
        let mut named: Vec<_> = rows
            .flat_map(|rows| &rows.steps)
            .filter_map(|row| row.part.named_parent())
            .collect();
        named.sort_unstable();
        named.dedup();
        let bridged = plan.bridged_runs.iter().copied();
        let existing: Vec<Uuid> = bridged.filter(exists).collect();
        let (aliases, roots) =
            aliases::find(self.conn, &named, &existing, &plan.run_tenants).await?;
        self.aliases = aliases;
        Ok(roots)
    }

    /// Lets the roots of traces that are no steps end their runs.
    pub(super) async fn end_by_roots(
        &mut self,
        roots: &[(Uuid, AliasedRoot)],
        runs: &mut Runs,
    ) -> Result<(), BatchError> {
        let changed = roots::end_runs(self.conn, roots).await?;
        self.changed_runs.extend(changed);
        runs.ended.extend(roots.iter().map(|(run, _)| run));
        Ok(())
    }

    /// Says what became of events that others stand for.
    pub(super) fn record_superseded(&mut self, plan: &Plan<'_>) {
        for &(index, by) in &plan.superseded {
            self.outcomes[index] = match &self.outcomes[by] {
                refused @ EventOutcome::Refused(_) => refused.clone(),
                _ => EventOutcome::Duplicate,
            };
        }
    }
}
