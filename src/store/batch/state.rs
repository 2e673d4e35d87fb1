//! The state of a batch while it is written.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::merge::RowOutcome;
use super::run_totals::RunTotals;
use super::runs::{LockedRun, PatchedRun};
use crate::event::{Refusal, RefusalCode};
use crate::store::encode::Aliases;
use crate::store::outcome::{ContentBytes, EventOutcome};
use crate::store::plan::RunPatch;

/// Writes the parts of a batch one after another and collects the outcomes.
pub(super) struct BatchWriter<'c> {
    pub conn: &'c mut PgConnection,
    pub run_timeout_ms: i64,
    pub outcomes: Vec<EventOutcome>,
    /// Runs with a new or changed row.
    pub changed_runs: HashSet<Uuid>,
    /// The aliases that the batch's steps name as parents.
    pub aliases: Aliases,
    /// Runs with an alias that now stands for something else.
    pub moved_runs: HashSet<Uuid>,
    /// Runs of which the sweeper does the rest.
    pub postponed_runs: HashSet<Uuid>,
    /// What was written as contents.
    pub contents: ContentBytes,
}

/// The runs of a batch, before and after it.
pub(super) struct BatchRuns {
    /// Runs that exist or that the batch creates; sorted.
    pub ids: Vec<Uuid>,
    /// Runs that existed when the batch took its locks.
    pub locked: HashMap<Uuid, LockedRun>,
    /// Runs that the batch ends.
    pub ended: HashSet<Uuid>,
    /// The new totals of runs that do not end, if the writer knows them.
    pub open_totals: HashMap<Uuid, RunTotals>,
    /// The totals of runs that the batch ends, if the writer knows them. These runs need
    /// not be settled.
    pub final_totals: HashMap<Uuid, RunTotals>,
    /// Runs whose views were shown before the batch, and must be shown anew.
    pub forgotten: HashSet<Uuid>,
    /// Runs that the batch ends and that may have several views of one call.
    pub with_views: HashSet<Uuid>,
}

impl BatchWriter<'_> {
    pub fn record_outcome(&mut self, index: usize, changed: bool) {
        self.outcomes[index] = if changed {
            EventOutcome::Committed
        } else {
            EventOutcome::Duplicate
        };
    }

    /// Records the outcome of an event that makes a row of its own; `id` is the name of
    /// its id field.
    pub fn record_row(
        &mut self,
        index: usize,
        run: Option<Uuid>,
        id: &str,
        outcome: Option<&RowOutcome>,
    ) {
        if outcome == Some(&RowOutcome::IdTaken) {
            self.record_conflict(index, id);
            return;
        }
        self.record_outcome(index, outcome.is_some());
        if outcome.is_some() {
            self.changed_runs.extend(run);
        }
    }

    /// Records that the row of an event belongs to another run or session.
    pub fn record_conflict(&mut self, index: usize, id: &str) {
        let reason = format!("{id} belongs to another run or session");
        let refusal = Refusal::new(RefusalCode::IdConflict, reason);
        self.outcomes[index] = EventOutcome::Refused(refusal);
    }

    /// Records the outcomes of a run's events; `result` is `None` if nothing changed.
    pub fn record_run(&mut self, patch: &RunPatch<'_>, result: Option<PatchedRun>) {
        let changed = result.unwrap_or_default();
        let winner = patch.start.map(|start| start.index);
        for index in winner
            .into_iter()
            .chain(patch.started.map(|(_, index)| index))
        {
            self.record_outcome(index, changed.start_changed);
        }
        let winner = patch.end.map(|end| end.index);
        for index in winner
            .into_iter()
            .chain(patch.root_started.map(|(_, index)| index))
        {
            self.record_outcome(index, changed.end_changed);
        }
        for &heartbeat in &patch.heartbeats {
            self.record_outcome(heartbeat, changed.life_changed);
        }
        for &observation in &patch.observed.events {
            self.record_outcome(observation, changed.observed_changed);
        }
        if result.is_some() {
            self.changed_runs.insert(patch.id);
        }
    }
}
