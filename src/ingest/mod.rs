//! The front doors: decode, validate, admit, answer. A thin handler per
//! protocol; no SQL and no rule about how events merge belongs here.

mod body;
mod crowded;
pub mod native;
pub mod otlp;
pub(crate) mod settle;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub use self::crowded::refuse_crowded;
use self::otlp::wire::WireRepairs;
use crate::event::Repairs;

/// What was replaced since the daemon started, most of it by U+FFFD.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct RepairCounts {
    pub nuls: AtomicU64,
    pub surrogates: AtomicU64,
    /// Texts with bytes that are not UTF-8; only OTLP can bring them.
    pub invalid_utf8: AtomicU64,
    /// Values of OTLP that were nested too deep.
    pub too_deep: AtomicU64,
    /// Texts of OTLP that were too long.
    pub truncated: AtomicU64,
}

impl RepairCounts {
    fn add(&self, repairs: Repairs) {
        if repairs != Repairs::default() {
            self.nuls.fetch_add(repairs.nuls, Relaxed);
            self.surrogates.fetch_add(repairs.surrogates, Relaxed);
        }
    }

    fn add_from_wire(&self, repairs: WireRepairs, truncated: u64) {
        for (counter, count) in [
            (&self.surrogates, repairs.surrogates),
            (&self.invalid_utf8, repairs.invalid_utf8),
            (&self.too_deep, repairs.too_deep),
            (&self.truncated, truncated),
        ] {
            if count > 0 {
                counter.fetch_add(count, Relaxed);
            }
        }
    }
}
