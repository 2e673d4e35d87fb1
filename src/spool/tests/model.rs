//! Random actions against a model: what was synced and not acknowledged is
//! there after any crash, whole, once, in order.

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::fake::FakeDisk;
use super::{LIMITS, append, drain, open, sync};
use crate::spool::{Pending, SegmentLog, SpoolError};

#[derive(Clone, Debug)]
enum Action {
    Append(u16),
    Sync,
    /// The sync fails: what was not synced is gone.
    FailedSync {
        stubborn: bool,
    },
    /// The disk is full after so many bytes.
    FullDisk {
        room: u16,
        stubborn: bool,
    },
    Heal,
    Read,
    Ack,
    Reopen,
    Crash(u64),
    /// A bit of a file is flipped while nobody looks: file, byte, bit.
    Flip(u16, u16, u8),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (0_u16..400).prop_map(Action::Append),
        5 => Just(Action::Sync),
        1 => any::<bool>().prop_map(|stubborn| Action::FailedSync { stubborn }),
        1 => (0_u16..500, any::<bool>()).prop_map(|(room, stubborn)| Action::FullDisk { room, stubborn }),
        2 => Just(Action::Heal),
        5 => Just(Action::Read),
        5 => Just(Action::Ack),
        1 => Just(Action::Reopen),
        1 => any::<u64>().prop_map(Action::Crash),
        1 => (any::<u16>(), any::<u16>(), 0_u8..8).prop_map(|(file, byte, bit)| Action::Flip(file, byte, bit)),
    ]
}

/// What the log must do.
#[derive(Default)]
struct Model {
    /// Appended and not yet synced.
    unsynced: Vec<(Vec<u8>, Pending)>,
    /// Synced and not yet acknowledged, in order.
    synced: Vec<Vec<u8>>,
    /// Was acknowledged, never synced, or damaged: may be there after a reopening.
    optional: Vec<Vec<u8>>,
    /// Was hit by a flipped bit: may be gone.
    doubtful: bool,
    /// What was read last and is not acknowledged.
    in_hand: Option<Vec<u8>>,
    count: u32,
}

struct World {
    disk: FakeDisk,
    log: SegmentLog<FakeDisk>,
    model: Model,
}

impl World {
    fn act(&mut self, action: &Action) -> Result<(), TestCaseError> {
        match action {
            Action::Append(len) => self.append(*len)?,
            Action::Sync => self.sync()?,
            Action::FailedSync { stubborn } => {
                self.disk.fail_syncs(1);
                if *stubborn {
                    self.disk.refuse_truncation();
                }
                self.sync()?;
                self.disk.heal();
            }
            Action::FullDisk { room, stubborn } => {
                self.disk.fill(usize::from(*room));
                if *stubborn {
                    self.disk.refuse_truncation();
                }
            }
            Action::Heal => self.disk.heal(),
            Action::Read => self.read()?,
            Action::Ack => {
                self.log.ack();
                if let Some(payload) = self.model.in_hand.take() {
                    self.model.synced.retain(|synced| *synced != payload);
                    self.model.optional.push(payload);
                }
            }
            Action::Reopen => self.reopen()?,
            Action::Crash(seed) => {
                self.disk.crash(&mut StdRng::seed_from_u64(*seed));
                self.reopen()?;
            }
            Action::Flip(file, byte, bit) => self.flip(*file, *byte, *bit)?,
        }
        let files: u64 = self
            .disk
            .files()
            .iter()
            .map(|(_, now)| now.len() as u64)
            .sum();
        prop_assert!(files <= LIMITS.total_bytes, "{} bytes on disk", files);
        Ok(())
    }

    fn append(&mut self, len: u16) -> Result<(), TestCaseError> {
        self.model.count += 1;
        // Each payload is unlike any other.
        let mut payload = self.model.count.to_le_bytes().to_vec();
        payload.resize(4 + usize::from(len), 0xa5);
        match append(&mut self.log, &payload) {
            Ok(pending) => self.model.unsynced.push((payload, pending)),
            // Of what failed a part may be on disk, never the whole.
            Err(SpoolError::Full | SpoolError::Io(_)) => {}
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), TestCaseError> {
        let synced = sync(&mut self.log).is_ok();
        for (payload, pending) in self.model.unsynced.drain(..) {
            prop_assert_eq!(pending.durable(), Some(synced));
            if synced {
                self.model.synced.push(payload);
            } else {
                self.model.optional.push(payload);
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), TestCaseError> {
        let found = self
            .log
            .read()
            .map_err(|e| TestCaseError::fail(e.to_string()))?;
        let payload = found.map(|frame| frame.payload);
        self.model.in_hand = self
            .model
            .accept(payload.as_deref())?
            .then_some(payload)
            .flatten();
        Ok(())
    }

    /// Another process: everything that was synced and not acknowledged is
    /// there in order, whatever else is.
    fn reopen(&mut self) -> Result<(), TestCaseError> {
        self.disk.heal();
        self.model.in_hand = None;
        let unsynced = self.model.unsynced.drain(..);
        self.model
            .optional
            .extend(unsynced.map(|(payload, _)| payload));
        // Looking must not acknowledge, so it is done on a copy.
        let mut look = open(&self.disk.copy());
        let events = look.usage().events;
        let there = drain(&mut look);
        prop_assert_eq!(events, there.len() as u64, "the count of events");
        for payload in &there {
            let known =
                self.model.synced.contains(payload) || self.model.optional.contains(payload);
            prop_assert!(known, "never appended");
        }
        let mut sorted = there.clone();
        sorted.sort();
        sorted.dedup();
        prop_assert_eq!(sorted.len(), there.len(), "read twice");
        if !self.model.doubtful {
            let kept: Vec<_> = there
                .iter()
                .filter(|p| self.model.synced.contains(p))
                .collect();
            let wanted: Vec<_> = self.model.synced.iter().collect();
            prop_assert_eq!(kept, wanted, "synced frames");
        }
        // What a flipped bit hid comes back when it is flipped again.
        let hidden = std::mem::replace(&mut self.model.synced, there);
        self.model.optional.extend(hidden);
        self.model.doubtful = false;
        self.log = open(&self.disk);
        Ok(())
    }

    /// Costs at most one frame, or the header, of one file.
    fn flip(&mut self, file: u16, byte: u16, bit: u8) -> Result<(), TestCaseError> {
        let files = self.disk.files();
        let files: Vec<_> = files
            .into_iter()
            .filter(|(_, now)| !now.is_empty())
            .collect();
        if files.is_empty() {
            return Ok(());
        }
        let (name, now) = &files[usize::from(file) % files.len()];
        let at = usize::from(byte) % now.len();
        let before = self.model.synced.len();
        self.disk.change(name, |content| content[at] ^= 1 << bit);
        self.model.doubtful = true;
        self.reopen()?;
        // Frames that are there again after a restart only add.
        prop_assert!(
            self.model.synced.len() + 1 >= before,
            "more than one frame is lost"
        );
        Ok(())
    }
}

impl Model {
    /// Whether what was read is the next that is due.
    fn accept(&self, payload: Option<&[u8]>) -> Result<bool, TestCaseError> {
        prop_assert_eq!(payload, self.synced.first().map(Vec::as_slice));
        Ok(payload.is_some())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// Scenario: up to 60 of the actions above, over a disk of 4 KiB.
    /// Guarantees: what was synced and not acknowledged is read next, in order, and after any
    /// crash; nothing is read that was not appended; a flipped bit costs one frame at most; the
    /// files never exceed the budget; the count of events is exact.
    #[test]
    fn the_log_behaves_as_the_model(actions in proptest::collection::vec(action(), 1..60)) {
        let disk = FakeDisk::default();
        let log = open(&disk);
        let mut world = World { disk, log, model: Model::default() };
        for action in &actions {
            world.act(action)?;
        }
        world.reopen()?;
    }
}

/// `make chaos` asks for more.
fn cases() -> u32 {
    let asked = std::env::var("RUNTRACED_TEST_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(2_000)
}
