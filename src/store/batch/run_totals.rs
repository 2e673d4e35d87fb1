//! Run totals that a writer keeps in memory, so that a run can end without a scan.
//!
//! The row of a finished run has totals over all rows of the run, which may be thousands.
//! A writer that has written every one of these rows need not read them again. So each
//! writer caches the totals of the runs that it created, as long as it only appends to
//! them. The run's row names that writer in `summed_by`. Any other writer that writes to
//! the run clears this column while it holds the run's lock. All other runs are settled
//! by reading their rows.

use std::collections::HashMap;

use uuid::Uuid;

use super::call_tree::CallTree;
use crate::event::Timestamp;
use crate::store::encode::Aliases;
use crate::store::plan::{Plan, PlannedRows};

/// The totals over the rows of a run, equal to what `settle_runs.sql` would compute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunTotals {
    /// Whether the run has a token count that is not a roll-up.
    pub counted: bool,
    /// Input tokens of those token counts.
    pub input: i64,
    /// Output tokens of those token counts.
    pub output: i64,
    /// The least time in the rows.
    pub first_at: Option<Timestamp>,
    /// The greatest time in the rows.
    pub last_at: Option<Timestamp>,
    /// The calls of the run, if bridges sent them.
    pub calls: CallTree,
}

impl RunTotals {
    fn extend_times(&mut self, first: Option<Timestamp>, last: Option<Timestamp>) {
        self.first_at = match (self.first_at, first) {
            (Some(old), Some(new)) => Some(old.min(new)),
            (old, new) => old.or(new),
        };
        self.last_at = self.last_at.max(last);
    }

    /// The totals over both sets of rows.
    #[must_use]
    pub fn combine(mut self, other: Self) -> Self {
        self.counted |= other.counted;
        self.input += other.input;
        self.output += other.output;
        self.extend_times(other.first_at, other.last_at);
        self.calls.extend(other.calls);
        self
    }
}

/// The totals that one writer knows, for runs that have not ended.
#[derive(Debug)]
pub struct RunTotalsCache {
    writer: i64,
    runs: HashMap<Uuid, RunTotals>,
}

impl RunTotalsCache {
    /// The capacity, at about 100 bytes per run, and 50 per step that a bridge sent. Evicted runs are settled by reading.
    const MAX_RUNS: usize = 50_000;

    /// An empty cache with a new writer id.
    #[must_use]
    pub fn new() -> Self {
        Self {
            writer: Uuid::new_v4().as_u64_pair().0.cast_signed(),
            runs: HashMap::new(),
        }
    }

    /// The writer's id, which the column `summed_by` of its runs holds.
    #[must_use]
    pub const fn writer(&self) -> i64 {
        self.writer
    }

    /// Removes and returns the totals of a run. They are inserted again after the
    /// transaction that writes to the run has committed.
    pub fn remove(&mut self, run: Uuid) -> Option<RunTotals> {
        self.runs.remove(&run)
    }

    /// Inserts totals after their transaction has committed.
    pub fn insert(&mut self, totals: HashMap<Uuid, RunTotals>) {
        // Nothing removes the entries of runs that others have ended, so clear them all.
        if self.runs.len() + totals.len() > Self::MAX_RUNS {
            self.runs.clear();
        }
        self.runs.extend(totals);
    }
}

/// What a batch adds to the totals of these runs, which exist or are new. `None` if the batch does more than append
/// complete rows, or if some of its rows may exist already.
pub fn added(
    plan: &Plan<'_>,
    runs: &[Uuid],
    aliases: &Aliases,
) -> HashMap<Uuid, Option<RunTotals>> {
    let nothing = runs.iter().map(|run| (*run, Some(RunTotals::default())));
    let mut added = nothing.collect();
    add_rows(&mut added, &plan.appends, aliases);
    for alias in &plan.aliases {
        // An alias makes no run, so it may not be there.
        if let Some(Some(totals)) = added.get_mut(&alias.target.event.run_id) {
            totals.calls.add_alias(alias.target.event);
        }
    }
    for run in runs_not_append_only(plan) {
        added.insert(run, None);
    }
    added
}

fn add_rows(
    added: &mut HashMap<Uuid, Option<RunTotals>>,
    rows: &PlannedRows<'_>,
    aliases: &Aliases,
) {
    for row in &rows.steps {
        let (started_at, ended_at) = row.part.times();
        let totals = totals_of(added, row.run_id);
        totals.extend_times(started_at.or(ended_at), started_at.max(ended_at));
        totals.calls.add_step(row, aliases);
    }
    for row in rows.messages.iter().filter(|row| !row.event.sighting) {
        if let Some(run) = row.event.run_id {
            totals_of(added, run).extend_times(Some(row.time), Some(row.time));
        }
    }
    for row in &rows.token_counts {
        let totals = totals_of(added, row.event.run_id);
        totals.extend_times(Some(row.time), Some(row.time));
        if !row.event.rollup {
            totals.counted = true;
            totals.input += i64::from(row.event.input.unwrap_or(0));
            totals.output += i64::from(row.event.output.unwrap_or(0));
        }
    }
}

fn totals_of(added: &mut HashMap<Uuid, Option<RunTotals>>, run: Uuid) -> &mut RunTotals {
    added.entry(run).or_default().get_or_insert_default()
}

/// Runs for which the batch does more than append complete rows. Sightings do not count
/// towards totals, so merging them is fine. A step without an end is not complete: it is
/// closed with its run.
fn runs_not_append_only(plan: &Plan<'_>) -> impl Iterator<Item = Uuid> {
    let messages = plan.merges.messages.iter();
    let steps_without_end = plan.appends.steps.iter();
    let contested = plan.contested.iter();
    plan.merged_steps()
        .map(|row| row.run_id)
        .chain(messages.filter_map(|row| row.event.run_id.filter(|_| !row.event.sighting)))
        .chain(plan.merges.token_counts.iter().map(|row| row.event.run_id))
        .chain(
            steps_without_end
                .filter(|row| row.part.end.is_none())
                .map(|row| row.run_id),
        )
        .chain(plan.approvals.iter().filter_map(|patch| patch.run_id))
        .chain(contested.filter_map(|(_, event)| event.run_id()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventBody, Message, MessageRole};
    use crate::store::plan::Rung;

    fn added_by(message: Message) -> HashMap<Uuid, Option<RunTotals>> {
        let time = Timestamp::from_postgres_micros(7).unwrap();
        let event = Event::new(time, EventBody::Message(message));
        added(
            &Plan::new(&[&event], Rung::Append),
            &[Uuid::from_u128(1)],
            &Aliases::default(),
        )
    }

    #[test]
    fn a_sighting_adds_nothing_to_the_totals_of_its_run() {
        let run = Uuid::from_u128(1);
        let sighting = Message {
            message_id: Uuid::from_u128(5),
            run_id: Some(run),
            session_id: Some(Uuid::from_u128(2)),
            step_id: None,
            role: MessageRole::Assistant,
            content: Some("a".into()),
            thinking: None,
            tool_calls: None,
            metadata: None,
            seq: None,
            sighting: true,
            believed_new: true,
        };
        let nothing = Some(RunTotals::default());
        assert_eq!(added_by(sighting.clone()).get(&run), Some(&nothing));
        let message = Message {
            sighting: false,
            ..sighting
        };
        assert_ne!(added_by(message).get(&run), Some(&nothing));
    }
}
