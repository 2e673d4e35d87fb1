//! What each kind of damage costs.

use super::fake::FakeDisk;
use super::{FRAME_HEADER, HEADER, LIMITS, append, drain, open, sync, try_open};
use crate::spool::{FORMAT_VERSION, SegmentHeader, SpoolError};
use uuid::Uuid;

fn three_frames(disk: &FakeDisk) {
    let mut log = open(disk);
    for payload in [b"one".as_slice(), b"two", b"three"] {
        append(&mut log, payload).unwrap();
    }
    sync(&mut log).unwrap();
}

fn only_file(disk: &FakeDisk) -> (String, Vec<u8>) {
    let mut files = disk.files();
    assert_eq!(files.len(), 1);
    files.remove(0)
}

/// Scenario: the file ends in the middle of a frame, at every possible place.
/// Guarantees: the frames before it are read; the tail is cut off; no damage is reported.
#[test]
fn a_torn_tail_is_cut_off() {
    let disk = FakeDisk::default();
    three_frames(&disk);
    let (name, whole) = only_file(&disk);
    let last = whole.len() - "three".len() - FRAME_HEADER;
    for len in last..whole.len() {
        let disk = FakeDisk::default();
        three_frames(&disk);
        disk.change(&name, |content| content.truncate(len));
        let mut log = open(&disk);
        assert_eq!(log.usage().damaged, 0);
        assert_eq!(log.usage().bytes, last as u64);
        assert_eq!(only_file(&disk).1.len(), last);
        assert_eq!(drain(&mut log), [b"one", b"two"]);
        assert!(disk.files().is_empty());
    }
}

/// Scenario: each single bit of the middle frame is flipped.
/// Guarantees: both neighbours are read. The damage is counted. The file is renamed, counts
/// against the budget, and is not read again.
#[test]
fn damage_in_the_middle_costs_one_frame_and_the_file_is_kept() {
    let disk = FakeDisk::default();
    three_frames(&disk);
    let (name, whole) = only_file(&disk);
    let middle = HEADER + FRAME_HEADER + 3..HEADER + 2 * (FRAME_HEADER + 3);
    for at in middle {
        for bit in 0..8 {
            let disk = FakeDisk::default();
            three_frames(&disk);
            disk.change(&name, |content| content[at] ^= 1 << bit);
            let mut log = open(&disk);
            assert_eq!((log.usage().damaged, log.usage().events), (1, 2));
            assert_eq!(drain(&mut log), [b"one".as_slice(), b"three"]);
            let (kept, content) = only_file(&disk);
            assert!(kept.ends_with(".quarantined"), "{kept}");
            assert_eq!(content.len(), whole.len());
            let log = open(&disk);
            assert_eq!(log.usage().quarantined, 1);
            assert_eq!(log.usage().bytes, whole.len() as u64);
            assert_eq!(log.usage().events, 0);
        }
    }
}

/// Scenario: the last frame is complete, but a bit of its content has changed.
/// Guarantees: this counts as damage, not as a torn tail.
#[test]
fn a_complete_frame_with_wrong_content_is_damage() {
    let disk = FakeDisk::default();
    three_frames(&disk);
    let (name, _) = only_file(&disk);
    disk.change(&name, |content| *content.last_mut().unwrap() ^= 1);
    let mut log = open(&disk);
    assert_eq!(log.usage().damaged, 1);
    assert_eq!(drain(&mut log), [b"one", b"two"]);
    assert!(only_file(&disk).0.ends_with(".quarantined"));
}

/// Scenario: a frame is damaged after the log was opened.
/// Guarantees: the damage is counted when the frame is read; the other frames are read.
#[test]
fn damage_is_noticed_while_reading() {
    let disk = FakeDisk::default();
    let mut log = open(&disk);
    for payload in [b"one".as_slice(), b"two", b"three"] {
        append(&mut log, payload).unwrap();
    }
    sync(&mut log).unwrap();
    let (name, _) = only_file(&disk);
    disk.change(&name, |content| content[HEADER + FRAME_HEADER] ^= 1);
    assert_eq!(drain(&mut log), [b"two".as_slice(), b"three"]);
    assert_eq!(log.usage().damaged, 1);
    assert_eq!(log.usage().events, 0);
}

/// Scenario: a segment of a later version; a segment with a damaged header, so without a version.
/// Guarantees: the first is refused and not changed, and the error names the file and the
/// version. All frames of the second are read.
#[test]
fn a_newer_version_is_refused_clearly() {
    let disk = FakeDisk::default();
    three_frames(&disk);
    let (name, whole) = only_file(&disk);
    let newer = SegmentHeader {
        version: FORMAT_VERSION + 1,
        spool: Uuid::nil(),
        instance: Uuid::nil(),
    };
    disk.change(&name, |content| {
        content[..HEADER].copy_from_slice(&newer.encode())
    });
    let error = try_open(&disk).unwrap_err();
    assert!(matches!(error, SpoolError::NewerVersion { version: 2, .. }));
    assert!(error.to_string().contains(&name), "{error}");
    assert_eq!(only_file(&disk).1.len(), whole.len());

    disk.change(&name, |content| {
        content[..HEADER].copy_from_slice(&whole[..HEADER])
    });
    disk.change(&name, |content| content[9] ^= 1);
    let mut log = open(&disk);
    assert_eq!(log.usage().damaged, 1);
    assert_eq!(drain(&mut log).len(), 3);
}

/// Scenario: frames are appended until the budget is full; then half of them are acknowledged.
/// Guarantees: the log is full at the budget and never exceeds it. Acknowledging deletes whole
/// files, which makes space for new frames.
#[test]
fn the_budget_is_hard_and_acknowledging_frees_space() {
    let disk = FakeDisk::default();
    let mut log = open(&disk);
    let mut appended = 0;
    while append(&mut log, &[7; 100]).is_ok() {
        appended += 1;
        sync(&mut log).unwrap();
        assert!(appended < 100, "no budget");
    }
    assert!(matches!(append(&mut log, &[7; 100]), Err(SpoolError::Full)));
    let used: usize = disk.files().iter().map(|(_, now)| now.len()).sum();
    assert_eq!(log.usage().bytes, used as u64);
    assert!(used as u64 <= LIMITS.total_bytes);
    assert!(used as u64 > LIMITS.total_bytes - 200);
    let files = disk.files().len();
    for _ in 0..appended / 2 {
        assert!(log.read().unwrap().is_some());
        log.ack();
    }
    assert!(disk.files().len() < files);
    append(&mut log, &[7; 100]).unwrap();
    sync(&mut log).unwrap();
    assert_eq!(drain(&mut log).len(), appended - appended / 2 + 1);
    assert!(disk.files().is_empty());
    assert_eq!(log.usage(), Default::default());
}
