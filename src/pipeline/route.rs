//! Chooses the shard of an event.
//!
//! All events of a run go to one shard. It is the shard of the run's session, if the
//! batch that first names the run also names the session; otherwise it depends on the
//! run's id. Writers that change the same row wait for each other's commits: that of a
//! run, or that of a session. Most events name only their run, so a table remembers the
//! shards of runs. The table has a fixed size and forgets the oldest runs first.
//!
//! In the layout in slots, a run goes to the shard that has its slot instead. A batch is cut into
//! one unit for each slot, so that a write batch is of one slot.
//!
//! This affects performance only. A forgotten run may go to another writer, just as it
//! may go to another daemon.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

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

impl BatchCut {
    /// The shard that has a part.
    pub fn shard_of(self, part: usize) -> usize {
        part * self.shards / self.parts
    }
}

/// One cache line of entries, the latest first.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket([AtomicU64; BUCKET_RUNS]);

/// The shards of the latest runs.
#[derive(Debug)]
pub(super) struct RoutingTable {
    shards: usize,
    buckets: Box<[Bucket]>,
    /// How many slots there are; 0: runs are not in slots, as far as is known.
    slots: AtomicUsize,
}

/// How a batch is cut into units. It stays the same for one batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchCut {
    shards: usize,
    /// As many as there are shards, or slots if these are more.
    pub parts: usize,
    by_slot: bool,
}

impl RoutingTable {
    /// An empty table for `shards` shards.
    pub fn new(shards: usize) -> Self {
        let buckets = if shards > 1 { BUCKETS } else { 0 };
        Self {
            shards,
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            slots: AtomicUsize::new(0),
        }
    }

    /// Says how many slots the database has, once it is known; 0: none.
    pub fn set_slots(&self, slots: usize) {
        self.slots.store(slots, Relaxed);
    }

    /// How the next batch is cut.
    pub fn cut(&self) -> BatchCut {
        let slots = self.slots.load(Relaxed);
        BatchCut {
            shards: self.shards,
            parts: self.shards.max(slots),
            by_slot: slots > 0,
        }
    }

    /// Assigns the new runs of a batch to the shards of their sessions. Call it before
    /// [`Self::part_of`]: bridges name the session only with some events of a run, and not
    /// with the first.
    pub fn learn_sessions<'a>(&self, cut: BatchCut, events: impl IntoIterator<Item = &'a Event>) {
        if self.shards == 1 || cut.by_slot {
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

    /// The part of an event.
    pub fn part_of(&self, cut: BatchCut, event: &Event) -> usize {
        if cut.by_slot {
            let owner = event.run_id().or(event.session_id());
            return share_of(owner.unwrap_or_default(), cut.parts);
        }
        if self.shards == 1 {
            return 0;
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
        let cut = routes.cut();
        routes.learn_sessions(cut, events);
        let parts = events.iter().map(|event| routes.part_of(cut, event));
        parts.map(|part| cut.shard_of(part)).collect()
    }

    fn shard_of(routes: &RoutingTable, event: Event) -> usize {
        shards_of(routes, &[event])[0]
    }

    #[test]
    fn with_slots_a_run_goes_to_the_shard_of_its_slot() {
        let (two, eight, slots) = (RoutingTable::new(2), RoutingTable::new(8), 4);
        let mut used = [0_usize; 4];
        for n in 0..400 {
            let event = message(run(n), Uuid::from_u128(99));
            let slot = share_of(run(n), slots);
            used[slot] += 1;
            for routes in [&two, &eight] {
                routes.set_slots(slots);
            }
            let (few, many) = (two.cut(), eight.cut());
            assert_eq!(two.part_of(few, &event), slot);
            assert_eq!(shard_of(&two, event.clone()), slot / 2);
            // More shards than slots: several have one slot.
            assert_eq!(eight.part_of(many, &event) / 2, slot);
            assert_eq!(shard_of(&eight, event) / 2, slot);
        }
        assert!(used.iter().all(|runs| *runs > 50), "{used:?}");
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
