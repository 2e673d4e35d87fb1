//! A spool that several threads share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use super::fake::FakeDisk;
use super::{FRAME_HEADER, FRAME_TRAILER, HEADER, LIMITS, SPOOL, open};
use crate::spool::{Spool, SpoolError, SpoolFolder, SpoolLimits, list};

fn spool(disk: &FakeDisk) -> Spool<FakeDisk> {
    Spool::new(SPOOL, LIMITS, open(disk), None)
}

/// Scenario: the disk takes one of three payloads; then a sync fails; then the disk works again.
/// Guarantees: only the first payload counts as stored, and the result is an error; nothing is
/// stored twice; afterwards all payloads are stored.
#[test]
fn a_full_disk_stores_a_prefix_and_returns_an_error() {
    let disk = FakeDisk::default();
    let (spool, counter) = (spool(&disk), Arc::<AtomicU64>::default());
    let payloads = || [b"one".as_slice(), b"two", b"three"].map(|payload| (payload, 5));
    disk.fill(HEADER + FRAME_HEADER + 3 + FRAME_TRAILER + 10);
    let (stored, result) = spool.store(payloads(), &counter);
    assert_eq!(stored, 1);
    assert!(matches!(result, Err(SpoolError::Io(_))), "{result:?}");
    assert!(spool.refusing());
    assert_eq!(counter.load(Ordering::Relaxed), 5);

    disk.heal();
    disk.fail_syncs(1);
    let (stored, result) = spool.store(payloads(), &counter);
    assert_eq!((stored, result.is_err()), (0, true));
    assert_eq!(counter.load(Ordering::Relaxed), 5);

    let (stored, result) = spool.store(payloads(), &counter);
    assert_eq!((stored, result.is_ok()), (3, true));
    assert!(!spool.refusing());
    assert_eq!(counter.load(Ordering::Relaxed), 20);
    let mut read = Vec::new();
    while let Some(frame) = spool.read().unwrap() {
        read.push(frame.payload);
        spool.ack();
    }
    assert_eq!(read, [b"one".as_slice(), b"one", b"two", b"three"]);
}

/// Scenario: while one thread makes its second payload, another thread's sync fails, which also
/// loses the first thread's first payload.
/// Guarantees: others can use the log in between; no payload of either thread is stored or
/// counted, then or later.
#[test]
fn a_sync_lost_between_two_payloads_loses_the_second_one_too() {
    let disk = FakeDisk::default();
    let (spool, counter) = (spool(&disk), Arc::<AtomicU64>::default());
    let other = Arc::<AtomicU64>::default();
    let payloads = [b"one".as_slice(), b"two"].into_iter().enumerate();
    let payloads = payloads.map(|(index, payload)| {
        if index == 1 {
            disk.fail_syncs(1);
            let (stored, result) = spool.store([(b"other", 7)], &other);
            assert_eq!((stored, result.is_err()), (0, true));
        }
        (payload, 5)
    });
    let (stored, result) = spool.store(payloads, &counter);
    assert_eq!((stored, result.is_err()), (0, true));

    assert_eq!(spool.store([(b"three", 5)], &counter).0, 1);
    assert_eq!(spool.read().unwrap().unwrap().payload, b"three");
    spool.ack();
    assert!(spool.read().unwrap().is_none());
    assert_eq!(counter.load(Ordering::Relaxed), 5);
    assert_eq!(other.load(Ordering::Relaxed), 0);
}

/// Scenario: eight threads store small payloads in a real folder, and one thread reads.
/// Guarantees: each payload is read exactly once, and never before it is counted.
#[test]
fn threads_share_a_real_folder() {
    const EACH: u32 = 50;
    let dir = tempfile::tempdir().unwrap();
    let limits = SpoolLimits {
        total_bytes: 1 << 20,
        segment_bytes: 4_096,
    };
    let spool = SpoolFolder::open(dir.path(), limits, Uuid::nil()).unwrap();
    let counter = Arc::<AtomicU64>::default();
    let mut read = Vec::new();
    std::thread::scope(|scope| {
        for thread in 0..8_u32 {
            let (spool, counter) = (&spool, &counter);
            scope.spawn(move || {
                for number in 0..EACH {
                    let payload = (thread * EACH + number).to_le_bytes();
                    let (stored, result) = spool.store([(payload.as_slice(), 1)], counter);
                    assert_eq!(stored, 1, "{result:?}");
                }
            });
        }
        while read.len() < 8 * EACH as usize {
            let Some(frame) = spool.read().unwrap() else {
                std::thread::yield_now();
                continue;
            };
            read.push(u32::from_le_bytes(frame.payload.try_into().unwrap()));
            assert!(counter.load(Ordering::SeqCst) >= read.len() as u64);
            spool.ack();
        }
    });
    read.sort_unstable();
    assert_eq!(read, (0..8 * EACH).collect::<Vec<_>>());
    assert!(list(dir.path()).unwrap().is_empty());
}

/// Scenario: a second daemon opens a folder that is in use, and again after the first has ended.
/// Guarantees: the first attempt fails; the second one finds the events that were left, and the
/// spool keeps its id.
#[test]
fn a_folder_has_one_user_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let open = || SpoolFolder::open(dir.path(), LIMITS, Uuid::nil());
    let first = open().unwrap();
    let counter = Arc::default();
    assert_eq!(first.store([(b"left".as_slice(), 3)], &counter).0, 1);
    let refused = open().unwrap_err();
    assert!(matches!(refused, SpoolError::InUse(_)), "{refused}");
    let found = list(dir.path()).unwrap();
    assert_eq!((found[0].frames, found[0].events), (1, 3));
    let id = first.id();
    drop(first);
    let second = open().unwrap();
    assert_eq!((second.id(), second.found_events()), (id, 3));
    assert_eq!(second.read().unwrap().unwrap().payload, b"left");
}
