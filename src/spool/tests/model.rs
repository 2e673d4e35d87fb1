//! Compares the log with a model under random actions. After any crash, every synced and
//! unacknowledged frame exists: complete, once, and in order.

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::fake::FakeDisk;
use super::{LIMITS, append, drain, open, sync};
use crate::spool::{Frame, PendingFrame, SegmentLog, SpoolError};

#[derive(Clone, Debug)]
enum Action {
    Append(u16),
    Sync,
    /// The sync fails, so all unsynced frames are lost.
    FailedSync {
        no_truncation: bool,
    },
    /// The disk is full after `room` bytes.
    FullDisk {
        room: u16,
        no_truncation: bool,
    },
    Heal,
    Read,
    ReadAhead,
    Ack,
    Reopen,
    Crash(u64),
    /// A bit of a file flips while the log is closed: file, byte, bit.
    Flip(u16, u16, u8),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (0_u16..400).prop_map(Action::Append),
        5 => Just(Action::Sync),
        1 => any::<bool>().prop_map(|no_truncation| Action::FailedSync { no_truncation }),
        1 => (0_u16..500, any::<bool>()).prop_map(|(room, no_truncation)| Action::FullDisk { room, no_truncation }),
        2 => Just(Action::Heal),
        3 => Just(Action::Read),
        4 => Just(Action::ReadAhead),
        5 => Just(Action::Ack),
        1 => Just(Action::Reopen),
        1 => any::<u64>().prop_map(Action::Crash),
        1 => (any::<u16>(), any::<u16>(), 0_u8..8).prop_map(|(file, byte, bit)| Action::Flip(file, byte, bit)),
    ]
}

/// What the log must contain.
#[derive(Default)]
struct Model {
    /// Appended and not synced.
    unsynced: Vec<(Vec<u8>, PendingFrame)>,
    /// Synced and not acknowledged, in order.
    synced: Vec<Vec<u8>>,
    /// Acknowledged, never synced, or damaged: may exist after the log is opened again.
    optional: Vec<Vec<u8>>,
    /// A bit was flipped, so a synced frame may be missing.
    damaged: bool,
    /// A bit was flipped, at any time.
    flipped: bool,
    /// The number of the first synced payloads that were read and are not acknowledged.
    unacked: usize,
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
            Action::FailedSync { no_truncation } => {
                self.disk.fail_syncs(1);
                if *no_truncation {
                    self.disk.refuse_truncation();
                }
                self.sync()?;
                self.disk.heal();
            }
            Action::FullDisk {
                room,
                no_truncation,
            } => {
                self.disk.fill(usize::from(*room));
                if *no_truncation {
                    self.disk.refuse_truncation();
                }
            }
            Action::Heal => self.disk.heal(),
            Action::Read => self.read()?,
            Action::ReadAhead => self.read_ahead()?,
            Action::Ack => {
                self.log.ack();
                if self.model.unacked > 0 {
                    self.model.unacked -= 1;
                    let payload = self.model.synced.remove(0);
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
        // All payloads differ.
        let mut payload = self.model.count.to_le_bytes().to_vec();
        payload.resize(4 + usize::from(len), 0xa5);
        match append(&mut self.log, &payload) {
            Ok(pending) => self.model.unsynced.push((payload, pending)),
            // A part of the frame may be on disk, but never all of it.
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
        let found = self.log.read();
        self.check_read(found, 0)?;
        self.model.unacked = self.model.unacked.max(1.min(self.model.synced.len()));
        Ok(())
    }

    fn read_ahead(&mut self) -> Result<(), TestCaseError> {
        let found = self.log.read_ahead();
        self.check_read(found, self.model.unacked)?;
        self.model.unacked = self.model.synced.len().min(self.model.unacked + 1);
        Ok(())
    }

    /// The frame that was read is this one of the synced ones.
    fn check_read(
        &self,
        found: Result<Option<Frame>, SpoolError>,
        number: usize,
    ) -> Result<(), TestCaseError> {
        let found = found.map_err(|e| TestCaseError::fail(e.to_string()))?;
        let payload = found.map(|frame| frame.payload);
        prop_assert_eq!(payload.as_ref(), self.model.synced.get(number));
        Ok(())
    }

    /// Opens the log in a new process. All synced and unacknowledged frames must exist in
    /// order; others may exist too.
    fn reopen(&mut self) -> Result<(), TestCaseError> {
        self.disk.heal();
        self.model.unacked = 0;
        let unsynced = self.model.unsynced.drain(..);
        self.model
            .optional
            .extend(unsynced.map(|(payload, _)| payload));
        // Reading everything acknowledges it, so read a copy.
        let mut copy = open(&self.disk.copy());
        let events = copy.usage().events;
        let found = drain(&mut copy);
        prop_assert_eq!(events, found.len() as u64, "the count of events");
        for payload in &found {
            let known =
                self.model.synced.contains(payload) || self.model.optional.contains(payload);
            prop_assert!(known, "never appended");
        }
        let mut sorted = found.clone();
        sorted.sort();
        sorted.dedup();
        prop_assert_eq!(sorted.len(), found.len(), "read twice");
        if !self.model.damaged {
            let survivors: Vec<_> = found
                .iter()
                .filter(|p| self.model.synced.contains(p))
                .collect();
            let wanted: Vec<_> = self.model.synced.iter().collect();
            prop_assert_eq!(survivors, wanted, "synced frames");
        }
        // A frame that a flipped bit hides returns when the bit flips again.
        let hidden = std::mem::replace(&mut self.model.synced, found);
        self.model.optional.extend(hidden);
        self.model.damaged = false;
        self.log = open(&self.disk);
        Ok(())
    }

    /// Flips a bit, which costs at most one frame or the header of one file.
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
        self.model.damaged = true;
        self.reopen()?;
        // Frames that return after a restart only increase the count.
        let left = self.model.synced.len();
        prop_assert!(left + 1 >= before, "more than one frame is lost");
        let usage = self.log.usage();
        let told = usage.damaged > 0 || usage.quarantined > 0;
        // Two flips may hit both ends of one frame, which then looks torn.
        let first = !std::mem::replace(&mut self.model.flipped, true);
        prop_assert!(left >= before || told || !first, "a frame is lost silently");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// Scenario: up to 60 of the actions above, on a disk of 4 KiB.
    /// Guarantees: synced and unacknowledged frames are read in order, also after any crash. No
    /// frame is read that was not appended. A flipped bit costs one frame at most. The files
    /// never exceed the budget. The count of events is exact.
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

/// The number of cases; `make chaos` runs more.
fn cases() -> u32 {
    let wanted = std::env::var("RUNTRACED_TEST_CASES").ok();
    wanted.and_then(|cases| cases.parse().ok()).unwrap_or(2_000)
}
