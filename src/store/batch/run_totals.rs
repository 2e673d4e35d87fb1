//! RunTotals of what is below a run, kept by the writer that has written all of it.
//!
//! A run's row ends with totals over rows that may number thousands. Who has seen each
//! of them go by need not read them again: a writer keeps the sums of the runs that it
//! has made, for as long as it has done nothing below them but append. Each such run
//! bears its writer's mark (`summed_by`), which whoever else writes below the run takes
//! away while it holds the run's lock. Everything else is settled by reading.

use std::collections::HashMap;

use uuid::Uuid;

use crate::event::Timestamp;
use crate::store::plan::{ApprovalPatch, Plan, Rows};

/// RunTotals of what is below a run, as `settle_runs.sql` would read them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunTotals {
    /// Whether any tokens were counted that are no roll-up.
    pub counted: bool,
    /// Input tokens of those.
    pub input: i64,
    /// Output tokens of those.
    pub output: i64,
    /// The time of the first row.
    pub first_at: Option<Timestamp>,
    /// The last time that a row tells.
    pub last_at: Option<Timestamp>,
}

impl RunTotals {
    fn seen(&mut self, first: Option<Timestamp>, last: Option<Timestamp>) {
        self.first_at = match (self.first_at, first) {
            (Some(old), Some(new)) => Some(old.min(new)),
            (old, new) => old.or(new),
        };
        self.last_at = self.last_at.max(last);
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.counted |= other.counted;
        self.input += other.input;
        self.output += other.output;
        self.seen(other.first_at, other.last_at);
        self
    }
}

/// The sums that one writer knows, of runs that have not ended.
#[derive(Debug)]
pub struct RunTotalsCache {
    writer: i64,
    runs: HashMap<Uuid, RunTotals>,
}

impl RunTotalsCache {
    /// How many runs it knows, about: some 100 bytes each. Those that it forgets are
    /// settled by reading.
    const MOST: usize = 50_000;

    /// Of a writer that begins.
    #[must_use]
    pub fn new() -> Self {
        Self {
            writer: Uuid::new_v4().as_u64_pair().0.cast_signed(),
            runs: HashMap::new(),
        }
    }

    /// The mark on runs of which it may know the sums.
    #[must_use]
    pub const fn writer(&self) -> i64 {
        self.writer
    }

    /// Takes out what it knows of a run: for as long as nobody knows whether what is
    /// being written below it commits.
    pub fn remove(&mut self, run: Uuid) -> Option<RunTotals> {
        self.runs.remove(&run)
    }

    /// Knows these from now on, for what was written has committed.
    pub fn insert(&mut self, sums: HashMap<Uuid, RunTotals>) {
        // Some are of runs that have been abandoned or ended by others since.
        if self.runs.len() + sums.len() > Self::MOST {
            self.runs.clear();
        }
        self.runs.extend(sums);
    }
}

/// What a batch adds below each run; `None` where it does more than append rows that
/// are complete, and where rows of it may have been there.
pub fn added(plan: &Plan<'_>) -> HashMap<Uuid, Option<RunTotals>> {
    let nothing = plan
        .runs
        .iter()
        .map(|run| (*run, Some(RunTotals::default())));
    let mut added = nothing.collect();
    append(&mut added, &plan.appends);
    for run in runs_not_append_only(plan) {
        added.insert(run, None);
    }
    added
}

fn append(added: &mut HashMap<Uuid, Option<RunTotals>>, rows: &Rows<'_>) {
    for row in &rows.steps {
        let (started_at, ended_at) = row.part.times();
        sums_of(added, row.run_id).seen(started_at.or(ended_at), started_at.max(ended_at));
    }
    for row in rows.messages.iter().filter(|row| !row.event.sighting) {
        if let Some(run) = row.event.run_id {
            sums_of(added, run).seen(Some(row.time), Some(row.time));
        }
    }
    for row in &rows.token_counts {
        let sums = sums_of(added, row.event.run_id);
        sums.seen(Some(row.time), Some(row.time));
        if !row.event.rollup {
            sums.counted = true;
            sums.input += i64::from(row.event.input.unwrap_or(0));
            sums.output += i64::from(row.event.output.unwrap_or(0));
        }
    }
}

fn sums_of(added: &mut HashMap<Uuid, Option<RunTotals>>, run: Uuid) -> &mut RunTotals {
    added.entry(run).or_default().get_or_insert_default()
}

/// Runs below which the batch does more. What a history only repeats counts for
/// nothing, and open steps are closed with their run.
fn runs_not_append_only(plan: &Plan<'_>) -> impl Iterator<Item = Uuid> {
    let steps = plan.merges.iter().flat_map(|rows| &rows.steps);
    let messages = plan.merges.iter().flat_map(|rows| &rows.messages);
    let counts = plan.merges.iter().flat_map(|rows| &rows.token_counts);
    let open = plan.appends.steps.iter();
    let again = plan.run_passes.iter().skip(1).flatten();
    let approvals = plan.approval_passes.iter().flatten();
    steps
        .map(|row| row.run_id)
        .chain(messages.filter_map(|row| row.event.run_id.filter(|_| !row.event.sighting)))
        .chain(counts.map(|row| row.event.run_id))
        .chain(
            open.filter(|row| row.part.end.is_none())
                .map(|row| row.run_id),
        )
        .chain(again.map(|patch| patch.id))
        .chain(approvals.filter_map(ApprovalPatch::run_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventBody, Message, MessageRole};
    use crate::store::plan::Rung;

    fn added_by(message: Message) -> HashMap<Uuid, Option<RunTotals>> {
        let time = Timestamp::from_postgres_micros(7).unwrap();
        let event = Event::new(time, EventBody::Message(message));
        added(&Plan::new(&[&event], Rung::Append))
    }

    #[test]
    fn a_sighting_adds_nothing_to_its_run() {
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
