//! What each kind of damage costs.

use super::fake::FakeDisk;
use super::{FRAME_HEADER, FRAME_TRAILER, HEADER, LIMITS, append, drain, open, sync, try_open};
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
    let last = whole.len() - "three".len() - FRAME_HEADER - FRAME_TRAILER;
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
    let one = FRAME_HEADER + 3 + FRAME_TRAILER;
    let middle = HEADER + one..HEADER + 2 * one - FRAME_TRAILER;
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
    let last = |content: &mut Vec<u8>| content.len() - FRAME_TRAILER - 1;
    disk.change(&name, |content| {
        let last = last(content);
        content[last] ^= 1;
    });
    let mut log = open(&disk);
    assert_eq!(log.usage().damaged, 1);
    assert_eq!(drain(&mut log), [b"one", b"two"]);
    assert!(only_file(&disk).0.ends_with(".quarantined"));
}

/// Scenario: each single bit of the last frame's header is flipped; behind it nothing, or a
/// frame that is torn at any place.
/// Guarantees: the frame was synced, so this is damage and no torn tail: it is counted, nothing is
/// cut off, the frames before it are read, and the file is kept.
#[test]
fn a_damaged_header_of_the_last_frame_is_damage() {
    for at in 0..FRAME_HEADER {
        for bit in 0..8 {
            for torn in [0, 1, FRAME_HEADER, FRAME_HEADER + 6] {
                let disk = FakeDisk::default();
                three_frames(&disk);
                let (name, whole) = only_file(&disk);
                let last = whole.len() - "three".len() - FRAME_HEADER - FRAME_TRAILER;
                disk.change(&name, |content| {
                    let next = content[last..].to_vec();
                    content.extend_from_slice(&next[..torn]);
                    content[last + at] ^= 1 << bit;
                });
                let mut log = open(&disk);
                assert_eq!((log.usage().damaged, log.usage().events), (1, 2));
                assert_eq!(drain(&mut log), [b"one", b"two"]);
                let (kept, content) = only_file(&disk);
                assert!(kept.ends_with(".quarantined"), "{kept}");
                assert_eq!(content.len(), whole.len() + torn);
            }
        }
    }
}

/// Scenario: each single bit of each trailer is flipped.
/// Guarantees: the frame before it is intact, so nothing is lost.
#[test]
fn a_damaged_trailer_costs_nothing() {
    let frame = |len: usize| FRAME_HEADER + len + FRAME_TRAILER;
    for end in [frame(3), 2 * frame(3), 2 * frame(3) + frame(5)] {
        for at in HEADER + end - FRAME_TRAILER..HEADER + end {
            for bit in 0..8 {
                let disk = FakeDisk::default();
                three_frames(&disk);
                let (name, _) = only_file(&disk);
                disk.change(&name, |content| content[at] ^= 1 << bit);
                let mut log = open(&disk);
                assert_eq!((log.usage().damaged, log.usage().events), (0, 3));
                assert_eq!(drain(&mut log).len(), 3);
                assert!(disk.files().is_empty());
            }
        }
    }
}

/// Scenario: frames are read ahead of their acknowledgement, over several files; one in the middle
/// is quarantined.
/// Guarantees: each frame is read ahead once, in order; `read` still returns the oldest one; files
/// are deleted in order as their frames are acknowledged; the file of the quarantined frame is kept;
/// what was not acknowledged is read again by the next process.
#[test]
fn frames_can_be_read_ahead() {
    let disk = FakeDisk::default();
    let mut log = open(&disk);
    let payloads: Vec<Vec<u8>> = (0..12).map(|number| vec![number; 100]).collect();
    for payload in &payloads {
        append(&mut log, payload).unwrap();
        sync(&mut log).unwrap();
    }
    let files = disk.files().len();
    assert!(files >= 3, "{files}");
    let mut places = Vec::new();
    for payload in &payloads[..10] {
        let frame = log.read_ahead().unwrap().unwrap();
        assert_eq!(frame.payload, *payload);
        places.push(frame.place);
    }
    assert!(places.is_sorted());
    assert_eq!(disk.files().len(), files);
    for (number, payload) in payloads[..9].iter().enumerate() {
        assert_eq!(log.read().unwrap().unwrap().payload, *payload);
        if number == 4 {
            log.quarantine();
        } else {
            log.ack();
        }
    }
    let kept = disk.files().into_iter();
    let kept: Vec<_> = kept
        .filter(|(name, _)| name.ends_with(".quarantined"))
        .collect();
    assert_eq!(kept.len(), 1);
    assert!(disk.files().len() < files);
    assert_eq!(log.usage().events, 3);
    let again = drain(&mut open(&disk.copy()));
    assert_eq!(again[again.len() - 3..], payloads[9..]);
    assert_eq!(log.read_ahead().unwrap().unwrap().payload, payloads[10]);
    assert_eq!(drain(&mut log), payloads[9..]);
    assert_eq!(disk.files().len(), 1);
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
    let SpoolError::NewerVersion { version, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*version, newer.version);
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
