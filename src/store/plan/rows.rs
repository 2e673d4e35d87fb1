//! Reduces messages, token counts and scores: one row per id.

use std::collections::HashMap;

use uuid::Uuid;

use super::order::{Contest, MessageKey, ScoreKey, TokenCountKey, message, score, token_count};
use super::types::PlannedEvent;
use crate::event::{Message, Score, TokenCount};

/// One row per id.
#[derive(Debug)]
pub(super) struct Rows<'a, T, K> {
    rows: Vec<PlannedEvent<'a, T>>,
    slots: HashMap<Uuid, usize>,
    contest: Contest<K>,
}

pub(super) type MessageRows<'a> = Rows<'a, Message, MessageKey<'a>>;
pub(super) type TokenCountRows<'a> = Rows<'a, TokenCount, TokenCountKey<'a>>;
pub(super) type ScoreRows<'a> = Rows<'a, Score, ScoreKey<'a>>;

impl<T, K> Default for Rows<'_, T, K> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            slots: HashMap::new(),
            contest: Contest::default(),
        }
    }
}

impl<'a, T, K: Ord> Rows<'a, T, K> {
    /// Adds an event. False if the id belongs to another run or session.
    fn reduce(
        &mut self,
        id: Uuid,
        new: PlannedEvent<'a, T>,
        same_owner: impl Fn(&T, &T) -> bool,
        key: impl Fn(&PlannedEvent<'a, T>) -> K,
    ) -> bool {
        let Some(&slot) = self.slots.get(&id) else {
            self.slots.insert(id, self.rows.len());
            self.rows.push(new);
            return true;
        };
        let winner = &mut self.rows[slot];
        if !same_owner(winner.event, new.event) {
            return false;
        }
        self.contest.enter(slot, winner, new, key);
        true
    }

    /// Returns the rows, and adds the events that lost to `superseded`.
    pub fn finish(self, superseded: &mut Vec<(usize, usize)>) -> Vec<PlannedEvent<'a, T>> {
        let losers = self.contest.into_losers().into_iter();
        superseded.extend(losers.map(|(loser, slot)| (loser, self.rows[slot].index)));
        self.rows
    }
}

impl<'a> MessageRows<'a> {
    /// Adds a message. False if its id belongs to another run or session.
    #[must_use]
    pub fn message(&mut self, new: PlannedEvent<'a, Message>) -> bool {
        // As in `merge_messages.sql`.
        let same_owner = |one: &Message, two: &Message| {
            let session = one.session_id.is_some() && one.session_id == two.session_id;
            match (one.run_id, two.run_id) {
                (None, None) => session,
                (one_run, two_run) if one_run == two_run => true,
                _ => session && (one.sighting || two.sighting),
            }
        };
        self.reduce(new.event.message_id, new, same_owner, message)
    }
}

impl<'a> TokenCountRows<'a> {
    /// Adds a token count. False if its id belongs to another run.
    #[must_use]
    pub fn token_count(&mut self, new: PlannedEvent<'a, TokenCount>) -> bool {
        let same_owner = |one: &TokenCount, two: &TokenCount| one.run_id == two.run_id;
        self.reduce(new.event.token_count_id, new, same_owner, token_count)
    }
}

impl<'a> ScoreRows<'a> {
    /// Adds a score. False if its id belongs to another run.
    #[must_use]
    pub fn score(&mut self, new: PlannedEvent<'a, Score>) -> bool {
        let same_owner = |one: &Score, two: &Score| one.run_id == two.run_id;
        self.reduce(new.event.score_id, new, same_owner, score)
    }
}
