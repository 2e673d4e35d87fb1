//! A replayer that crashes at any time, and what it must not forget.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::event::{EventBody, Heartbeat, Timestamp};
use crate::pipeline::replay::isolation::Seen;

const INSTANCE: Uuid = Uuid::from_u128(7);
/// Events per frame.
const EVENTS: u8 = 4;
/// Frames per segment.
const SEGMENT: u64 = 3;

/// An event by its number. The payload of a frame is the number of its first event.
fn decode(payload: &[u8]) -> Option<Vec<Event>> {
    let first = u128::from(payload[0]) * u128::from(EVENTS);
    let event = |number: u128| {
        let run_id = Uuid::from_u128(number + 1);
        let time = Timestamp::from_unix(0, 0).expect("a time");
        Event::new(time, EventBody::Heartbeat(Heartbeat { run_id }))
    };
    Some((first..first + u128::from(EVENTS)).map(event).collect())
}

fn number(event: &Event) -> u128 {
    event.run_id().expect("a run").as_u128() - 1
}

fn frame(number: u8) -> Frame {
    let at = u64::from(number);
    Frame {
        sequence: at,
        events: u32::from(EVENTS),
        payload: vec![number],
        place: FramePlace {
            segment: at / SEGMENT,
            offset: at % SEGMENT,
        },
        end: at % SEGMENT + 1,
    }
}

#[derive(Clone, Debug)]
enum Action {
    Read,
    /// A transaction with so many events commits, and the crash that may follow is later.
    Commit(usize),
    /// A deferred event is committed.
    CommitDeferred,
    /// The first event fails on its own.
    Defer,
    /// The first event, or a deferred one, is refused on its own.
    Refuse(bool),
    /// So many refused events are stored as dead letters.
    CommitRefused(usize),
    /// The first refused event can be stored nowhere. Nothing is committed.
    Keep,
    /// The daemon ends without a word, and another one starts.
    Crash,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => Just(Action::Read),
        4 => (1..7_usize).prop_map(Action::Commit),
        1 => Just(Action::CommitDeferred),
        2 => Just(Action::Defer),
        2 => any::<bool>().prop_map(Action::Refuse),
        1 => (1..4_usize).prop_map(Action::CommitRefused),
        1 => Just(Action::Keep),
        1 => Just(Action::Crash),
    ]
}

/// The spool, the database and a replayer.
struct World {
    window: Window,
    /// Frames of the spool: those that are not acknowledged.
    spool: Vec<u8>,
    /// How many of them are read.
    read: usize,
    /// The progress that was last committed.
    progress: Option<Progress>,
    /// How often each event was committed.
    stored: BTreeMap<u128, u32>,
    /// Events that this process, or one whose progress is committed, could store nowhere.
    kept: BTreeSet<u128>,
    kept_durably: BTreeSet<u128>,
    quarantined: BTreeSet<u64>,
}

impl World {
    fn new(frames: u8) -> Self {
        Self {
            window: Window::default(),
            spool: (0..frames).collect(),
            read: 0,
            progress: None,
            stored: BTreeMap::new(),
            kept: BTreeSet::new(),
            kept_durably: BTreeSet::new(),
            quarantined: BTreeSet::new(),
        }
    }

    fn first(&self, batch: ReplayBatch) -> Option<u128> {
        let count = match batch {
            ReplayBatch::Front(_) => self.window.queued(),
            ReplayBatch::Deferred => self.window.deferred(),
            ReplayBatch::Refused(_) => self.window.refused(),
        };
        let events = (count > 0).then(|| self.window.events(batch))?;
        events.first().map(|event| number(event))
    }

    fn commit(&mut self, batch: ReplayBatch) {
        if self.first(batch).is_none() {
            return;
        }
        for event in self.window.events(batch) {
            *self.stored.entry(number(event)).or_default() += 1;
        }
        self.progress = Some(self.window.progress_after(batch));
        self.kept_durably.clone_from(&self.kept);
        self.window.settle(batch);
        self.ack();
    }

    fn ack(&mut self) {
        while let Some(sound) = self.window.pop_settled() {
            let place = frame(self.spool.remove(0)).place;
            self.read -= 1;
            if !sound {
                self.quarantined.insert(place.segment);
            }
        }
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Read => {
                if let Some(next) = self.spool.get(self.read) {
                    self.window.push(&frame(*next), INSTANCE, decode);
                    self.read += 1;
                    self.ack();
                }
            }
            Action::Commit(count) => {
                let count = self.window.front(count, usize::MAX);
                self.commit(ReplayBatch::Front(count));
            }
            Action::CommitDeferred => self.commit(ReplayBatch::Deferred),
            Action::Defer => {
                let batch = ReplayBatch::Front(1);
                if self.first(batch).is_some() {
                    self.window.defer(batch, Trouble::new(Seen::now(0)));
                }
            }
            Action::Refuse(deferred) => {
                let batch = match deferred {
                    true => ReplayBatch::Deferred,
                    false => ReplayBatch::Front(1),
                };
                if self.first(batch).is_some() {
                    let part = RefusedPart::new(&sqlx::Error::RowNotFound, None);
                    self.window.refuse(batch, part);
                }
            }
            Action::CommitRefused(count) => {
                let count = self.window.refused_front(count, usize::MAX);
                self.commit(ReplayBatch::Refused(count));
            }
            Action::Keep => {
                let batch = ReplayBatch::Refused(1);
                if let Some(event) = self.first(batch) {
                    self.window.keep(batch);
                    self.kept.insert(event);
                    self.ack();
                }
            }
            Action::Crash => {
                self.window = Window::default();
                if let Some(progress) = &self.progress {
                    let text = serde_json::to_string(progress).expect("JSON");
                    self.window
                        .resume(serde_json::from_str(&text).expect("progress"));
                }
                self.read = 0;
                self.kept.clone_from(&self.kept_durably);
                // As at a start: nothing is committed before this is done.
                while self.window.is_resuming() {
                    if self.read < self.spool.len() {
                        self.act(&Action::Read);
                    } else {
                        self.window.resumed();
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Scenario: up to 80 steps of a replayer on up to 12 frames: parts of frames are
    /// committed, events are set aside or refused, some can be stored nowhere, and it crashes.
    /// Guarantees: in the end each event was committed once, or its file is quarantined. A
    /// refusal that was committed is not forgotten.
    #[test]
    fn no_crash_makes_it_forget_or_repeat_an_event(
        frames in 1..12_u8,
        actions in proptest::collection::vec(action(), 1..80),
    ) {
        let mut world = World::new(frames);
        for action in &actions {
            world.act(action);
        }
        for _ in 0..1_000 {
            world.act(&Action::Read);
            world.act(&Action::Commit(3));
            world.act(&Action::CommitDeferred);
            world.act(&Action::CommitRefused(2));
        }
        prop_assert!(world.spool.is_empty(), "{:?} are left", world.spool);
        for event in 0..u128::from(frames) * u128::from(EVENTS) {
            let times = world.stored.get(&event).copied().unwrap_or_default();
            prop_assert!(times <= 1, "{event} was committed {times} times");
            let segment = frame(u8::try_from(event).expect("small") / EVENTS).place.segment;
            let kept = world.quarantined.contains(&segment);
            prop_assert!(times == 1 || kept, "{event} is lost");
            let remembered = world.kept_durably.contains(&event);
            prop_assert!(!remembered || kept, "the refusal of {event} is forgotten");
        }
    }
}
