//! Plans a batch, event by event.

use uuid::NonNilUuid;

use super::approvals::ApprovalPatches;
use super::bridged::{AliasPatches, concerns_aliases, named_parent};
use super::rows::{MessageRows, ScoreRows, TokenCountRows};
use super::runs::RunPatches;
use super::sessions::SessionPatches;
use super::steps::StepRows;
use super::types::{Plan, PlannedEvent, Rung, SessionRef};
use crate::event::{Event, EventBody, Message};
use crate::store::encode::NamedParent;

impl<'a> Plan<'a> {
    /// Plans a batch.
    #[must_use]
    pub fn new(events: &[&'a Event], rung: Rung) -> Self {
        Self::of_some(events.iter().copied().enumerate(), rung)
    }

    /// Plans events of a batch, each with its position.
    #[must_use]
    pub fn of_some(events: impl IntoIterator<Item = (usize, &'a Event)>, rung: Rung) -> Self {
        let mut builder = PlanBuilder::default();
        for (index, event) in events {
            builder.add(index, event);
        }
        builder.finish(rung)
    }

    /// The parents of steps that may be aliases.
    #[must_use]
    pub fn named_parents(&self) -> Vec<NamedParent> {
        let steps = self.appends.steps.iter().chain(self.merged_steps());
        let contested = self.contested.iter();
        let contested = contested.filter_map(|(_, event)| named_parent(&event.body));
        let named = steps.filter_map(|row| row.part.named_parent());
        named.chain(contested).collect()
    }
}

#[derive(Default)]
struct PlanBuilder<'a> {
    plan: Plan<'a>,
    sessions: SessionPatches<'a>,
    runs: RunPatches<'a>,
    steps: StepRows<'a>,
    messages: MessageRows<'a>,
    token_counts: TokenCountRows<'a>,
    scores: ScoreRows<'a>,
    approvals: ApprovalPatches<'a>,
    aliases: AliasPatches<'a>,
}

impl<'a> PlanBuilder<'a> {
    fn add(&mut self, index: usize, event: &'a Event) {
        self.add_owners(event);
        if !self.add_body(index, event) {
            self.plan.contested.push((index, event));
        }
    }

    /// Adds the session and the run that the event names.
    fn add_owners(&mut self, event: &Event) {
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
            match event.body {
                // An alias does not create its run.
                EventBody::StepAliased(_) => {}
                EventBody::Score(_) => self.plan.scored_runs.push(run),
                _ => self.plan.runs.push(run),
            }
        }
    }

    /// Adds what the event says. False if its id belongs to another run or session.
    fn add_body(&mut self, index: usize, event: &'a Event) -> bool {
        let time = event.time;
        match &event.body {
            EventBody::SessionUpsert(event) => {
                self.sessions.upsert(PlannedEvent { index, time, event });
            }
            EventBody::RunStarted(event) => self.runs.start(PlannedEvent { index, time, event }),
            EventBody::RunEnded(event) => self.runs.end(PlannedEvent { index, time, event }),
            EventBody::Heartbeat(event) => self.runs.heartbeat(index, time, event.run_id),
            EventBody::RunObserved(event) => self.runs.observation(index, time, event),
            EventBody::StepAliased(event) => {
                self.aliases.add(PlannedEvent { index, time, event });
            }
            EventBody::StepStarted(event) => {
                return self.steps.start(PlannedEvent { index, time, event });
            }
            EventBody::StepEnded(event) => {
                return self.steps.end(PlannedEvent { index, time, event });
            }
            EventBody::Message(event) => {
                return self.messages.message(PlannedEvent { index, time, event });
            }
            EventBody::TokenCount(event) => {
                let count = PlannedEvent { index, time, event };
                return self.token_counts.token_count(count);
            }
            EventBody::Score(event) => {
                return self.scores.score(PlannedEvent { index, time, event });
            }
            EventBody::ApprovalRequested(event) => {
                return self.approvals.request(PlannedEvent { index, time, event });
            }
            EventBody::ApprovalDecided(event) => {
                return self.approvals.decision(PlannedEvent { index, time, event });
            }
        }
        true
    }

    fn finish(self, rung: Rung) -> Plan<'a> {
        let can_append = rung == Rung::Append;
        let mut plan = self.plan;
        let superseded = &mut plan.superseded;
        plan.session_patches = self.sessions.finish(superseded);
        plan.run_patches = self.runs.finish(superseded);
        plan.approvals = self.approvals.finish(superseded);
        plan.aliases = self.aliases.finish(superseded);
        let (steps, more_steps) = self.steps.finish(superseded);
        plan.more_steps = more_steps;
        for row in steps {
            // These rows probably exist already: an end that was announced by its start,
            // and a lesser view of a step whose full view is stored.
            let expected = row
                .part
                .end
                .is_some_and(|(_, end)| end.view != 0 || end.announced && row.part.start.is_none());
            if can_append && !expected {
                plan.appends.steps.push(row);
            } else {
                plan.merges.steps.push(row);
            }
        }
        for row in self.messages.finish(superseded) {
            // Messages repeated from a history usually exist already; answers do not.
            if can_append && row.event.is_believed_new() {
                plan.appends.messages.push(row);
            } else {
                plan.merges.messages.push(row);
            }
        }
        // A run's lock protects its rows. But two writers may insert the same sighting, or
        // the same message without a run; one order of ids keeps them from deadlocking.
        let messages = &mut plan.appends.messages;
        let unlocked =
            |row: &PlannedEvent<'_, Message>| row.event.run_id.is_none() || row.event.sighting;
        if messages.iter().any(unlocked) {
            messages.sort_unstable_by_key(|row| row.event.message_id);
        }
        let token_counts = self.token_counts.finish(superseded);
        let scores = self.scores.finish(superseded);
        let rows = if can_append {
            &mut plan.appends
        } else {
            &mut plan.merges
        };
        rows.token_counts = token_counts;
        rows.scores = scores;
        // A merge also reaches rows of other runs if an id is taken, so each statement
        // goes in one order of ids.
        let rows = &mut plan.merges;
        for steps in [&mut rows.steps].into_iter().chain(&mut plan.more_steps) {
            steps.sort_unstable_by_key(|row| row.id);
        }
        rows.messages
            .sort_unstable_by_key(|row| row.event.message_id);
        rows.token_counts
            .sort_unstable_by_key(|row| row.event.token_count_id);
        rows.scores.sort_unstable_by_key(|row| row.event.score_id);
        for runs in [
            &mut plan.runs,
            &mut plan.scored_runs,
            &mut plan.bridged_runs,
        ] {
            runs.sort_unstable();
            runs.dedup();
        }
        plan
    }
}
