//! What became of spans, log records and data points since the daemon started.
//!
//! They are counted apart from events: one span makes several, or none.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::{Signal, SpanOutcome};

/// How many of a signal and a dialect met which fate.
pub type Tally = BTreeMap<(Signal, &'static str, SpanOutcome), u64>;

/// The counts. Written once a request, read when somebody asks.
#[derive(Debug, Default)]
pub struct OtlpCounts(Mutex<Tally>);

impl OtlpCounts {
    /// Adds what a request that was taken in held.
    pub fn add(&self, signal: Signal, fates: &BTreeMap<(&'static str, SpanOutcome), u64>) {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ((dialect, fate), count) in fates {
            *tally.entry((signal, dialect, *fate)).or_default() += count;
        }
    }

    /// The counts now.
    #[must_use]
    pub fn read(&self) -> Tally {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
