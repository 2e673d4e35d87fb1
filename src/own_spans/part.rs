//! A part of some work: it becomes a child of the work's span.

use std::borrow::Cow;
use std::time::Instant;

use opentelemetry::{KeyValue, Value};

use crate::histograms::{PhaseTimes, WritePhase};

/// A part of some work. It may have parts itself.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct WorkPart {
    pub name: &'static str,
    pub begin: Instant,
    pub end: Instant,
    /// Why it failed, in one word.
    pub failure: Option<Cow<'static, str>>,
    pub facts: Vec<KeyValue>,
    pub parts: Vec<WorkPart>,
}

impl WorkPart {
    /// A part that has ended well.
    #[must_use]
    pub fn new(name: &'static str, begin: Instant, end: Instant) -> Self {
        Self {
            name,
            begin,
            end,
            failure: None,
            facts: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// Adds a fact.
    #[must_use]
    pub fn with_fact(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.facts.push(KeyValue::new(key, value));
        self
    }

    /// Adds the phases of a transaction: those up to `written`, and the commit.
    #[must_use]
    pub fn with_phases(mut self, times: PhaseTimes, written: Instant) -> Self {
        let phases = times.in_order();
        let total = phases.iter().map(|(_, took)| *took).sum();
        let mut begin = written.checked_sub(total).unwrap_or(self.begin);
        for (phase, took) in phases {
            let end = begin + took;
            self.parts.push(Self::new(phase.name(), begin, end));
            begin = end;
        }
        let commit = Self::new(WritePhase::Commit.name(), written, self.end);
        self.parts.push(commit);
        self
    }

    /// How many spans it becomes.
    pub(super) fn span_count(&self) -> u64 {
        1 + self.parts.iter().map(Self::span_count).sum::<u64>()
    }
}
