//! Opens a spool whose only segment has arbitrary bytes, and reads it to the end. Properties:
//! reading ends, and returns no more events than the segment lists.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use runtraced::spool::{SpoolFolder, SpoolLimits, list};
use uuid::Uuid;

/// The spool's folder; in memory if the system has such a folder.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let shared = PathBuf::from("/dev/shm");
    let base = if shared.is_dir() {
        shared
    } else {
        std::env::temp_dir()
    };
    base.join(format!("runtraced-fuzz-spool-{}", std::process::id()))
});

/// The file name of the first segment.
const SEGMENT: &str = "00000000000000000001.spool";

/// Small, so that an iteration is fast.
const LIMITS: SpoolLimits = SpoolLimits {
    total_bytes: 1 << 20,
    segment_bytes: 1 << 16,
};

fuzz_target!(|bytes: &[u8]| {
    let _ = std::fs::remove_dir_all(&*FOLDER);
    std::fs::create_dir_all(&*FOLDER).unwrap();
    std::fs::write(FOLDER.join(SEGMENT), bytes).unwrap();
    let listed = list(&FOLDER).unwrap();
    let events: u64 = listed.iter().map(|file| file.events).sum();
    let Ok(spool) = SpoolFolder::open(&FOLDER, LIMITS, Uuid::from_u128(1)) else {
        return;
    };
    let mut read = 0;
    while let Ok(Some(frame)) = spool.read() {
        assert!(frame.payload.len() <= bytes.len());
        read += u64::from(frame.events);
        spool.ack();
    }
    assert!(read <= events, "read {read} events from a segment of {events}");
});
