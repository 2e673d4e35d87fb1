//! From the events of a batch to what is to be written, table by table.
//!
//! Pure: no IO. Merging statements take an id at most once, so what a batch
//! says of one id more than once goes into passes that follow one another.

mod bridged;
mod observed;

use std::collections::{HashMap, HashSet};

use uuid::{NonNilUuid, Uuid};

pub use self::observed::Observed;
use super::encode::rows::StepPart;
use crate::event::{
    ApprovalDecided, ApprovalRequested, Event, EventBody, Message, RunEnded, RunStarted,
    SessionUpsert, StepAliased, StepEnded, StepStarted, Timestamp, TokenCount,
};

/// Which rung of the write ladder a batch is planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// COPY new rows straight into their tables.
    Append,
    /// Merge all rows.
    Merge,
}

/// An event of the batch: its position and its time.
#[derive(Debug)]
pub struct At<'a, T> {
    /// Position in the batch.
    pub index: usize,
    /// The event's time.
    pub time: Timestamp,
    /// The event.
    pub event: &'a T,
}

// Derived, these would ask for `T: Copy`.
impl<T> Clone for At<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for At<'_, T> {}

/// A session that the batch names.
#[derive(Clone, Copy, Debug)]
pub struct SessionRef {
    /// The least event time that names it.
    pub at: Timestamp,
    /// Whether the batch also upserts it.
    pub upsert: bool,
    /// The customer whose it is if it is new.
    pub tenant: Option<Uuid>,
}

/// What the batch knows of one run, at most one of each kind.
#[derive(Debug, Default)]
pub struct RunPatch<'a> {
    /// The run.
    pub id: Uuid,
    /// Its start.
    pub start: Option<At<'a, RunStarted>>,
    /// Its end.
    pub end: Option<At<'a, RunEnded>>,
    /// Positions of its heartbeats.
    pub heartbeats: Vec<usize>,
    /// What its parts tell of it.
    pub observed: Observed<'a>,
    /// The greatest event time of its start, end and heartbeats.
    pub alive_at: Option<Timestamp>,
}

/// A step's row and the positions of the events that make it.
#[derive(Clone, Copy, Debug)]
pub struct StepRow<'a> {
    /// The step's run.
    pub run_id: Uuid,
    /// The step.
    pub id: Uuid,
    /// What is known.
    pub part: StepPart<'a>,
    /// Position of the start, of the end.
    pub events: [Option<usize>; 2],
}

/// Rows of the tables that take COPY.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Rows<'a> {
    pub steps: Vec<StepRow<'a>>,
    pub messages: Vec<At<'a, Message>>,
    pub token_counts: Vec<At<'a, TokenCount>>,
}

/// A request or a decision.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum ApprovalPatch<'a> {
    Requested(At<'a, ApprovalRequested>),
    Decided(At<'a, ApprovalDecided>),
}

impl ApprovalPatch<'_> {
    /// The approval.
    #[must_use]
    pub fn id(&self) -> Uuid {
        match self {
            Self::Requested(at) => at.event.approval_id,
            Self::Decided(at) => at.event.approval_id,
        }
    }

    /// Its run.
    #[must_use]
    pub fn run_id(&self) -> Option<Uuid> {
        match self {
            Self::Requested(at) => at.event.run_id,
            Self::Decided(at) => at.event.run_id,
        }
    }

    /// Its session.
    #[must_use]
    pub fn session_id(&self) -> Option<Uuid> {
        match self {
            Self::Requested(at) => at.event.session_id,
            Self::Decided(at) => at.event.session_id,
        }
    }

    /// Position in the batch.
    #[must_use]
    pub fn index(&self) -> usize {
        match self {
            Self::Requested(at) => at.index,
            Self::Decided(at) => at.index,
        }
    }
}

/// All that a batch writes.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    /// Every session that is named.
    pub sessions: HashMap<Uuid, SessionRef>,
    /// Session upserts, by pass.
    pub session_passes: Vec<Vec<At<'a, SessionUpsert>>>,
    /// Of runs that bound events name: the customer whose they are if they are new.
    pub run_tenants: HashMap<Uuid, Uuid>,
    /// Every run that is touched, sorted.
    pub runs: Vec<Uuid>,
    /// Starts, ends and heartbeats, by pass.
    pub run_passes: Vec<Vec<RunPatch<'a>>>,
    /// Rows believed to be new.
    pub appends: Rows<'a>,
    /// Rows to be merged, by pass.
    pub merges: Vec<Rows<'a>>,
    /// Requests and decisions, by pass.
    pub approval_passes: Vec<Vec<ApprovalPatch<'a>>>,
    /// Aliases of steps, by pass.
    pub alias_passes: Vec<Vec<At<'a, StepAliased>>>,
    /// Runs of which something came that aliases may concern, sorted. Those
    /// that only aliases name are not among `runs`.
    pub bridged_runs: Vec<Uuid>,
    /// Positions of events that need no row of their own, each with that of the
    /// event whose outcome says theirs: if it is not refused, they are duplicates.
    pub superseded: Vec<(usize, usize)>,
}

impl<'a> Plan<'a> {
    /// Plans a batch.
    #[must_use]
    pub fn new(events: &[&'a Event], rung: Rung) -> Self {
        let mut builder = Builder::default();
        for (index, event) in events.iter().enumerate() {
            builder.add(index, event);
        }
        builder.finish(rung)
    }

    /// The runs of which the batch brings an end.
    #[must_use]
    pub fn ends(&self) -> HashSet<Uuid> {
        let patches = self.run_passes.iter().flatten();
        let ends = patches.filter(|patch| patch.end.is_some());
        ends.map(|patch| patch.id).collect()
    }

    /// How many passes the most often named id takes.
    #[must_use]
    pub fn passes(&self) -> usize {
        [
            self.session_passes.len(),
            self.run_passes.len(),
            self.merges.len(),
            self.approval_passes.len(),
            self.alias_passes.len(),
        ]
        .into_iter()
        .max()
        .unwrap_or(0)
    }
}

#[derive(Default)]
struct Builder<'a> {
    plan: Plan<'a>,
    /// Per run: its last pass and its place there.
    run_slots: HashMap<Uuid, (usize, usize)>,
    steps: Vec<(usize, StepRow<'a>)>,
    /// Per step: its last row.
    step_slots: HashMap<Uuid, usize>,
    messages: Vec<(usize, At<'a, Message>)>,
    token_counts: Vec<(usize, At<'a, TokenCount>)>,
    /// How often the id of a message, count, approval or session upsert has come.
    seen: [HashMap<Uuid, usize>; 4],
    bridged: bridged::Slots,
}

impl<'a> Builder<'a> {
    fn add(&mut self, index: usize, event: &'a Event) {
        let time = event.time;
        let tenant = event.tenant.map(NonNilUuid::get);
        if let Some(session) = event.session_id() {
            let upsert = matches!(event.body, EventBody::SessionUpsert(_));
            let entry = self.plan.sessions.entry(session).or_insert(SessionRef {
                at: time,
                upsert,
                tenant,
            });
            entry.at = entry.at.min(time);
            entry.upsert |= upsert;
            entry.tenant = entry.tenant.or(tenant);
        }
        if let Some(run) = event.run_id() {
            if let Some(tenant) = tenant {
                self.plan.run_tenants.insert(run, tenant);
            }
            if bridged::concerns_aliases(&event.body) {
                self.plan.bridged_runs.push(run);
            }
            // An alias alone makes no run.
            if !matches!(event.body, EventBody::StepAliased(_)) {
                self.plan.runs.push(run);
            }
        }
        match &event.body {
            EventBody::SessionUpsert(event) => {
                let pass = self.pass(0, event.session_id);
                at_pass(&mut self.plan.session_passes, pass).push(At { index, time, event });
            }
            EventBody::RunStarted(event) => {
                let start = At { index, time, event };
                self.living_run(event.run_id, time, |patch| patch.start.is_none())
                    .start = Some(start);
            }
            EventBody::RunEnded(event) => {
                let end = At { index, time, event };
                self.living_run(event.run_id, time, |patch| patch.end.is_none())
                    .end = Some(end);
            }
            EventBody::Heartbeat(event) => {
                self.living_run(event.run_id, time, |_| true)
                    .heartbeats
                    .push(index);
            }
            EventBody::RunObserved(event) => {
                // Its time is no sign of life, or a run's row would be touched
                // with each of its parts.
                self.run(event.run_id, |_| true)
                    .observed
                    .add(index, time, event);
            }
            EventBody::StepStarted(event) => self.step_started(index, time, event),
            EventBody::StepEnded(event) => self.step_ended(index, time, event),
            EventBody::Message(event) if event.sighting => {
                self.sighted(At { index, time, event });
            }
            EventBody::Message(event) => {
                let pass = self.pass(1, event.message_id);
                self.messages.push((pass, At { index, time, event }));
            }
            EventBody::TokenCount(event) => {
                let pass = self.pass(2, event.token_count_id);
                self.token_counts.push((pass, At { index, time, event }));
            }
            EventBody::ApprovalRequested(event) => {
                let pass = self.pass(3, event.approval_id);
                let patch = ApprovalPatch::Requested(At { index, time, event });
                at_pass(&mut self.plan.approval_passes, pass).push(patch);
            }
            EventBody::ApprovalDecided(event) => {
                let pass = self.pass(3, event.approval_id);
                let patch = ApprovalPatch::Decided(At { index, time, event });
                at_pass(&mut self.plan.approval_passes, pass).push(patch);
            }
            EventBody::StepAliased(event) => self.aliased(At { index, time, event }),
        }
    }

    /// How often the id has come before.
    fn pass(&mut self, kind: usize, id: Uuid) -> usize {
        let count = self.seen[kind].entry(id).or_default();
        *count += 1;
        *count - 1
    }

    /// The run's patch for what is a sign of life too.
    fn living_run(
        &mut self,
        id: Uuid,
        time: Timestamp,
        has_room: impl Fn(&RunPatch<'a>) -> bool,
    ) -> &mut RunPatch<'a> {
        let patch = self.run(id, has_room);
        patch.alive_at = patch.alive_at.max(Some(time));
        patch
    }

    /// The run's last patch if it has room, else a new one in the next pass.
    fn run(&mut self, id: Uuid, has_room: impl Fn(&RunPatch<'a>) -> bool) -> &mut RunPatch<'a> {
        let passes = &mut self.plan.run_passes;
        let slot = match self.run_slots.get(&id) {
            Some(&(pass, place)) if has_room(&passes[pass][place]) => (pass, place),
            last => {
                let pass = last.map_or(0, |&(pass, _)| pass + 1);
                let patches = at_pass(passes, pass);
                patches.push(RunPatch {
                    id,
                    ..RunPatch::default()
                });
                (pass, patches.len() - 1)
            }
        };
        self.run_slots.insert(id, slot);
        &mut passes[slot.0][slot.1]
    }

    fn step_started(&mut self, index: usize, time: Timestamp, event: &'a StepStarted) {
        let row = self.step(event.step_id, event.run_id, |row| row.part.start.is_none());
        row.part.start = Some((time, event));
        row.events[0] = Some(index);
    }

    fn step_ended(&mut self, index: usize, time: Timestamp, event: &'a StepEnded) {
        let row = self.step(event.step_id, event.run_id, |row| row.part.end.is_none());
        row.part.end = Some((time, event));
        row.events[1] = Some(index);
    }

    /// The step's last row if it has room, else a new one in the next pass.
    fn step(
        &mut self,
        id: Uuid,
        run_id: Uuid,
        has_room: impl Fn(&StepRow<'a>) -> bool,
    ) -> &mut StepRow<'a> {
        let slot = match self.step_slots.get(&id) {
            Some(&slot) if self.steps[slot].1.run_id == run_id && has_room(&self.steps[slot].1) => {
                slot
            }
            last => {
                let pass = last.map_or(0, |&slot| self.steps[slot].0 + 1);
                let row = StepRow {
                    run_id,
                    id,
                    part: StepPart::default(),
                    events: [None; 2],
                };
                self.steps.push((pass, row));
                self.steps.len() - 1
            }
        };
        self.step_slots.insert(id, slot);
        &mut self.steps[slot].1
    }

    fn finish(mut self, rung: Rung) -> Plan<'a> {
        let appends = |pass: usize| pass == 0 && rung == Rung::Append;
        self.settle_superseded();
        let mut plan = self.plan;
        for (pass, row) in self.steps {
            // An announced end finds its start in the table, and a poorer view the
            // full one: they cannot be appended.
            let expected = row
                .part
                .end
                .is_some_and(|(_, end)| end.view != 0 || end.announced && row.part.start.is_none());
            if appends(pass) && !expected {
                plan.appends.steps.push(row);
            } else {
                at_pass(&mut plan.merges, pass).steps.push(row);
            }
        }
        for (pass, row) in self.messages.drain(..) {
            // What a history repeats is there already, as a rule; an answer is not.
            let rows = if appends(pass) && row.event.is_believed_new() {
                &mut plan.appends
            } else {
                at_pass(&mut plan.merges, pass)
            };
            rows.messages.push(row);
        }
        // Rows of a run have its lock. Of messages without a run, and of sightings, two
        // writers may insert the same at once, and must come upon them in one order.
        let messages = &mut plan.appends.messages;
        let shared = |row: &At<'_, Message>| row.event.run_id.is_none() || row.event.sighting;
        if messages.iter().any(shared) {
            messages.sort_unstable_by_key(|row| row.event.message_id);
        }
        for (pass, row) in self.token_counts.drain(..) {
            let rows = if appends(pass) {
                &mut plan.appends
            } else {
                at_pass(&mut plan.merges, pass)
            };
            rows.token_counts.push(row);
        }
        // What is merged comes upon rows of other runs, too, where an id is taken: in one
        // order over all statements of a pass.
        for rows in &mut plan.merges {
            rows.steps.sort_unstable_by_key(|row| row.id);
            rows.messages
                .sort_unstable_by_key(|row| row.event.message_id);
            rows.token_counts
                .sort_unstable_by_key(|row| row.event.token_count_id);
        }
        for runs in [&mut plan.runs, &mut plan.bridged_runs] {
            runs.sort_unstable();
            runs.dedup();
        }
        plan
    }
}

fn at_pass<T: Default>(passes: &mut Vec<T>, pass: usize) -> &mut T {
    if passes.len() <= pass {
        passes.resize_with(pass + 1, T::default);
    }
    &mut passes[pass]
}

#[cfg(test)]
mod tests;
