//! Chooses the shard of an event.
//!
//! All events of a run go to one shard. It is the shard of the run's session, if the
//! batch that first names the run also names the session; otherwise it depends on the
//! run's id. Writers that change the same row wait for each other's commits: that of a
//! run, or that of a session. Most events name only their run, so a table remembers the
//! shards of runs. The table has a fixed size and forgets the oldest runs first.
//!
//! In the layout in slots, a run goes to the shard that has its slot instead, so that a write
//! batch is of few slots.
//!
//! This affects performance only. A forgotten run may go to another writer, just as it
//! may go to another daemon.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use uuid::Uuid;

use crate::event::Event;
use crate::store::share_of;

/// Buckets of the table. With 8 runs per bucket it holds 262,144 runs in 2 MiB, several
/// times as many as are live at once.
const BUCKETS: usize = 1 << 15;
/// Runs per bucket: 8 bytes each fill a cache line.
const BUCKET_RUNS: usize = 8;
/// An entry holds the upper bits of a run's hash and, in this many lower bits, its shard
/// plus one.
const SHARD_BITS: u32 = 16;

/// One cache line of entries, the latest first.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket([AtomicU64; BUCKET_RUNS]);

/// The shards of the latest runs.
#[derive(Debug)]
pub(super) struct RoutingTable {
    shards: usize,
    buckets: Box<[Bucket]>,
    /// Whether each shard has slots of its own.
    by_slot: AtomicBool,
}

impl RoutingTable {
    /// An empty table for `shards` shards.
    pub fn new(shards: usize) -> Self {
        let buckets = if shards > 1 { BUCKETS } else { 0 };
        Self {
            shards,
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            by_slot: AtomicBool::new(false),
        }
    }

    /// Says whether the database has slots, once it is known.
    pub fn set_by_slot(&self, by_slot: bool) {
        self.by_slot.store(by_slot, Relaxed);
    }

    /// Assigns the new runs of a batch to the shards of their sessions. Call it before
    /// [`Self::shard_of`]: bridges name the session only with some events of a run, and not
    /// with the first.
    pub fn learn_sessions<'a>(&self, events: impl IntoIterator<Item = &'a Event>) {
        if self.shards == 1 || self.by_slot.load(Relaxed) {
            return;
        }
        for event in events {
            if let (Some(run), Some(session)) = (event.run_id(), event.session_id())
                && self.lookup(run).is_none()
            {
                self.insert(run, self.shard_by_hash(session));
            }
        }
    }

    /// The shard of an event.
    pub fn shard_of(&self, event: &Event) -> usize {
        if self.shards == 1 {
            return 0;
        }
        if self.by_slot.load(Relaxed) {
            let owner = event.run_id().or(event.session_id());
            return share_of(owner.unwrap_or_default(), self.shards);
        }
        let Some(run) = event.run_id() else {
            return self.shard_by_hash(event.session_id().unwrap_or_default());
        };
        self.lookup(run).unwrap_or_else(|| {
            let shard = self.shard_by_hash(run);
            self.insert(run, shard);
            shard
        })
    }

    fn shard_by_hash(&self, id: Uuid) -> usize {
        ((u128::from(hash_id(id)) * self.shards as u128) >> 64) as usize
    }

    fn insert(&self, run: Uuid, shard: usize) {
        let (bucket, tag) = self.bucket_and_tag(run);
        let mut entry = tag | (shard as u64 + 1);
        // Shifts the entries by one. Swaps keep every entry if another thread inserts at
        // the same time.
        for slot in &bucket.0 {
            entry = slot.swap(entry, Relaxed);
            if entry == 0 {
                return;
            }
        }
    }

    fn lookup(&self, run: Uuid) -> Option<usize> {
        let (bucket, tag) = self.bucket_and_tag(run);
        let entry = bucket.find(tag)?;
        Some(((entry - tag) as usize - 1).min(self.shards - 1))
    }

    fn bucket_and_tag(&self, run: Uuid) -> (&Bucket, u64) {
        let hash = hash_id(run);
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

/// The multiplier of Fibonacci hashing: 2^64 divided by the golden ratio.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

fn tag_of(hash: u64) -> u64 {
    hash >> SHARD_BITS << SHARD_BITS
}

/// Hashes an id. Most ids (also UUIDv7) are random in their last bytes; the hash also
/// spreads those that are not (UUIDv1, hand-made ids).
fn hash_id(id: Uuid) -> u64 {
    let (high, low) = id.as_u64_pair();
    let product = (high ^ low).wrapping_mul(GOLDEN_RATIO);
    // The lower bits choose the bucket, so they must depend on the whole id.
    product ^ (product >> 32)
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

    fn shards_of(routes: &RoutingTable, events: &[Event]) -> Vec<usize> {
        routes.learn_sessions(events);
        events.iter().map(|event| routes.shard_of(event)).collect()
    }

    fn shard_of(routes: &RoutingTable, event: Event) -> usize {
        shards_of(routes, &[event])[0]
    }

    #[test]
    fn with_slots_a_run_goes_to_the_shard_of_its_slot() {
        let (two, eight) = (RoutingTable::new(2), RoutingTable::new(8));
        let mut used = [0_usize; 8];
        for n in 0..400 {
            let event = message(run(n), Uuid::from_u128(99));
            for routes in [&two, &eight] {
                routes.set_by_slot(true);
                routes.learn_sessions([&event]);
            }
            let shard = eight.shard_of(&event);
            used[shard] += 1;
            // A shard of fewer has the slots of several.
            assert_eq!(two.shard_of(&event), shard / 4);
        }
        assert!(used.iter().all(|runs| *runs > 20), "{used:?}");
    }

    fn run(n: usize) -> Uuid {
        Uuid::from_u128((n as u128) << 64 | 0x8000_0000_0000_0000)
    }

    #[test]
    fn runs_go_with_their_session_if_their_first_batch_names_it() {
        let routes = RoutingTable::new(7);
        let session = Uuid::from_u128(99);
        let parts: Vec<Event> = (0..50).map(|n| heartbeat(run(n))).collect();
        let named: Vec<Event> = (0..50).map(|n| message(run(n), session)).collect();
        let batch: Vec<Event> = parts.iter().chain(&named).cloned().collect();
        let shards = shards_of(&routes, &batch);
        assert_eq!(shards, vec![shards[0]; 100]);
        assert_eq!(shards_of(&routes, &parts), shards[..50]);
        let alone = shards_of(&RoutingTable::new(7), &parts);
        assert!(alone.iter().any(|shard| *shard != alone[0]), "{alone:?}");
    }

    #[test]
    fn a_run_stays_where_it_was_when_its_session_becomes_known() {
        let routes = RoutingTable::new(7);
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
    fn the_latest_runs_are_remembered_after_any_number_of_others() {
        const LIVE: usize = 1_000;
        let routes = RoutingTable::new(7);
        let session = Uuid::from_u128(99);
        let shard = routes.shard_by_hash(session);
        for n in 0..32 * BUCKETS {
            shard_of(&routes, message(run(n), session));
            let old = n.saturating_sub(LIVE);
            assert_eq!(shard_of(&routes, heartbeat(run(old))), shard, "run {old}");
        }
    }

    #[test]
    fn forgotten_runs_still_have_a_shard_and_all_shards_are_used() {
        let routes = RoutingTable::new(3);
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
            shard_of(&RoutingTable::new(3), heartbeat(run(0)))
        );
    }
}
