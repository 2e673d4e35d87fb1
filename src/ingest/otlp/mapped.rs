//! What the mapping is told, and what it gives back.

use std::collections::BTreeMap;

use uuid::NonNilUuid;

use crate::event::{Event, Repairs};

/// How to map.
#[derive(Clone, Debug)]
pub struct MapOptions {
    /// Text longer than this is cut, marked and counted.
    pub max_field_bytes: usize,
    /// Keep spans that have nothing to do with an agent (HTTP, SQL) as steps.
    pub keep_foreign_spans: bool,
    /// The customer whose key the request came with.
    pub tenant: Option<NonNilUuid>,
    /// A request whose events weigh more is not mapped to its end.
    pub max_events_bytes: usize,
}

impl Default for MapOptions {
    fn default() -> Self {
        Self {
            max_field_bytes: 32 << 20,
            keep_foreign_spans: false,
            tenant: None,
            max_events_bytes: 256 << 20,
        }
    }
}

/// What became of the spans (or log records) of one request. Positions count
/// them through the request, over all its resources and scopes.
#[derive(Debug, Default)]
pub struct Mapped {
    /// The events, each with the position of the span that it comes from; one
    /// span makes several, or none.
    pub events: Vec<(u32, Event)>,
    /// The spans that can never be kept, in order of position.
    pub refused: Vec<(u32, SpanRefusal)>,
    /// How many met which fate, by the name of their dialect.
    pub fates: BTreeMap<(&'static str, SpanOutcome), u64>,
    /// What Postgres cannot store and was replaced.
    pub repairs: Repairs,
    /// Fields that were cut to [`MapOptions::max_field_bytes`].
    pub truncated: u64,
    /// The events weigh more than [`MapOptions::max_events_bytes`]; not all are there.
    pub overflowed: bool,
    /// How many of the events are weighed, and what they weigh.
    weighed: (usize, usize),
}

/// What became of one span. Each is counted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpanOutcome {
    /// It made events.
    Mapped,
    /// It is not about agents; why, in a word or two with underscores.
    Ignored(&'static str),
    /// It cannot be kept.
    Refused(RefusalReason),
}

/// Why a span cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum RefusalReason {
    InvalidTraceId,
    InvalidSpanId,
    TimeOutOfRange,
}

impl RefusalReason {
    /// The name used in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidTraceId => "invalid_trace_id",
            Self::InvalidSpanId => "invalid_span_id",
            Self::TimeOutOfRange => "time_out_of_range",
        }
    }
}

/// One refused span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanRefusal {
    /// For programs.
    pub code: RefusalReason,
    /// For people: names the field, never repeats its content.
    pub reason: String,
}

impl Mapped {
    /// Weighs what was added. False when it is more than may be held in memory.
    pub(super) fn fits(&mut self, options: &MapOptions) -> bool {
        let (count, mut weight) = self.weighed;
        let added = self.events.iter().skip(count);
        weight += added.map(|(_, event)| event.weight_bytes()).sum::<usize>();
        self.weighed = (self.events.len(), weight);
        self.overflowed = weight > options.max_events_bytes;
        !self.overflowed
    }

    /// Counts the fate of one span of a dialect.
    pub fn count(&mut self, dialect: &'static str, fate: SpanOutcome) {
        *self.fates.entry((dialect, fate)).or_default() += 1;
    }

    /// Refuses one span, and counts it.
    pub fn refuse(
        &mut self,
        position: u32,
        dialect: &'static str,
        code: RefusalReason,
        reason: impl Into<String>,
    ) {
        let reason = reason.into();
        self.refused.push((position, SpanRefusal { code, reason }));
        self.count(dialect, SpanOutcome::Refused(code));
    }
}
