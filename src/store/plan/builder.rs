//! Plans a batch, event by event.

use std::collections::HashMap;

use uuid::{NonNilUuid, Uuid};

use super::bridged::{BridgedEvents, concerns_aliases};
use super::types::{
    ApprovalPatch, Plan, PlannedEvent, RunPatch, Rung, SessionRef, StepRow, at_pass,
};
use crate::event::{Event, EventBody, Message, StepEnded, StepStarted, Timestamp, TokenCount};
use crate::store::encode::rows::StepPart;

impl<'a> Plan<'a> {
    /// Plans a batch.
    #[must_use]
    pub fn new(events: &[&'a Event], rung: Rung) -> Self {
        let mut builder = PlanBuilder::default();
        for (index, event) in events.iter().enumerate() {
            builder.add(index, event);
        }
        builder.finish(rung)
    }
}

/// Counts how often each id of one kind occurred, which gives the pass of the next one.
#[derive(Default)]
struct PassCounter(HashMap<Uuid, usize>);

impl PassCounter {
    fn next(&mut self, id: Uuid) -> usize {
        let count = self.0.entry(id).or_default();
        *count += 1;
        *count - 1
    }
}

#[derive(Default)]
struct PlanBuilder<'a> {
    plan: Plan<'a>,
    /// Per run: the pass of its last patch, and the patch's index there.
    run_slots: HashMap<Uuid, (usize, usize)>,
    /// Each with its pass, as are messages and token counts.
    steps: Vec<(usize, StepRow<'a>)>,
    /// Per step: the index of its last row.
    step_slots: HashMap<Uuid, usize>,
    messages: Vec<(usize, PlannedEvent<'a, Message>)>,
    token_counts: Vec<(usize, PlannedEvent<'a, TokenCount>)>,
    upsert_passes: PassCounter,
    message_passes: PassCounter,
    token_count_passes: PassCounter,
    approval_passes: PassCounter,
    bridged: BridgedEvents,
}

impl<'a> PlanBuilder<'a> {
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
            if concerns_aliases(&event.body) {
                self.plan.bridged_runs.push(run);
            }
            // An alias does not create its run.
            if !matches!(event.body, EventBody::StepAliased(_)) {
                self.plan.runs.push(run);
            }
        }
        match &event.body {
            EventBody::SessionUpsert(event) => {
                let pass = self.upsert_passes.next(event.session_id);
                at_pass(&mut self.plan.session_passes, pass).push(PlannedEvent {
                    index,
                    time,
                    event,
                });
            }
            EventBody::RunStarted(event) => {
                let start = PlannedEvent { index, time, event };
                self.living_run(event.run_id, time, |patch| patch.start.is_none())
                    .start = Some(start);
            }
            EventBody::RunEnded(event) => {
                let end = PlannedEvent { index, time, event };
                self.living_run(event.run_id, time, |patch| patch.end.is_none())
                    .end = Some(end);
            }
            EventBody::Heartbeat(event) => {
                self.living_run(event.run_id, time, |_| true)
                    .heartbeats
                    .push(index);
            }
            EventBody::RunObserved(event) => {
                // An observation is no sign of life; otherwise each one would update
                // the run's row.
                self.run(event.run_id, |_| true)
                    .observed
                    .add(index, time, event);
            }
            EventBody::StepStarted(event) => self.add_step_start(index, time, event),
            EventBody::StepEnded(event) => self.add_step_end(index, time, event),
            EventBody::Message(event) if event.sighting => {
                let sighting = PlannedEvent { index, time, event };
                if self.bridged.add_sighting(sighting, &mut self.messages) {
                    self.push_message(sighting);
                }
            }
            EventBody::Message(event) => self.push_message(PlannedEvent { index, time, event }),
            EventBody::TokenCount(event) => {
                let pass = self.token_count_passes.next(event.token_count_id);
                self.token_counts
                    .push((pass, PlannedEvent { index, time, event }));
            }
            EventBody::ApprovalRequested(event) => {
                let pass = self.approval_passes.next(event.approval_id);
                let patch = ApprovalPatch::Requested(PlannedEvent { index, time, event });
                at_pass(&mut self.plan.approval_passes, pass).push(patch);
            }
            EventBody::ApprovalDecided(event) => {
                let pass = self.approval_passes.next(event.approval_id);
                let patch = ApprovalPatch::Decided(PlannedEvent { index, time, event });
                at_pass(&mut self.plan.approval_passes, pass).push(patch);
            }
            EventBody::StepAliased(event) => {
                let alias = PlannedEvent { index, time, event };
                self.bridged.add_alias(alias, &mut self.plan);
            }
        }
    }

    fn push_message(&mut self, message: PlannedEvent<'a, Message>) {
        let pass = self.message_passes.next(message.event.message_id);
        self.messages.push((pass, message));
    }

    /// The run's patch for an event that is also a sign of life.
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

    /// The run's last patch if it has room, otherwise a new one in the next pass.
    fn run(&mut self, id: Uuid, has_room: impl Fn(&RunPatch<'a>) -> bool) -> &mut RunPatch<'a> {
        let passes = &mut self.plan.run_passes;
        let slot = match self.run_slots.get(&id) {
            Some(&(pass, index)) if has_room(&passes[pass][index]) => (pass, index),
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

    fn add_step_start(&mut self, index: usize, time: Timestamp, event: &'a StepStarted) {
        let row = self.step(event.step_id, event.run_id, |row| row.part.start.is_none());
        row.part.start = Some((time, event));
        row.events[0] = Some(index);
    }

    fn add_step_end(&mut self, index: usize, time: Timestamp, event: &'a StepEnded) {
        let row = self.step(event.step_id, event.run_id, |row| row.part.end.is_none());
        row.part.end = Some((time, event));
        row.events[1] = Some(index);
    }

    /// The step's last row if it has room, otherwise a new one in the next pass.
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

    fn finish(self, rung: Rung) -> Plan<'a> {
        let can_append = |pass: usize| pass == 0 && rung == Rung::Append;
        let mut plan = self.plan;
        self.bridged.finish(&self.messages, &mut plan.superseded);
        for (pass, row) in self.steps {
            // These rows probably exist already: an end that was announced by its start,
            // and a lesser view of a step whose full view is stored.
            let expected = row
                .part
                .end
                .is_some_and(|(_, end)| end.view != 0 || end.announced && row.part.start.is_none());
            if can_append(pass) && !expected {
                plan.appends.steps.push(row);
            } else {
                at_pass(&mut plan.merges, pass).steps.push(row);
            }
        }
        for (pass, row) in self.messages {
            // Messages repeated from a history usually exist already; answers do not.
            let rows = if can_append(pass) && row.event.is_believed_new() {
                &mut plan.appends
            } else {
                at_pass(&mut plan.merges, pass)
            };
            rows.messages.push(row);
        }
        // A run's lock protects its rows. But two writers may insert the same sighting, or
        // the same message without a run; one order of ids keeps them from deadlocking.
        let messages = &mut plan.appends.messages;
        let unlocked =
            |row: &PlannedEvent<'_, Message>| row.event.run_id.is_none() || row.event.sighting;
        if messages.iter().any(unlocked) {
            messages.sort_unstable_by_key(|row| row.event.message_id);
        }
        for (pass, row) in self.token_counts {
            let rows = if can_append(pass) {
                &mut plan.appends
            } else {
                at_pass(&mut plan.merges, pass)
            };
            rows.token_counts.push(row);
        }
        // A merge also reaches rows of other runs if an id is taken, so all statements
        // of a pass go in one order of ids.
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
