//! Which shard an event goes to: that of its run, which is that of the run's
//! session where the batch that first names the run names it too.
//!
//! Runs of one session go to one writer, because two that make or change the
//! session's row at once wait for one another's commits; above all a run stays
//! with one writer, for one run that two of them hold is enough for a batch to
//! wait until the other has committed. Most events name only their run, so the
//! runs' shards are remembered, in a table of fixed size that forgets the oldest
//! first. Nothing but speed rests on it: a run that was forgotten may go to
//! another writer, as it may to another daemon.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use uuid::Uuid;

use crate::event::Event;

/// 8 runs each, 8 bytes a run: some times as many as are live at once.
const BUCKETS: usize = 1 << 15;
/// An entry is the upper bits of a run's hash, and its shard plus one.
const SHARD_BITS: u32 = 16;

/// One cache line: the runs that fall upon it, the latest first.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket([AtomicU64; 8]);

/// The table.
#[derive(Debug)]
pub(super) struct Routes {
    shards: usize,
    buckets: Box<[Bucket]>,
}

impl Routes {
    /// To so many shards.
    pub fn new(shards: usize) -> Self {
        let buckets = if shards > 1 { BUCKETS } else { 0 };
        Self {
            shards,
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
        }
    }

    /// Sends the new runs of a batch where their sessions go. Bridges name the
    /// session with some events of a run only, and not with the first.
    pub fn learn<'a>(&self, events: impl IntoIterator<Item = &'a Event>) {
        if self.shards == 1 {
            return;
        }
        for event in events {
            if let (Some(run), Some(session)) = (event.run_id(), event.session_id())
                && self.recall(run).is_none()
            {
                self.remember(run, self.spread(session));
            }
        }
    }

    /// The number of the event's shard.
    pub fn shard_of(&self, event: &Event) -> usize {
        if self.shards == 1 {
            return 0;
        }
        let Some(run) = event.run_id() else {
            return self.spread(event.session_id().unwrap_or_default());
        };
        self.recall(run).unwrap_or_else(|| {
            let shard = self.spread(run);
            self.remember(run, shard);
            shard
        })
    }

    fn spread(&self, id: Uuid) -> usize {
        ((u128::from(mixed(id)) * self.shards as u128) >> 64) as usize
    }

    fn remember(&self, run: Uuid, shard: usize) {
        let (bucket, tag) = self.place(run);
        let mut entry = tag | (shard as u64 + 1);
        // Another thread may do the same at once: each swap takes an entry along.
        for slot in &bucket.0 {
            entry = slot.swap(entry, Relaxed);
            if entry == 0 {
                return;
            }
        }
    }

    fn recall(&self, run: Uuid) -> Option<usize> {
        let (bucket, tag) = self.place(run);
        let entry = bucket.find(tag)?;
        Some(((entry - tag) as usize - 1).min(self.shards - 1))
    }

    fn place(&self, run: Uuid) -> (&Bucket, u64) {
        let hash = mixed(run);
        let bucket = &self.buckets[hash as usize % self.buckets.len()];
        (bucket, tag_of(hash))
    }
}

impl Bucket {
    fn find(&self, tag: u64) -> Option<u64> {
        let entries = self.0.iter().map(|slot| slot.load(Relaxed));
        entries
            .take_while(|entry| *entry != 0)
            .find(|entry| tag_of(*entry) == tag)
    }
}

fn tag_of(hash: u64) -> u64 {
    hash >> SHARD_BITS << SHARD_BITS
}

/// Ids are mostly random in their last bytes (UUIDv7 too); mixing makes do with
/// those that are not (UUIDv1, hand-made ones).
fn mixed(id: Uuid) -> u64 {
    let (high, low) = id.as_u64_pair();
    let mixed = (high ^ low).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The lower bits choose the bucket: they must depend on all of the id.
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventBody, Heartbeat, Message, MessageRole, Timestamp};

    fn heartbeat(run_id: Uuid) -> Event {
        Event::new(
            Timestamp::from_unix(0, 0).unwrap(),
            EventBody::Heartbeat(Heartbeat { run_id }),
        )
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
            believed_new: false,
        };
        Event {
            body: EventBody::Message(message),
            ..heartbeat(run_id)
        }
    }

    fn shards_of(routes: &Routes, events: &[Event]) -> Vec<usize> {
        routes.learn(events);
        events.iter().map(|event| routes.shard_of(event)).collect()
    }

    fn shard_of(routes: &Routes, event: Event) -> usize {
        shards_of(routes, &[event])[0]
    }

    fn run(n: usize) -> Uuid {
        Uuid::from_u128((n as u128) << 64 | 0x8000_0000_0000_0000)
    }

    #[test]
    fn runs_go_with_their_session_if_their_first_batch_names_it() {
        let routes = Routes::new(7);
        let session = Uuid::from_u128(99);
        let parts: Vec<Event> = (0..50).map(|n| heartbeat(run(n))).collect();
        let named: Vec<Event> = (0..50).map(|n| message(run(n), session)).collect();
        let batch: Vec<Event> = parts.iter().chain(&named).cloned().collect();
        let shards = shards_of(&routes, &batch);
        assert_eq!(shards, vec![shards[0]; 100]);
        assert_eq!(shards_of(&routes, &parts), shards[..50]);
        let alone = shards_of(&Routes::new(7), &parts);
        assert!(alone.iter().any(|shard| *shard != alone[0]), "{alone:?}");
    }

    #[test]
    fn a_run_stays_where_it_was_when_its_session_becomes_known() {
        let routes = Routes::new(7);
        for n in 0..50 {
            let first = shard_of(&routes, heartbeat(run(n)));
            let named = shard_of(&routes, message(run(n), Uuid::from_u128(99)));
            assert_eq!(
                (named, first),
                (first, shard_of(&routes, heartbeat(run(n))))
            );
        }
    }

    #[test]
    fn the_latest_runs_are_remembered_however_many_there_were() {
        const LIVE: usize = 1_000;
        let routes = Routes::new(7);
        let session = Uuid::from_u128(99);
        let shard = routes.spread(session);
        for n in 0..32 * BUCKETS {
            shard_of(&routes, message(run(n), session));
            let old = n.saturating_sub(LIVE);
            assert_eq!(shard_of(&routes, heartbeat(run(old))), shard, "run {old}");
        }
    }

    #[test]
    fn forgotten_runs_still_have_a_shard_and_all_shards_are_used() {
        let routes = Routes::new(3);
        let runs = 16 * BUCKETS;
        let mut used = [0_usize; 3];
        for n in 0..runs {
            let session = Uuid::from_u128(n as u128 / 3);
            used[shard_of(&routes, message(run(n), session))] += 1;
        }
        let least = runs / 3 * 9 / 10;
        assert!(used.iter().all(|count| *count > least), "{used:?}");
        assert_eq!(
            shard_of(&routes, heartbeat(run(0))),
            shard_of(&Routes::new(3), heartbeat(run(0)))
        );
    }
}
