//! The front doors: decode, validate, admit, answer. A thin handler per
//! protocol; no SQL and no rule about how events merge belongs here.

pub mod native;
pub mod otlp;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::event::Repairs;

/// What was replaced by U+FFFD since the daemon started.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct RepairCounts {
    pub nuls: AtomicU64,
    pub surrogates: AtomicU64,
}

impl RepairCounts {
    fn add(&self, repairs: Repairs) {
        if repairs != Repairs::default() {
            self.nuls.fetch_add(repairs.nuls, Relaxed);
            self.surrogates.fetch_add(repairs.surrogates, Relaxed);
        }
    }
}
