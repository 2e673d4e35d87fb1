//! Plans the events that only bridges send.
//!
//! It picks the winner among several sightings of one message, removes repeated
//! aliases, and tells which runs aliases may affect.

use std::cmp::Ordering;
use std::collections::HashMap;

use uuid::Uuid;

use super::types::{Plan, PlannedEvent, at_pass};
use crate::event::{EventBody, Message, StepAliased, StepDetails, Timestamp};

/// Whether aliases may affect the event. False for all events of native clients, so
/// they pay nothing for aliases.
pub(super) fn concerns_aliases(body: &EventBody) -> bool {
    let names_alias = |details: &StepDetails| details.parent_may_be_alias;
    match body {
        EventBody::RunObserved(_) | EventBody::StepAliased(_) => true,
        EventBody::StepStarted(e) => names_alias(&e.details),
        EventBody::StepEnded(e) => e.details.as_ref().is_some_and(names_alias),
        _ => false,
    }
}

/// Identifies the message that sightings are of: its id and its session or, without a
/// session, its run.
type SightingKey = (Uuid, Option<Uuid>, Option<Uuid>);

/// The sightings and aliases that the batch has brought so far.
#[derive(Default)]
pub(super) struct BridgedEvents {
    /// Per message: the index of its least sighting in the builder's messages.
    sightings: HashMap<SightingKey, usize>,
    /// Positions of the other sightings, each with the index of the least one.
    superseded: Vec<(usize, usize)>,
    /// Per alias: its index in each pass, from the first pass on.
    aliases: HashMap<(Uuid, Uuid), Vec<usize>>,
}

/// The order of sightings, apart from their content. Absent ids come last, as in
/// `merge_messages.sql`.
fn order(sighting: &PlannedEvent<'_, Message>) -> (Timestamp, [(bool, Option<Uuid>); 2]) {
    let ids = [sighting.event.run_id, sighting.event.step_id];
    (sighting.time, ids.map(|id| (id.is_none(), id)))
}

impl BridgedEvents {
    /// Adds a sighting; returns whether it needs an entry of its own in `messages`.
    ///
    /// Every call repeats the messages of its history, so only the least sighting of
    /// each message is merged.
    pub fn add_sighting<'a>(
        &mut self,
        new: PlannedEvent<'a, Message>,
        messages: &mut [(usize, PlannedEvent<'a, Message>)],
    ) -> bool {
        let id = new.event.message_id;
        let session = new.event.session_id;
        let run = new.event.run_id.filter(|_| session.is_none());
        let Some(&slot) = self.sightings.get(&(id, session, run)) else {
            self.sightings.insert((id, session, run), messages.len());
            return true;
        };
        let least = &mut messages[slot].1;
        match order(&new).cmp(&order(least)) {
            Ordering::Less => {
                self.superseded.push((least.index, slot));
                *least = new;
                false
            }
            // Only the database can order two contents.
            Ordering::Equal if !new.event.same_content(least.event) => true,
            _ => {
                self.superseded.push((new.index, slot));
                false
            }
        }
    }

    /// Adds an alias, unless the batch has one with the same content already.
    pub fn add_alias<'a>(&mut self, new: PlannedEvent<'a, StepAliased>, plan: &mut Plan<'a>) {
        let key = (new.event.run_id, new.event.alias_id);
        let slots = self.aliases.entry(key).or_default();
        let passes = &mut plan.alias_passes;
        let mut earlier = slots.iter().zip(&*passes).map(|(&slot, pass)| pass[slot]);
        if let Some(same) = earlier.find(|earlier| earlier.event == new.event) {
            plan.superseded.push((new.index, same.index));
            return;
        }
        let pass = at_pass(passes, slots.len());
        slots.push(pass.len());
        pass.push(new);
    }

    /// Lists each superseded sighting with the position of the winner.
    pub fn finish(
        self,
        messages: &[(usize, PlannedEvent<'_, Message>)],
        superseded: &mut Vec<(usize, usize)>,
    ) {
        for (index, slot) in self.superseded {
            superseded.push((index, messages[slot].1.index));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::{PlannedRows, Rung};
    use super::*;
    use crate::event::{Event, MessageRole};

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

    /// Positions of the messages of each pass.
    fn merged(plan: &Plan<'_>) -> Vec<Vec<usize>> {
        let rows = |pass: &PlannedRows<'_>| pass.messages.iter().map(|m| m.index).collect();
        plan.merges.iter().map(rows).collect()
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
        assert_eq!(merged(&plan), [[2]]);
        let mut superseded = plan.superseded.clone();
        superseded.sort_unstable();
        assert_eq!(superseded, [(0, 2), (1, 2), (3, 2)]);
    }

    #[test]
    fn the_database_orders_contents_of_one_time() {
        let events = [
            sighting(7, RUN, Some(SESSION), "a"),
            sighting(7, RUN, Some(SESSION), "b"),
            sighting(7, RUN, Some(SESSION), "a"),
        ];
        let plan = plan(&events);
        assert_eq!(merged(&plan), [[0], [1]]);
        assert_eq!(plan.superseded, [(2, 0)]);
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
        assert!(plan.merges.is_empty());
        assert_eq!(plan.superseded, [(2, 1), (3, 1)]);
        let events: Vec<&Event> = events.iter().collect();
        assert!(Plan::new(&events, Rung::Merge).appends.messages.is_empty());
    }

    #[test]
    fn sightings_of_different_sessions_are_not_one_message() {
        let events = [
            sighting(7, RUN, Some(SESSION), "a"),
            sighting(3, RUN, None, "a"),
            sighting(5, Uuid::from_u128(3), None, "a"),
        ];
        let plan = plan(&events);
        assert_eq!(merged(&plan), [[0], [1], [2]]);
        assert!(plan.superseded.is_empty());
    }

    #[test]
    fn an_alias_is_written_once_and_creates_no_run() {
        let events = [
            alias(5, None),
            alias(6, None),
            alias(5, Some(1)),
            alias(5, None),
            alias(5, Some(1)),
        ];
        let plan = plan(&events);
        let passes: Vec<Vec<usize>> = plan
            .alias_passes
            .iter()
            .map(|pass| pass.iter().map(|row| row.index).collect())
            .collect();
        assert_eq!(passes, [vec![0, 1], vec![2]]);
        assert_eq!(plan.superseded, [(3, 0), (4, 2)]);
        assert_eq!((plan.runs.len(), plan.bridged_runs), (0, vec![RUN]));
    }
}
