//! Of what bridges send: which of many sightings of a message stands, which
//! aliases are to be written, and which runs these may concern.

use std::collections::HashMap;

use uuid::Uuid;

use super::{At, Builder, at_pass};
use crate::event::{EventBody, Message, StepAliased, StepDetails, Timestamp};

/// Whether an alias may have something to say on it. Of no event that a native
/// client sends, so that it costs them nothing.
pub(super) fn concerns_aliases(body: &EventBody) -> bool {
    let named = |details: &StepDetails| details.parent_may_be_alias;
    match body {
        EventBody::RunObserved(_) | EventBody::StepAliased(_) => true,
        EventBody::StepStarted(e) => named(&e.details),
        EventBody::StepEnded(e) => e.details.as_ref().is_some_and(named),
        _ => false,
    }
}

/// What makes sightings one message: the id and the session or, without one,
/// the run.
type SightedIn = (Uuid, Option<Uuid>, Option<Uuid>);

/// What the builder remembers of them.
#[derive(Default)]
pub(super) struct Slots {
    /// Per message: the place of its least sighting among the messages.
    sighted: HashMap<SightedIn, usize>,
    /// Positions of sightings that are not the least, with the place of the one that is.
    superseded: Vec<(usize, usize)>,
    /// Per alias: its place in each pass from the first.
    aliases: HashMap<(Uuid, Uuid), Vec<usize>>,
}

/// What says which of two sightings stands, but for their content; absent ids
/// last, as `merge_messages.sql` has it.
fn order(at: &At<'_, Message>) -> (Timestamp, [(bool, Option<Uuid>); 2]) {
    let ids = [at.event.run_id, at.event.step_id];
    (at.time, ids.map(|id| (id.is_none(), id)))
}

impl<'a> Builder<'a> {
    /// A history repeats its messages with every call: only the least sighting
    /// of each is merged.
    pub(super) fn sighted(&mut self, new: At<'a, Message>) {
        let id = new.event.message_id;
        let session = new.event.session_id;
        let run = new.event.run_id.filter(|_| session.is_none());
        let Some(&slot) = self.bridged.sighted.get(&(id, session, run)) else {
            self.bridged
                .sighted
                .insert((id, session, run), self.messages.len());
            let pass = self.pass(1, id);
            self.messages.push((pass, new));
            return;
        };
        let least = &mut self.messages[slot].1;
        match order(&new).cmp(&order(least)) {
            std::cmp::Ordering::Less => {
                self.bridged.superseded.push((least.index, slot));
                *least = new;
            }
            // The database knows the order of contents.
            std::cmp::Ordering::Equal if !new.event.same_content(least.event) => {
                let pass = self.pass(1, id);
                self.messages.push((pass, new));
            }
            _ => self.bridged.superseded.push((new.index, slot)),
        }
    }

    /// An alias that came before just so needs no second row.
    pub(super) fn aliased(&mut self, new: At<'a, StepAliased>) {
        let key = (new.event.run_id, new.event.alias_id);
        let places = self.bridged.aliases.entry(key).or_default();
        let passes = &mut self.plan.alias_passes;
        let mut olds = places
            .iter()
            .zip(&*passes)
            .map(|(&place, pass)| pass[place]);
        if let Some(same) = olds.find(|old| old.event == new.event) {
            self.plan.superseded.push((new.index, same.index));
            return;
        }
        let pass = at_pass(passes, places.len());
        places.push(pass.len());
        pass.push(new);
    }

    /// Says of each superseded sighting by which event it is.
    pub(super) fn settle_superseded(&mut self) {
        for (index, slot) in self.bridged.superseded.drain(..) {
            let winner = self.messages[slot].1.index;
            self.plan.superseded.push((index, winner));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Plan, Rung};
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
        let rows = |pass: &super::super::Rows<'_>| pass.messages.iter().map(|m| m.index).collect();
        plan.merges.iter().map(rows).collect()
    }

    #[test]
    fn only_the_least_sighting_is_merged_and_the_others_follow_it() {
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
    fn the_database_judges_between_contents_of_one_time() {
        let events = [
            sighting(7, RUN, Some(SESSION), "a"),
            sighting(7, RUN, Some(SESSION), "b"),
            sighting(7, RUN, Some(SESSION), "a"),
        ];
        let plan = plan(&events);
        assert_eq!(merged(&plan), [[0], [1]]);
        assert_eq!(plan.superseded, [(2, 0)]);
    }

    /// A sighting that nobody is believed to have told before.
    fn answer(micros: i64, id: u128, content: &str) -> Event {
        let mut event = sighting(micros, RUN, Some(SESSION), content);
        if let EventBody::Message(message) = &mut event.body {
            message.message_id = Uuid::from_u128(id);
            message.believed_new = true;
        }
        event
    }

    #[test]
    fn what_is_believed_new_is_appended_by_id() {
        let events = [
            answer(7, 6, "a"),
            answer(8, 5, "b"),
            sighting(9, RUN, Some(SESSION), "b"),
            sighting(8, RUN, Some(SESSION), "b"),
            answer(9, 4, "c"),
        ];
        let plan = plan(&events);
        let appended: Vec<usize> = plan.appends.messages.iter().map(|at| at.index).collect();
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
    fn an_alias_is_written_once_and_makes_no_run() {
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
            .map(|pass| pass.iter().map(|at| at.index).collect())
            .collect();
        assert_eq!(passes, [vec![0, 1], vec![2]]);
        assert_eq!(plan.superseded, [(3, 0), (4, 2)]);
        assert_eq!((plan.runs.len(), plan.bridged_runs), (0, vec![RUN]));
    }
}
