//! One batch, inside one transaction: sessions, runs, rows, approvals, and
//! what follows from them for runs that have ended.
//!
//! Locks are taken in one order everywhere: sessions by id, then runs by id,
//! then approvals by id. Everything below a run is guarded by the run's lock.

mod aliases;
mod bridged;
mod merge;
mod roots;
mod run_totals;
mod runs;
mod tenancy;

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;

use self::merge::RowOutcome;
pub use self::roots::settle_bridged_runs;
pub use self::run_totals::{RunTotals, RunTotalsCache};
pub use self::runs::settle_runs;
use self::runs::{LockedRun, PatchedRun};
use self::tenancy::TenancyFilter;
use super::encode::Aliases;
use super::encode::rows::{
    MESSAGES, STEPS, TOKEN_COUNTS, encode_message, encode_step, encode_token_count,
};
use super::outcome::EventOutcome;
use super::plan::{Plan, RunPatch, Rung};
use crate::event::{AliasedRoot, Event, Refusal, RefusalCode};

/// Why a batch was not written; its transaction is to be rolled back.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The database refused or vanished.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// Another daemon inserted a row between two statements; a new attempt sees it.
    #[error("a concurrent writer inserted the same row")]
    Raced,
    /// The batch names one id too often to be merged at once, or too many new
    /// runs that aliases may concern; its halves do so less.
    #[error("one id is named too often, or too many runs are new")]
    Repetitive,
}

impl BatchError {
    /// As an error of the database, for work that knows no other.
    pub fn into_sql(self) -> sqlx::Error {
        match self {
            Self::Sql(error) => error,
            other => sqlx::Error::Protocol(other.to_string()),
        }
    }
}

/// How often one transaction merges the same id: each time is a statement of its own.
const MAX_PASSES: usize = 256;

/// What came of a batch, once its transaction has committed.
#[derive(Debug)]
pub struct WrittenBatch {
    /// The outcome of each event.
    pub outcomes: Vec<EventOutcome>,
    /// The sums that its writer knows then, of runs that go on.
    pub sums: HashMap<Uuid, RunTotals>,
}

/// Writes a batch into an open transaction.
///
/// # Errors
/// The transaction must be rolled back then.
pub async fn write_batch(
    conn: &mut PgConnection,
    events: &[&Event],
    rung: Rung,
    run_timeout_ms: i64,
    known: &mut RunTotalsCache,
) -> Result<WrittenBatch, BatchError> {
    let filter = tenancy::filter(conn, events).await?;
    let planned = filter.as_ref().map_or(events, TenancyFilter::allowed);
    let mut plan = Plan::new(planned, rung);
    if plan.passes() > MAX_PASSES {
        return Err(BatchError::Repetitive);
    }
    let mut batch = BatchWriter {
        conn,
        run_timeout_ms,
        outcomes: vec![EventOutcome::Committed; planned.len()],
        changed_runs: HashSet::new(),
        aliases: Aliases::default(),
    };
    if !plan.sessions.is_empty() {
        merge::ensure_sessions(batch.conn, &plan.sessions).await?;
    }
    let mut runs = batch.lock_runs(&plan).await?;
    // Before anything of the batch itself changes whose a row is.
    if let Some(filter) = &filter
        && !filter.still_holds(batch.conn).await?
    {
        return Err(BatchError::Raced);
    }
    batch.patch_sessions(&plan).await?;
    let roots = batch.write_aliases(&plan, &runs).await?;
    batch.sum_up(&plan, &mut runs, &roots, known).await?;
    batch.write_runs(&mut plan, &runs, known).await?;
    batch.end_by_roots(&roots, &mut runs).await?;
    batch.append(&plan).await?;
    batch.merge(&plan).await?;
    batch.write_approvals(&plan).await?;
    batch.settle(&runs).await?;
    batch.record_superseded(&plan);
    let outcomes = match filter {
        Some(filter) => filter.outcomes(batch.conn, batch.outcomes).await?,
        None => batch.outcomes,
    };
    let sums = runs.sums;
    Ok(WrittenBatch { outcomes, sums })
}

struct BatchWriter<'c> {
    conn: &'c mut PgConnection,
    run_timeout_ms: i64,
    outcomes: Vec<EventOutcome>,
    /// Runs of which something is new.
    changed_runs: HashSet<Uuid>,
    /// What the parents that its steps name stand for.
    aliases: Aliases,
}

/// The runs of the batch, as they were and as they are to be.
struct Runs {
    /// Those that exist, or will when the batch is written; sorted.
    ids: Vec<Uuid>,
    locked: HashMap<Uuid, LockedRun>,
    /// Those of which the batch brings an end.
    ended: HashSet<Uuid>,
    /// Of those that go on and of which the writer knows the sums: what they will be.
    sums: HashMap<Uuid, RunTotals>,
    /// The same of those that the batch ends, and that need not be settled.
    final_sums: HashMap<Uuid, RunTotals>,
}

impl BatchWriter<'_> {
    async fn patch_sessions(&mut self, plan: &Plan<'_>) -> Result<(), BatchError> {
        for pass in &plan.session_passes {
            let changed = merge::patch_sessions(self.conn, pass).await?;
            for upsert in pass {
                self.record_outcome(upsert.index, changed.contains(&upsert.event.session_id));
            }
        }
        Ok(())
    }

    /// Finds out of which runs this writer knows the sums, now that they are locked.
    async fn sum_up(
        &mut self,
        plan: &Plan<'_>,
        runs: &mut Runs,
        roots: &[(Uuid, AliasedRoot)],
        known: &mut RunTotalsCache,
    ) -> Result<(), BatchError> {
        let mut others = Vec::new();
        for (id, added) in run_totals::added(plan) {
            let taken = known.remove(id);
            let before = match runs.locked.get(&id) {
                None => Some(RunTotals::default()),
                Some(run) if run.summed_by == Some(known.writer()) => {
                    taken.filter(|_| !run.is_final)
                }
                Some(run) => {
                    others.extend(run.summed_by.map(|_| id));
                    None
                }
            };
            let (Some(before), Some(added)) = (before, added) else {
                continue;
            };
            let sums = before.and(added);
            if runs.ended.contains(&id) {
                runs.final_sums.insert(id, sums);
            } else {
                runs.sums.insert(id, sums);
            }
        }
        for (run, _) in roots {
            runs.final_sums.remove(run);
            runs.sums.remove(run);
        }
        if !others.is_empty() {
            runs::invalidate_run_totals(self.conn, &others).await?;
        }
        Ok(())
    }

    async fn write_runs(
        &mut self,
        plan: &mut Plan<'_>,
        runs: &Runs,
        known: &RunTotalsCache,
    ) -> Result<(), BatchError> {
        let mut passes = std::mem::take(&mut plan.run_passes);
        add_placeholders(&mut passes, &plan.runs, &runs.locked);
        let timeout_ms = self.run_timeout_ms;
        for (number, pass) in passes.iter().enumerate() {
            let is_new =
                |patch: &&RunPatch<'_>| number == 0 && !runs.locked.contains_key(&patch.id);
            let (new, old): (Vec<_>, Vec<_>) = pass.iter().partition(is_new);
            if !new.is_empty() {
                let mark = |patch: &RunPatch<'_>| runs.sums.get(&patch.id).map(|_| known.writer());
                let ends = &runs.final_sums;
                let inserted =
                    runs::insert_runs(self.conn, &new, timeout_ms, &plan.run_tenants, ends, mark)
                        .await?;
                for patch in new {
                    // Another writer has inserted it since the locks were taken. It may
                    // even have ended: the next attempt sees.
                    if !inserted.contains(&patch.id) {
                        return Err(BatchError::Raced);
                    }
                    self.record_run(patch, Some(PatchedRun::NEW));
                }
            }
            if !old.is_empty() {
                let patched =
                    runs::patch_runs(self.conn, &old, timeout_ms, &runs.final_sums).await?;
                for patch in old {
                    self.record_run(patch, patched.get(&patch.id).copied());
                }
            }
        }
        Ok(())
    }

    fn record_run(&mut self, patch: &RunPatch<'_>, result: Option<PatchedRun>) {
        let changed = result.unwrap_or_default();
        if let Some(start) = patch.start {
            self.record_outcome(start.index, changed.start_changed);
        }
        if let Some(end) = patch.end {
            self.record_outcome(end.index, changed.end_changed);
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

    async fn append(&mut self, plan: &Plan<'_>) -> Result<(), BatchError> {
        let rows = &plan.appends;
        merge::copy(self.conn, STEPS.copy, &rows.steps, |row, copy| {
            encode_step(copy, &row.part.row(&self.aliases));
        })
        .await?;
        merge::copy(self.conn, MESSAGES.copy, &rows.messages, |row, copy| {
            encode_message(copy, row.time, row.event);
        })
        .await?;
        let counts = &rows.token_counts;
        merge::copy(self.conn, TOKEN_COUNTS.copy, counts, |row, copy| {
            encode_token_count(copy, row.time, row.event);
        })
        .await?;
        let own = rows.messages.iter().filter(|row| !row.event.sighting);
        let messages = own.filter_map(|row| row.event.run_id);
        self.changed_runs
            .extend(rows.steps.iter().map(|row| row.run_id));
        self.changed_runs.extend(messages);
        self.changed_runs
            .extend(rows.token_counts.iter().map(|row| row.event.run_id));
        Ok(())
    }

    async fn merge(&mut self, plan: &Plan<'_>) -> Result<(), BatchError> {
        for pass in &plan.merges {
            if !pass.steps.is_empty() {
                let merged = merge::merge_steps(self.conn, &pass.steps, &self.aliases).await?;
                let outcomes = not_raced(merged)?;
                for row in &pass.steps {
                    for &index in row.events.iter().flatten() {
                        self.record_row(index, Some(row.run_id), "step_id", outcomes.get(&row.id));
                    }
                }
            }
            if !pass.messages.is_empty() {
                let outcomes = not_raced(merge::merge_messages(self.conn, &pass.messages).await?)?;
                for row in &pass.messages {
                    let outcome = outcomes.get(&row.event.message_id);
                    self.record_row(row.index, row.event.run_id, "message_id", outcome);
                }
            }
            if !pass.token_counts.is_empty() {
                let merged = merge::merge_token_counts(self.conn, &pass.token_counts).await?;
                let outcomes = not_raced(merged)?;
                for row in &pass.token_counts {
                    let outcome = outcomes.get(&row.event.token_count_id);
                    self.record_row(row.index, Some(row.event.run_id), "token_count_id", outcome);
                }
            }
        }
        Ok(())
    }

    async fn write_approvals(&mut self, plan: &Plan<'_>) -> Result<(), BatchError> {
        if plan.approval_passes.is_empty() {
            return Ok(());
        }
        let locked = merge::lock_approvals(self.conn, plan).await?;
        for (number, pass) in plan.approval_passes.iter().enumerate() {
            let outcomes = merge::patch_approvals(self.conn, pass).await?;
            for patch in pass {
                let outcome = outcomes.get(&patch.id());
                if number == 0 && outcome.is_none() && !locked.contains(&patch.id()) {
                    return Err(BatchError::Raced);
                }
                self.record_row(patch.index(), patch.run_id(), "approval_id", outcome);
            }
        }
        Ok(())
    }

    /// What the batch means for runs that have ended, or seemed to have.
    async fn settle(&mut self, runs: &Runs) -> Result<(), BatchError> {
        let (mut reopened, mut settled, mut near_timeout) = (Vec::new(), Vec::new(), Vec::new());
        for &id in &runs.ids {
            let before = runs.locked.get(&id);
            let ended = runs.ended.contains(&id);
            if before.is_some_and(|run| run.abandoned) && !ended {
                reopened.push(id);
            } else if ended || before.is_some_and(|run| run.is_final) {
                if self.changed_runs.contains(&id) && !runs.final_sums.contains_key(&id) {
                    settled.push(id);
                }
            } else if before.is_some_and(|run| run.near_timeout) {
                near_timeout.push(id);
            }
        }
        if !reopened.is_empty() {
            runs::reopen_runs(self.conn, &reopened, self.run_timeout_ms).await?;
        }
        if !settled.is_empty() {
            runs::settle_runs(self.conn, &settled).await?;
        }
        if !near_timeout.is_empty() {
            runs::touch_runs(self.conn, &near_timeout, self.run_timeout_ms).await?;
        }
        Ok(())
    }

    fn record_outcome(&mut self, index: usize, changed: bool) {
        self.outcomes[index] = if changed {
            EventOutcome::Committed
        } else {
            EventOutcome::Duplicate
        };
    }

    fn record_row(
        &mut self,
        index: usize,
        run: Option<Uuid>,
        id: &str,
        outcome: Option<&RowOutcome>,
    ) {
        if outcome == Some(&RowOutcome::Elsewhere) {
            let reason = format!("{id} belongs to another run or session");
            self.outcomes[index] =
                EventOutcome::Refused(Refusal::new(RefusalCode::IdConflict, reason));
            return;
        }
        self.record_outcome(index, outcome.is_some());
        if outcome.is_some() {
            self.changed_runs.extend(run);
        }
    }
}

/// Runs that do not exist and of which the batch holds no start or end.
fn add_placeholders(
    passes: &mut Vec<Vec<RunPatch<'_>>>,
    runs: &[Uuid],
    locked: &HashMap<Uuid, LockedRun>,
) {
    let patched: HashSet<Uuid> = passes.first().into_iter().flatten().map(|p| p.id).collect();
    let missing = runs
        .iter()
        .filter(|id| !locked.contains_key(id) && !patched.contains(id));
    let placeholders: Vec<_> = missing
        .map(|&id| RunPatch {
            id,
            ..RunPatch::default()
        })
        .collect();
    if placeholders.is_empty() {
        return;
    }
    if passes.is_empty() {
        passes.push(Vec::new());
    }
    passes[0].extend(placeholders);
}

/// As they are, unless another transaction has inserted one of the rows just now.
fn not_raced(outcomes: HashMap<Uuid, RowOutcome>) -> Result<HashMap<Uuid, RowOutcome>, BatchError> {
    if outcomes
        .values()
        .any(|outcome| *outcome == RowOutcome::Raced)
    {
        return Err(BatchError::Raced);
    }
    Ok(outcomes)
}
