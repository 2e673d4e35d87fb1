//! Which shard an event goes to: that of its session, as far as it is known,
//! else that of its run.
//!
//! Runs of one session go to one writer, because two that make or change the
//! session's row at once wait for one another's commits. Most events name only
//! their run, so the runs' shards are remembered, in a table of fixed size.
//! Nothing but speed rests on it: an entry that was overwritten sends later
//! events to another writer, as another daemon would be.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use uuid::Uuid;

use crate::event::Event;

/// Runs that are remembered, 8 bytes each: some times as many as are live at once.
const SLOTS: usize = 1 << 18;
/// An entry is the upper bits of a run's hash, and its shard plus one.
const SHARD_BITS: u32 = 16;

/// The table.
#[derive(Debug)]
pub(super) struct Routes {
    shards: usize,
    slots: Box<[AtomicU64]>,
}

impl Routes {
    /// To so many shards.
    pub fn new(shards: usize) -> Self {
        let slots = if shards > 1 { SLOTS } else { 0 };
        Self {
            shards,
            slots: (0..slots).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// The number of the event's shard.
    pub fn shard_of(&self, event: &Event) -> usize {
        if self.shards == 1 {
            return 0;
        }
        match (event.run_id(), event.session_id()) {
            (Some(run), Some(session)) => {
                let shard = self.spread(session);
                self.remember(run, shard);
                shard
            }
            (Some(run), None) => self.recall(run).unwrap_or_else(|| self.spread(run)),
            (None, session) => self.spread(session.unwrap_or_default()),
        }
    }

    fn spread(&self, id: Uuid) -> usize {
        ((u128::from(mixed(id)) * self.shards as u128) >> 64) as usize
    }

    fn remember(&self, run: Uuid, shard: usize) {
        let (slot, tag) = self.place(run);
        let entry = tag | (shard as u64 + 1);
        // Most of the time it is there already: leave the cache line shared.
        if slot.load(Relaxed) != entry {
            slot.store(entry, Relaxed);
        }
    }

    fn recall(&self, run: Uuid) -> Option<usize> {
        let (slot, tag) = self.place(run);
        let entry = slot.load(Relaxed);
        let shard = entry & ((1 << SHARD_BITS) - 1);
        let known = entry != 0 && entry - shard == tag;
        known.then(|| (shard as usize - 1).min(self.shards - 1))
    }

    fn place(&self, run: Uuid) -> (&AtomicU64, u64) {
        let hash = mixed(run);
        let slot = &self.slots[hash as usize % self.slots.len()];
        (slot, hash >> SHARD_BITS << SHARD_BITS)
    }
}

/// Ids are mostly random in their last bytes (UUIDv7 too); mixing makes do with
/// those that are not (UUIDv1, hand-made ones).
fn mixed(id: Uuid) -> u64 {
    let (high, low) = id.as_u64_pair();
    let mixed = (high ^ low).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The lower bits choose the slot: they must depend on all of the id.
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventBody, Heartbeat, Message, MessageRole, Timestamp};

    fn heartbeat(run_id: Uuid) -> Event {
        Event {
            time: Timestamp::from_unix(0, 0).unwrap(),
            body: EventBody::Heartbeat(Heartbeat { run_id }),
        }
    }

    fn message(run_id: Uuid, session_id: Uuid) -> Event {
        let message = Message {
            message_id: Uuid::nil(),
            run_id: Some(run_id),
            session_id: Some(session_id),
            step_id: None,
            role: MessageRole::User,
            content: None,
            thinking: None,
            tool_calls: None,
            metadata: None,
            seq: None,
            sighting: false,
        };
        Event {
            body: EventBody::Message(message),
            ..heartbeat(run_id)
        }
    }

    #[test]
    fn the_runs_of_a_session_share_its_shard_from_when_it_is_known() {
        let routes = Routes::new(7);
        let session = Uuid::from_u128(99);
        let runs: Vec<Uuid> = (0..50).map(|n| Uuid::from_u128(1_000 + n)).collect();
        let alone = |routes: &Routes| -> Vec<usize> {
            let shards = runs.iter().map(|run| routes.shard_of(&heartbeat(*run)));
            shards.collect()
        };
        let before = alone(&routes);
        assert!(before.iter().any(|shard| *shard != before[0]), "{before:?}");
        let named: Vec<usize> = runs
            .iter()
            .map(|run| routes.shard_of(&message(*run, session)))
            .collect();
        assert_eq!(named, vec![named[0]; 50]);
        assert_eq!(alone(&routes), named);
        let stranger = Uuid::from_u128(7_777);
        let fresh = Routes::new(7);
        assert_eq!(
            routes.shard_of(&heartbeat(stranger)),
            fresh.shard_of(&heartbeat(stranger))
        );
    }

    #[test]
    fn more_runs_than_slots_still_have_a_shard_and_all_shards_are_used() {
        let routes = Routes::new(3);
        let mut used = [0_usize; 3];
        for n in 0..2 * SLOTS as u128 {
            let run = Uuid::from_u128(n << 64 | 0x8000_0000_0000_0000);
            routes.shard_of(&message(run, Uuid::from_u128(n / 3)));
            used[routes.shard_of(&heartbeat(run))] += 1;
        }
        let least = 2 * SLOTS / 3 * 9 / 10;
        assert!(used.iter().all(|count| *count > least), "{used:?}");
    }
}
