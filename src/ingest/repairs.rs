//! Counts of repaired texts and values, for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::otlp::wire::WireRepairs;
use crate::event::Repairs;

/// What was replaced or cut since the daemon started. Most replacements are U+FFFD.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct RepairCounts {
    pub nuls: AtomicU64,
    pub surrogates: AtomicU64,
    /// Texts that were not valid UTF-8. Only OTLP can carry them.
    pub invalid_utf8: AtomicU64,
    /// OTLP values that were nested too deep.
    pub too_deep: AtomicU64,
    /// OTLP texts that were too long.
    pub truncated: AtomicU64,
}

impl RepairCounts {
    pub(super) fn add(&self, repairs: Repairs) {
        if repairs != Repairs::default() {
            self.nuls.fetch_add(repairs.nuls, Relaxed);
            self.surrogates.fetch_add(repairs.surrogates, Relaxed);
        }
    }

    pub(super) fn add_from_wire(&self, repairs: WireRepairs, truncated: u64) {
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
