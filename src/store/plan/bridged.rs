//! Plans the events that only bridges send.
//!
//! It reduces the aliases of each id, and tells which runs aliases may affect.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::order::nullable;
use super::types::{AliasPatch, PlannedEvent};
use crate::event::{EventBody, RunEndedBy, StepAliased, StepDetails};
use crate::store::encode::{NamedParent, RunScopedId};

/// The details of a step event whose parent may be an alias.
fn details_with_alias(body: &EventBody) -> Option<&StepDetails> {
    let details = match body {
        EventBody::StepStarted(e) => Some(&e.details),
        EventBody::StepEnded(e) => e.details.as_ref(),
        _ => None,
    };
    details.filter(|details| details.parent_may_be_alias)
}

/// Whether aliases may affect the event. False for all events of native clients, so
/// they pay nothing for aliases.
pub(super) fn concerns_aliases(body: &EventBody) -> bool {
    let bridged = match body {
        EventBody::RunObserved(_) | EventBody::StepAliased(_) => true,
        EventBody::RunEnded(end) => end.by == RunEndedBy::RootSpan,
        _ => false,
    };
    bridged || details_with_alias(body).is_some()
}

/// The parent that a step event names, if that may be an alias.
pub(super) fn named_parent(body: &EventBody) -> Option<NamedParent> {
    let parent = details_with_alias(body)?.parent_step_id?;
    let (run, step) = match body {
        EventBody::StepStarted(e) => (e.run_id, e.step_id),
        EventBody::StepEnded(e) => (e.run_id, e.step_id),
        _ => return None,
    };
    Some(NamedParent { run, step, parent })
}

/// One patch per alias.
#[derive(Debug, Default)]
pub(super) struct AliasPatches<'a> {
    patches: Vec<AliasPatch<'a>>,
    slots: HashMap<RunScopedId, usize>,
    /// Events of aliases that have several.
    repeated: Vec<(usize, usize)>,
}

// The keys compare as `write_aliases.sql` does.

fn target_is_greater(new: &StepAliased, old: &StepAliased) -> bool {
    let key = |e: &StepAliased| [e.step_id, e.parent_step_id].map(nullable);
    key(new) > key(old)
}

fn end_wins(new: &StepAliased, old: Option<PlannedEvent<'_, StepAliased>>) -> bool {
    fn key(e: &StepAliased) -> Option<impl Ord> {
        let root = e.root.as_ref()?;
        let error = nullable(root.error.as_deref());
        Some((root.ended_at, root.status.as_str(), error))
    }
    key(new) > old.and_then(|old| key(old.event))
}

fn start_wins(new: &StepAliased, old: Option<PlannedEvent<'_, StepAliased>>) -> bool {
    fn key(e: &StepAliased) -> Option<impl Ord> {
        let root = e.root.as_ref()?;
        Some(Reverse((root.started_at, &root.name)))
    }
    key(new) > old.and_then(|old| key(old.event))
}

impl<'a> AliasPatches<'a> {
    pub fn add(&mut self, new: PlannedEvent<'a, StepAliased>) {
        let id = (new.event.run_id, new.event.alias_id);
        let root = new.event.root.as_ref().map(|_| new);
        let Some(&slot) = self.slots.get(&id) else {
            self.slots.insert(id, self.patches.len());
            self.patches.push(AliasPatch {
                target: new,
                root_end: root,
                root_start: root,
            });
            return;
        };
        let patch = &mut self.patches[slot];
        self.repeated.push((new.index, slot));
        self.repeated
            .extend(patch.contributors().map(|index| (index, slot)));
        if target_is_greater(new.event, patch.target.event) {
            patch.target = new;
        }
        if end_wins(new.event, patch.root_end) {
            patch.root_end = Some(new);
        }
        if start_wins(new.event, patch.root_start) {
            patch.root_start = Some(new);
        }
    }

    /// Returns the patches, and adds the aliases that do not show in them to `superseded`.
    pub fn finish(mut self, superseded: &mut Vec<(usize, usize)>) -> Vec<AliasPatch<'a>> {
        self.repeated.sort_unstable();
        self.repeated.dedup();
        for (index, slot) in self.repeated {
            let patch = &self.patches[slot];
            if patch.contributors().all(|shown| shown != index) {
                superseded.push((index, patch.target.index));
            }
        }
        self.patches
    }
}
#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::types::{Plan, Rung};
    use super::*;
    use crate::event::{AliasedRoot, EndStatus, Event, Message, MessageRole, Timestamp};

    const RUN: Uuid = Uuid::from_u128(1);
    const SESSION: Uuid = Uuid::from_u128(2);

    fn event(micros: i64, body: EventBody) -> Event {
        let time = Timestamp::from_postgres_micros(micros).expect("in range");
        Event::new(time, body)
    }

    fn sighting(micros: i64, run: Uuid, session: Option<Uuid>, content: &str) -> Event {
        let message = Message {
            message_id: Uuid::from_u128(5),
            run_id: Some(run),
            session_id: session,
            step_id: None,
            role: MessageRole::User,
            content: Some(content.into()),
            thinking: None,
            tool_calls: None,
            metadata: None,
            seq: None,
            sighting: true,
            believed_new: false,
        };
        event(micros, EventBody::Message(message))
    }

    fn alias(id: u128, step: Option<u128>) -> Event {
        let aliased = StepAliased {
            alias_id: Uuid::from_u128(id),
            run_id: RUN,
            step_id: step.map(Uuid::from_u128),
            parent_step_id: None,
            root: None,
        };
        event(0, EventBody::StepAliased(aliased))
    }

    fn plan(events: &[Event]) -> Plan<'_> {
        Plan::new(&events.iter().collect::<Vec<_>>(), Rung::Append)
    }

    fn merged(plan: &Plan<'_>) -> Vec<usize> {
        plan.merges.messages.iter().map(|row| row.index).collect()
    }

    #[test]
    fn only_the_least_sighting_is_merged_and_decides_for_the_others() {
        let other = Uuid::from_u128(0);
        let events = [
            sighting(7, RUN, Some(SESSION), "a"),
            sighting(9, RUN, Some(SESSION), "a"),
            sighting(7, other, Some(SESSION), "b"),
            sighting(7, RUN, Some(SESSION), "a"),
        ];
        let plan = plan(&events);
        assert!(plan.appends.messages.is_empty());
        assert_eq!(merged(&plan), [2]);
        let mut superseded = plan.superseded.clone();
        superseded.sort_unstable();
        assert_eq!(superseded, [(0, 2), (1, 2), (3, 2)]);
    }

    #[test]
    fn content_orders_sightings_of_one_time() {
        let events = [
            sighting(7, RUN, Some(SESSION), "b"),
            sighting(7, RUN, Some(SESSION), "a"),
            sighting(7, RUN, Some(SESSION), "a"),
        ];
        let plan = plan(&events);
        assert_eq!(merged(&plan), [1]);
        assert_eq!(plan.superseded, [(0, 1), (2, 1)]);
    }

    /// A sighting that is believed to be the first one of its message.
    fn answer(micros: i64, id: u128, content: &str) -> Event {
        let mut event = sighting(micros, RUN, Some(SESSION), content);
        if let EventBody::Message(message) = &mut event.body {
            message.message_id = Uuid::from_u128(id);
            message.believed_new = true;
        }
        event
    }

    #[test]
    fn messages_believed_new_are_appended_in_id_order() {
        let events = [
            answer(7, 6, "a"),
            answer(8, 5, "b"),
            sighting(9, RUN, Some(SESSION), "b"),
            sighting(8, RUN, Some(SESSION), "b"),
            answer(9, 4, "c"),
        ];
        let plan = plan(&events);
        let appended: Vec<usize> = plan.appends.messages.iter().map(|row| row.index).collect();
        assert_eq!(appended, [4, 1, 0]);
        assert!(plan.merges.messages.is_empty());
        assert_eq!(plan.superseded, [(2, 1), (3, 1)]);
        let events: Vec<&Event> = events.iter().collect();
        assert!(Plan::new(&events, Rung::Merge).appends.messages.is_empty());
    }

    #[test]
    fn sightings_without_a_common_run_or_session_are_not_one_message() {
        let events = [
            sighting(7, RUN, Some(SESSION), "a"),
            sighting(3, RUN, None, "a"),
            sighting(5, Uuid::from_u128(3), None, "a"),
        ];
        let plan = plan(&events);
        assert_eq!(merged(&plan), [1]);
        assert_eq!(plan.superseded, [(0, 1)]);
        let contested: Vec<usize> = plan.contested.iter().map(|(index, _)| *index).collect();
        assert_eq!(contested, [2]);
    }

    #[test]
    fn an_alias_is_written_once_and_creates_no_run() {
        let events = [
            alias(5, Some(1)),
            alias(6, None),
            alias(5, None),
            alias(5, None),
            alias(5, Some(1)),
        ];
        let plan = plan(&events);
        let targets: Vec<usize> = plan.aliases.iter().map(|row| row.target.index).collect();
        assert_eq!(targets, [2, 1]);
        assert_eq!(plan.superseded, [(0, 2), (3, 2), (4, 2)]);
        assert_eq!((plan.runs.len(), plan.bridged_runs), (0, vec![RUN]));
    }

    #[test]
    fn an_alias_takes_the_start_and_the_end_of_its_roots_from_different_events() {
        let root = |started: i64, ended: i64, name: &str| {
            let time = |micros| Timestamp::from_postgres_micros(micros).expect("in range");
            let mut event = alias(5, None);
            if let EventBody::StepAliased(alias) = &mut event.body {
                alias.root = Some(AliasedRoot {
                    started_at: time(started),
                    ended_at: time(ended),
                    status: EndStatus::Completed,
                    error: None,
                    name: name.into(),
                });
            }
            event
        };
        let events = [
            root(3, 5, "a"),
            root(2, 4, "b"),
            alias(5, None),
            root(2, 5, "c"),
        ];
        let plan = plan(&events);
        let [patch] = &plan.aliases[..] else {
            panic!("{:?}", plan.aliases)
        };
        let index = |alias: Option<PlannedEvent<'_, StepAliased>>| alias.map(|a| a.index);
        assert_eq!(
            (index(patch.root_end), index(patch.root_start)),
            (Some(0), Some(1))
        );
        assert_eq!(plan.superseded, [(2, 0), (3, 0)]);
    }
}
