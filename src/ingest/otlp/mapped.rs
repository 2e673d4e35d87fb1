//! The options and the result of the mapping.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::NonNilUuid;

use super::map::Dialects;
use crate::event::{Event, Repairs};
use crate::ingest::prepare::Preparer;

/// The options of the mapping.
#[derive(Clone, Debug)]
pub struct MapOptions {
    /// Longer text is truncated, marked and counted.
    pub max_field_bytes: usize,
    /// Whether to keep spans that are not an agent's work (HTTP, SQL) as steps.
    pub keep_foreign_spans: bool,
    /// The tenant of the key that the request carries.
    pub tenant: Option<NonNilUuid>,
    /// The dialects that are understood.
    pub dialects: Arc<Dialects>,
    /// The id of this daemon: spans about its own work, which a collector sends back, are
    /// ignored.
    pub own_instance: Option<Arc<str>>,
    /// The mapping stops when the events of a request exceed this weight.
    pub max_events_bytes: usize,
}

/// The most scopes that are counted by name; a sender chooses the names.
pub const MAX_SCOPES: usize = 64;
/// The name of all other scopes.
pub const OTHER_SCOPES: &str = "(other)";
/// A longer name of a scope is cut.
const MAX_SCOPE_CHARS: usize = 100;

/// The default of `--max-field-bytes`.
const DEFAULT_MAX_FIELD_BYTES: usize = 32 << 20;
/// Four times the default of `--max-message-bytes`, as the daemon sets it.
const DEFAULT_MAX_EVENTS_BYTES: usize = 256 << 20;

impl Default for MapOptions {
    fn default() -> Self {
        Self {
            max_field_bytes: DEFAULT_MAX_FIELD_BYTES,
            keep_foreign_spans: false,
            tenant: None,
            dialects: Dialects::built_in(),
            own_instance: None,
            max_events_bytes: DEFAULT_MAX_EVENTS_BYTES,
        }
    }
}

/// The result of mapping the spans or log records of one request.
///
/// A position is the index of a span or log record in the request, counted
/// over all resources and scopes.
#[derive(Debug, Default)]
pub struct Mapped {
    /// The events, each with the position of its span. A span makes any number
    /// of events.
    pub events: Vec<(u32, Event)>,
    /// The spans that can never be stored, in order of position.
    pub refused: Vec<(u32, SpanRefusal)>,
    /// The number of spans by dialect and outcome.
    pub outcomes: BTreeMap<(Arc<str>, SpanOutcome), u64>,
    /// The number of spans by scope that look like an agent's work, but were not
    /// understood.
    pub not_understood: BTreeMap<String, u64>,
    /// The characters that Postgres cannot store and that were replaced.
    pub repairs: Repairs,
    /// The number of fields that were truncated to [`MapOptions::max_field_bytes`].
    pub truncated: u64,
    /// The number of spans in which daemons tell of their own work.
    pub of_daemons: u64,
    /// Whether the events exceed [`MapOptions::max_events_bytes`]. Events are
    /// then missing.
    pub overflowed: bool,
    /// The number of events that are weighed, and their weight in bytes.
    weighed: (usize, usize),
}

/// The outcome of one span. Each span is counted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpanOutcome {
    /// The span made events.
    Mapped,
    /// The span is not an agent's work. Holds the reason for metrics, in
    /// `snake_case`.
    Ignored(&'static str),
    /// The span can never be stored.
    Refused(RefusalReason),
}

/// Why a span can never be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum RefusalReason {
    InvalidTraceId,
    InvalidSpanId,
    TimeOutOfRange,
}

impl RefusalReason {
    /// The name in metrics and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidTraceId => "invalid_trace_id",
            Self::InvalidSpanId => "invalid_span_id",
            Self::TimeOutOfRange => "time_out_of_range",
        }
    }
}

/// The refusal of one span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanRefusal {
    /// The reason for programs.
    pub code: RefusalReason,
    /// The reason for people. It names the field and never repeats its content.
    pub reason: String,
}

impl Mapped {
    /// Prepares the events, and the names that metrics and logs repeat.
    pub(super) fn prepare(&mut self, preparer: &Preparer) {
        for (_, event) in &mut self.events {
            preparer.event(event);
        }
        for (scope, spans) in std::mem::take(&mut self.not_understood) {
            let name = preparer
                .quoting(scope)
                .chars()
                .take(MAX_SCOPE_CHARS)
                .collect();
            *self.not_understood.entry(name).or_default() += spans;
        }
    }

    /// Adds the weight of what the mapping itself holds.
    pub(super) fn add_weight(&mut self, bytes: usize) {
        self.weighed.1 = self.weighed.1.saturating_add(bytes);
    }

    /// Weighs the events that were added since the last call. Returns whether
    /// all events together are within [`MapOptions::max_events_bytes`].
    pub(super) fn is_within_limit(&mut self, options: &MapOptions) -> bool {
        let (count, mut weight) = self.weighed;
        let added = self.events.iter().skip(count);
        weight += added.map(|(_, event)| event.weight_bytes()).sum::<usize>();
        self.weighed = (self.events.len(), weight);
        self.overflowed = weight > options.max_events_bytes;
        !self.overflowed
    }

    /// Counts one span by dialect and outcome.
    pub fn count(&mut self, dialect: &Arc<str>, outcome: SpanOutcome) {
        *self.outcomes.entry((dialect.clone(), outcome)).or_default() += 1;
    }

    /// Counts spans that are ignored whatever their dialect is.
    pub fn ignore(&mut self, spans: usize, reason: &'static str) {
        let outcome = SpanOutcome::Ignored(reason);
        *self.outcomes.entry(("".into(), outcome)).or_default() += spans as u64;
    }

    /// Counts one span that was not understood, by its scope.
    pub fn count_not_understood(&mut self, scope: &str) {
        let counted = &mut self.not_understood;
        let fits = counted.len() < MAX_SCOPES || counted.contains_key(scope);
        let name = if fits { scope } else { OTHER_SCOPES };
        match counted.get_mut(name) {
            Some(spans) => *spans += 1,
            None => *counted.entry(name.to_owned()).or_default() += 1,
        }
    }

    /// Records and counts a refused span.
    pub fn refuse(
        &mut self,
        position: u32,
        dialect: &Arc<str>,
        code: RefusalReason,
        reason: impl Into<String>,
    ) {
        let reason = reason.into();
        self.refused.push((position, SpanRefusal { code, reason }));
        self.count(dialect, SpanOutcome::Refused(code));
    }
}
