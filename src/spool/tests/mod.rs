//! The log on a file system that crashes, tears writes, flips bits and fails.

mod damage;
mod directories;
mod fake;
mod model;
mod shared;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use uuid::Uuid;

use super::{SegmentLog, SpoolError, SpoolLimits};
use fake::FakeDisk;

/// The lengths of a segment's header, and of a frame's header and trailer. Written out
/// here, so that a change of the format fails these tests.
const HEADER: usize = 48;
const FRAME_HEADER: usize = 28;
const FRAME_TRAILER: usize = 12;
const SPOOL: Uuid = Uuid::from_u128(1);
const LIMITS: SpoolLimits = SpoolLimits {
    total_bytes: 4_096,
    segment_bytes: 512,
};

fn open(disk: &FakeDisk) -> SegmentLog<FakeDisk> {
    try_open(disk).unwrap()
}

fn try_open(disk: &FakeDisk) -> Result<SegmentLog<FakeDisk>, SpoolError> {
    SegmentLog::open(disk.clone(), LIMITS, SPOOL, Uuid::from_u128(2))
}

fn append(
    log: &mut SegmentLog<FakeDisk>,
    payload: &[u8],
) -> Result<super::PendingFrame, SpoolError> {
    log.append(payload, 1, &Arc::new(AtomicU64::new(0)))
}

fn sync(log: &mut SegmentLog<FakeDisk>) -> Result<(), SpoolError> {
    let plan = log.begin_sync();
    let synced = plan.run();
    log.end_sync(&plan, synced)
}

/// Reads and acknowledges everything.
fn drain(log: &mut SegmentLog<FakeDisk>) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    while let Some(frame) = log.read().unwrap() {
        payloads.push(frame.payload);
        log.ack();
    }
    payloads
}
