//! Counts the outcomes of spans, log records and data points since the daemon
//! started.
//!
//! Events are counted elsewhere, because a span makes any number of events.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::{Signal, SpanOutcome};

/// The number of records by signal, dialect and outcome.
pub type Tally = BTreeMap<(Signal, &'static str, SpanOutcome), u64>;

/// The counts. Each request takes the lock once to add to them.
#[derive(Debug, Default)]
pub struct OtlpCounts(Mutex<Tally>);

impl OtlpCounts {
    /// Adds the outcomes of an admitted request.
    pub fn add(&self, signal: Signal, outcomes: &BTreeMap<(&'static str, SpanOutcome), u64>) {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ((dialect, outcome), count) in outcomes {
            *tally.entry((signal, dialect, *outcome)).or_default() += count;
        }
    }

    /// A copy of the current counts.
    #[must_use]
    pub fn read(&self) -> Tally {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
