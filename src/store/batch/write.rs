//! The steps that write a batch, in their order.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use uuid::Uuid;

use super::error::BatchError;
use super::gone::{self, GoneIds};
use super::large_runs;
use super::merge::{self, RowOutcome};
use super::run_totals::{self, RunTotals, RunTotalsCache};
use super::runs::{self, PatchedRun};
use super::state::{BatchRuns, BatchWriter};
use super::tenancy::{self, TenancyFilter};
use super::views;
use crate::event::{AliasedRoot, Event};
use crate::histograms::PhaseTimes;
use crate::store::encode::Aliases;
use crate::store::encode::rows::{
    MESSAGES, SCORES, STEPS, TOKEN_COUNTS, encode_message, encode_score, encode_step,
    encode_token_count,
};
use crate::store::outcome::{ContentBytes, EventOutcome};
use crate::store::plan::{Plan, RunPatch, Rung};

/// The result of a batch; valid once its transaction has committed.
#[derive(Debug)]
pub struct WrittenBatch {
    /// The outcome of each event.
    pub outcomes: Vec<EventOutcome>,
    /// The totals of runs that have not ended, for the writer's cache.
    pub run_totals: HashMap<Uuid, RunTotals>,
    /// What was written as contents.
    pub contents: ContentBytes,
    /// What its phases took.
    pub times: PhaseTimes,
}

/// Writes a batch into an open transaction.
///
/// # Errors
/// After an error the caller must roll the transaction back.
pub async fn write_batch(
    conn: &mut PgConnection,
    events: &[&Event],
    rung: Rung,
    run_timeout_ms: i64,
    cache: &mut RunTotalsCache,
) -> Result<WrittenBatch, BatchError> {
    let mut lap = Lap::start();
    let mut times = PhaseTimes::default();
    let filter = tenancy::filter(conn, events).await?;
    let allowed = filter.as_ref().map_or(events, TenancyFilter::allowed);
    let mut plan = Plan::new(allowed, rung);
    times.plan = lap.end();
    let mut batch = BatchWriter {
        conn,
        run_timeout_ms,
        outcomes: vec![EventOutcome::Committed; allowed.len()],
        changed_runs: HashSet::new(),
        aliases: Aliases::default(),
        moved_runs: HashSet::new(),
        postponed_runs: HashSet::new(),
        contents: ContentBytes::default(),
    };
    if !plan.sessions.is_empty() {
        merge::ensure_sessions(batch.conn, &plan.sessions).await?;
    }
    let mut runs = batch.lock_runs(&plan).await?;
    // Check before the batch itself changes the owner of any row.
    if let Some(filter) = &filter
        && !filter.is_still_valid(batch.conn).await?
    {
        return Err(BatchError::MissingRow);
    }
    batch.patch_sessions(&plan).await?;
    let roots = batch.write_aliases(&plan, &runs).await?;
    batch
        .compute_run_totals(&plan, &mut runs, &roots, cache)
        .await?;
    batch.write_runs(&mut plan, &runs, cache).await?;
    batch.end_by_roots(&roots, &mut runs).await?;
    times.lock = lap.end();
    if let Err(error) = batch.append(&plan, rung, &runs).await {
        return Err(match &filter {
            Some(filter) => error.in_batch(|event| filter.position(event)),
            None => error,
        });
    }
    times.copy = lap.end();
    batch.merge(&plan).await?;
    batch.write_approvals(&plan).await?;
    batch.record_superseded(&plan);
    batch.write_contested(&plan).await?;
    times.merge = lap.end();
    batch.settle(&plan, &runs).await?;
    let contents = batch.contents;
    let outcomes = match filter {
        Some(filter) => filter.outcomes(batch.conn, batch.outcomes).await?,
        None => batch.outcomes,
    };
    times.settle = lap.end();
    Ok(WrittenBatch {
        outcomes,
        run_totals: runs.open_totals,
        contents,
        times,
    })
}

/// Measures one phase after the other.
struct Lap(Instant);

impl Lap {
    fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the last phase ended.
    fn end(&mut self) -> Duration {
        let now = Instant::now();
        now.duration_since(std::mem::replace(&mut self.0, now))
    }
}

impl BatchWriter<'_> {
    async fn patch_sessions(&mut self, plan: &Plan<'_>) -> Result<(), BatchError> {
        if plan.session_patches.is_empty() {
            return Ok(());
        }
        let changed = merge::patch_sessions(self.conn, &plan.session_patches).await?;
        for patch in &plan.session_patches {
            for index in patch.contributors() {
                self.record_outcome(index, changed.contains(&patch.id));
            }
        }
        Ok(())
    }

    /// Computes the totals of the runs for which this writer knows all rows. The runs
    /// are locked.
    async fn compute_run_totals(
        &mut self,
        plan: &Plan<'_>,
        runs: &mut BatchRuns,
        roots: &[(Uuid, AliasedRoot)],
        cache: &mut RunTotalsCache,
    ) -> Result<(), BatchError> {
        let mut foreign = Vec::new();
        for (id, added) in run_totals::added(plan, &runs.ids, &self.aliases) {
            let cached = cache.remove(id);
            let before = match runs.locked.get(&id) {
                None => Some(RunTotals::default()),
                Some(run) if run.totals_writer == Some(cache.writer()) => {
                    cached.filter(|_| !run.is_final)
                }
                Some(run) => {
                    foreign.extend(run.totals_writer.map(|_| id));
                    None
                }
            };
            let (Some(before), Some(added)) = (before, added) else {
                continue;
            };
            if self.moved_runs.contains(&id) {
                continue;
            }
            let totals = before.combine(added);
            if runs.ended.contains(&id) {
                // Otherwise only the rows tell which tokens are counted twice.
                if totals.calls.may_show_views() {
                    runs.with_views.insert(id);
                } else {
                    runs.final_totals.insert(id, totals);
                }
            } else {
                runs.open_totals.insert(id, totals);
            }
        }
        for (run, _) in roots {
            runs.final_totals.remove(run);
            runs.open_totals.remove(run);
        }
        if !foreign.is_empty() {
            runs::invalidate_run_totals(self.conn, &foreign).await?;
        }
        Ok(())
    }

    async fn write_runs(
        &mut self,
        plan: &mut Plan<'_>,
        runs: &BatchRuns,
        cache: &RunTotalsCache,
    ) -> Result<(), BatchError> {
        let mut patches = std::mem::take(&mut plan.run_patches);
        runs::add_placeholders(&mut patches, &plan.runs, &runs.locked);
        runs::add_placeholders(&mut patches, &plan.scored_runs, &runs.locked);
        let timeout_ms = self.run_timeout_ms;
        let exists = |patch: &&RunPatch<'_>| runs.locked.contains_key(&patch.id);
        let (existing, new): (Vec<_>, Vec<_>) = patches.iter().partition(exists);
        if !new.is_empty() {
            let totals_writer = |patch: &RunPatch<'_>| {
                let open = runs.open_totals.contains_key(&patch.id);
                open.then(|| cache.writer())
            };
            let inserted = runs::insert_runs(
                self.conn,
                &new,
                timeout_ms,
                &plan.run_tenants,
                &runs.final_totals,
                totals_writer,
            )
            .await?;
            for patch in &new {
                // Another writer inserted the run after we took our locks. It may even
                // have ended, so start again.
                if !inserted.contains(&patch.id) {
                    return Err(gone::why_not_inserted(self.conn, &new).await?);
                }
                self.record_run(patch, Some(PatchedRun::NEW));
            }
        }
        if !existing.is_empty() {
            let patched =
                runs::patch_runs(self.conn, &existing, timeout_ms, &runs.final_totals).await?;
            let gone = patched.iter().filter(|(_, run)| run.below_erased);
            GoneIds::of_runs(gone.map(|(id, _)| *id)).none()?;
            if patched.values().any(|run| run.skipped) {
                return Err(BatchError::MissingRow);
            }
            for patch in existing {
                self.record_run(patch, patched.get(&patch.id).copied());
            }
        }
        Ok(())
    }

    /// Writes the contents of all steps, and copies rows.
    async fn append(
        &mut self,
        plan: &Plan<'_>,
        rung: Rung,
        runs: &BatchRuns,
    ) -> Result<(), BatchError> {
        let is_new = |run| !runs.locked.contains_key(&run);
        self.write_contents(plan, rung, is_new).await?;
        let rows = &plan.appends;
        merge::copy(
            self.conn,
            STEPS.copy,
            &rows.steps,
            |row, copy| encode_step(copy, &row.part.row(&self.aliases)),
            |row| row.events.iter().flatten().copied().min(),
        )
        .await?;
        merge::copy(
            self.conn,
            MESSAGES.copy,
            &rows.messages,
            |row, copy| encode_message(copy, row.time, row.event),
            |row| Some(row.index),
        )
        .await?;
        merge::copy(
            self.conn,
            TOKEN_COUNTS.copy,
            &rows.token_counts,
            |row, copy| encode_token_count(copy, row.time, row.event),
            |row| Some(row.index),
        )
        .await?;
        merge::copy(
            self.conn,
            SCORES.copy,
            &rows.scores,
            |row, copy| encode_score(copy, row.time, row.event),
            |row| Some(row.index),
        )
        .await?;
        let messages = rows.messages.iter().filter(|row| !row.event.sighting);
        self.changed_runs
            .extend(rows.steps.iter().map(|row| row.run_id));
        self.changed_runs
            .extend(messages.filter_map(|row| row.event.run_id));
        self.changed_runs
            .extend(rows.token_counts.iter().map(|row| row.event.run_id));
        Ok(())
    }

    /// Merges rows: each statement takes an id once.
    pub(super) async fn merge(&mut self, plan: &Plan<'_>) -> Result<(), BatchError> {
        let rows = &plan.merges;
        for steps in [&rows.steps].into_iter().chain(&plan.more_steps) {
            if steps.is_empty() {
                continue;
            }
            let merged = merge::merge_steps(self.conn, steps, &self.aliases).await?;
            let outcomes = reject_missing(merged)?;
            for row in steps {
                for &index in row.events.iter().flatten() {
                    self.record_row(index, Some(row.run_id), "step_id", outcomes.get(&row.id));
                }
            }
        }
        if !rows.messages.is_empty() {
            let merged = merge::merge_messages(self.conn, &rows.messages).await?;
            let outcomes = reject_missing(merged)?;
            for row in &rows.messages {
                let outcome = outcomes.get(&row.event.message_id);
                self.record_row(row.index, row.event.run_id, "message_id", outcome);
            }
        }
        if !rows.token_counts.is_empty() {
            let merged = merge::merge_token_counts(self.conn, &rows.token_counts).await?;
            let outcomes = reject_missing(merged)?;
            for row in &rows.token_counts {
                let outcome = outcomes.get(&row.event.token_count_id);
                self.record_row(row.index, Some(row.event.run_id), "token_count_id", outcome);
            }
        }
        if !rows.scores.is_empty() {
            let merged = merge::merge_scores(self.conn, &rows.scores).await?;
            let outcomes = reject_missing(merged)?;
            for row in &rows.scores {
                // Without the run: a score does not change it.
                let outcome = outcomes.get(&row.event.score_id);
                self.record_row(row.index, None, "score_id", outcome);
            }
        }
        Ok(())
    }

    pub(super) async fn write_approvals(&mut self, plan: &Plan<'_>) -> Result<(), BatchError> {
        if plan.approvals.is_empty() {
            return Ok(());
        }
        let locked = merge::lock_approvals(self.conn, &plan.approvals).await?;
        let outcomes = merge::patch_approvals(self.conn, &plan.approvals).await?;
        for patch in &plan.approvals {
            let outcome = outcomes.get(&patch.id);
            if outcome.is_none() && !locked.contains(&patch.id) {
                return Err(BatchError::MissingRow);
            }
            let (run, id) = (patch.run_id, "approval_id");
            if let Some(request) = patch.request {
                let outcome = outcome.and_then(|outcome| outcome.request.as_ref());
                self.record_row(request.index, run, id, outcome);
            }
            let decision = patch.decision.map(|decision| decision.index);
            for index in decision.into_iter().chain(patch.session_from) {
                let outcome = outcome.and_then(|outcome| outcome.decision.as_ref());
                self.record_row(index, run, id, outcome);
            }
        }
        Ok(())
    }

    /// Settles runs that have ended, reopens runs that were abandoned, and delays the
    /// timeout of runs that are near it. Of large runs, the sweeper does the rest.
    async fn settle(&mut self, plan: &Plan<'_>, runs: &BatchRuns) -> Result<(), BatchError> {
        let (mut reopened, mut settled, mut near_timeout) = (Vec::new(), Vec::new(), Vec::new());
        let mut views = Vec::new();
        for &id in &runs.ids {
            let before = runs.locked.get(&id);
            let ended = runs.ended.contains(&id);
            if before.is_some_and(|run| run.abandoned) && !ended {
                reopened.push(id);
            } else if ended || before.is_some_and(|run| run.is_final) {
                let is_exact = runs.final_totals.contains_key(&id);
                let was_shown = runs.forgotten.contains(&id);
                let bridged = runs.with_views.contains(&id)
                    || before.is_some_and(|run| run.bridged)
                    || plan.bridged_runs.binary_search(&id).is_ok();
                // A batch that repeats what is stored changes no view.
                let changed = self.changed_runs.contains(&id);
                if was_shown || bridged && !is_exact && changed {
                    views.push(id);
                }
                if was_shown || !is_exact && changed {
                    settled.push(id);
                }
            } else if before.is_some_and(|run| run.near_timeout) {
                near_timeout.push(id);
            }
        }
        if !reopened.is_empty() {
            runs::reopen_runs(self.conn, &reopened, self.run_timeout_ms).await?;
        }
        let due = [reopened.as_slice(), &settled, &views].concat();
        let few = self.few_rows(due).await?;
        let few_of = |ids: Vec<Uuid>| ids.into_iter().filter(|id| few.contains(id));
        let reopened: Vec<Uuid> = few_of(reopened).collect();
        if !reopened.is_empty() {
            runs::align_steps(self.conn, &reopened, None).await?;
        }
        let views: Vec<Uuid> = few_of(views).collect();
        let shown = views::show(self.conn, &views).await?;
        let settled: HashSet<Uuid> = few_of(settled).chain(shown).collect();
        if !settled.is_empty() {
            let settled: Vec<Uuid> = settled.into_iter().collect();
            runs::settle_runs(self.conn, &settled).await?;
        }
        let postponed: Vec<Uuid> = self.postponed_runs.iter().copied().collect();
        large_runs::postpone(self.conn, &postponed).await?;
        if !near_timeout.is_empty() {
            runs::touch_runs(self.conn, &near_timeout, self.run_timeout_ms).await?;
        }
        Ok(())
    }
}

impl BatchWriter<'_> {
    /// The runs of which the batch may work on all rows. The others are postponed.
    async fn few_rows(&mut self, mut runs: Vec<Uuid>) -> Result<HashSet<Uuid>, BatchError> {
        runs.sort_unstable();
        runs.dedup();
        runs.retain(|id| !self.postponed_runs.contains(id));
        let few = large_runs::few_rows(self.conn, &runs).await?;
        let large = runs.into_iter().filter(|id| !few.contains(id));
        self.postponed_runs.extend(large);
        Ok(few)
    }
}

/// Fails if one of the rows should have been written and was not.
fn reject_missing(
    outcomes: HashMap<Uuid, RowOutcome>,
) -> Result<HashMap<Uuid, RowOutcome>, BatchError> {
    if outcomes
        .values()
        .any(|outcome| *outcome == RowOutcome::Missing)
    {
        return Err(BatchError::MissingRow);
    }
    Ok(outcomes)
}
