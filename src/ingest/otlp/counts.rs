//! Counts the outcomes of spans, log records and data points since the daemon
//! started.
//!
//! Events are counted elsewhere, because a span makes any number of events.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::mapped::{MAX_SCOPES, OTHER_SCOPES};
use super::{Signal, SpanOutcome};

/// The time after which a scope that is still not understood is named again.
const NAMED_AGAIN_AFTER: Duration = Duration::from_secs(3600);

/// The number of records by signal, dialect and outcome.
pub type Tally = BTreeMap<(Signal, Arc<str>, SpanOutcome), u64>;

/// The counts. Each request takes the lock once to add to them.
#[derive(Debug, Default)]
pub struct OtlpCounts {
    tally: Mutex<Tally>,
    unknown_scopes: Mutex<BTreeMap<String, UnknownScope>>,
}

/// A scope whose spans look like an agent's work, but were not understood.
#[derive(Debug, Default)]
struct UnknownScope {
    spans: u64,
    named_at: Option<Instant>,
}

impl OtlpCounts {
    /// Adds the outcomes of an admitted request.
    pub fn add(&self, signal: Signal, outcomes: &BTreeMap<(Arc<str>, SpanOutcome), u64>) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        for ((dialect, outcome), count) in outcomes {
            *tally
                .entry((signal, dialect.clone(), *outcome))
                .or_default() += count;
        }
    }

    /// A copy of the current counts.
    #[must_use]
    pub fn read(&self) -> Tally {
        self.tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Adds spans that were not understood. Returns the scopes to name in the log:
    /// each once an hour.
    pub fn add_not_understood(&self, spans: &BTreeMap<String, u64>, now: Instant) -> Vec<String> {
        let mut to_name = Vec::new();
        if spans.is_empty() {
            return to_name;
        }
        let mut scopes = self
            .unknown_scopes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (name, count) in spans {
            let full = scopes.len() >= MAX_SCOPES && !scopes.contains_key(name);
            let name = if full { OTHER_SCOPES } else { name.as_str() };
            let scope = scopes.entry(name.to_owned()).or_default();
            scope.spans += count;
            let named = scope
                .named_at
                .is_some_and(|at| now.duration_since(at) < NAMED_AGAIN_AFTER);
            if !named {
                scope.named_at = Some(now);
                to_name.push(name.to_owned());
            }
        }
        to_name
    }

    /// The number of spans that were not understood, by scope.
    #[must_use]
    pub fn not_understood(&self) -> Vec<(String, u64)> {
        let scopes = self
            .unknown_scopes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        scopes
            .iter()
            .map(|(name, scope)| (name.clone(), scope.spans))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_named_once_an_hour() {
        let counts = OtlpCounts::default();
        let spans = BTreeMap::from([("acme".to_owned(), 2)]);
        let start = Instant::now();
        assert_eq!(counts.add_not_understood(&spans, start), ["acme"]);
        let soon = start + NAMED_AGAIN_AFTER / 2;
        assert!(counts.add_not_understood(&spans, soon).is_empty());
        let later = start + NAMED_AGAIN_AFTER;
        assert_eq!(counts.add_not_understood(&spans, later), ["acme"]);
        assert_eq!(counts.not_understood(), [("acme".to_owned(), 6)]);
    }

    #[test]
    fn scopes_are_bounded() {
        let counts = OtlpCounts::default();
        let now = Instant::now();
        for number in 0..10 * MAX_SCOPES {
            counts.add_not_understood(&BTreeMap::from([(number.to_string(), 1)]), now);
        }
        let scopes = counts.not_understood();
        assert_eq!(scopes.len(), MAX_SCOPES + 1);
        let all: u64 = scopes.iter().map(|(_, spans)| spans).sum();
        assert_eq!(all, 10 * MAX_SCOPES as u64);
    }
}
