//! Work that goes on, and what is known of it when it has ended.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry::trace::SpanKind;
use opentelemetry::{KeyValue, SpanId, TraceId, Value};

use super::SpanQueue;
use super::part::WorkPart;
use crate::histograms::TraceExemplar;

/// Links of one span. With more requests in a write batch, those of the share come first.
const MAX_LINKS: usize = 32;
/// The failure of work that was dropped before it ended: its client has gone, or the daemon
/// shuts down.
const CANCELLED: &str = "cancelled";

/// What identifies a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanIds {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// Whether it is in the share that is told in any case.
    pub sampled: bool,
    /// How long it must take to be told. None if a client began its trace.
    pub told_after: Option<Duration>,
}

impl SpanIds {
    /// The trace for `/metrics`, where anybody may read it. So a trace that a client began stays
    /// out: who knows its id could send events to it.
    #[must_use]
    pub fn exemplar(&self) -> Option<TraceExemplar> {
        Some(TraceExemplar {
            trace: u128::from_be_bytes(self.trace.to_bytes()),
            told_after: self.told_after?,
        })
    }
}

/// Work that has ended. It becomes a span, and so does each of its parts.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct FinishedWork {
    pub name: &'static str,
    pub kind: SpanKind,
    pub ids: SpanIds,
    /// The span of the client that it continues.
    pub parent: Option<SpanId>,
    pub begin: Instant,
    pub end: Instant,
    /// Why it failed, in one word.
    pub failure: Option<Cow<'static, str>>,
    pub facts: Vec<KeyValue>,
    /// The requests that caused it.
    pub links: Vec<SpanIds>,
    pub parts: Vec<WorkPart>,
    /// Whether it is told in any case.
    pub(super) always: bool,
    /// When the last part ended.
    last: Instant,
}

impl FinishedWork {
    pub(super) fn new(name: &'static str, ids: SpanIds, begin: Instant) -> Self {
        Self {
            name,
            kind: SpanKind::Internal,
            ids,
            parent: None,
            begin,
            end: begin,
            failure: None,
            facts: Vec::new(),
            links: Vec::new(),
            parts: Vec::new(),
            always: false,
            last: begin,
        }
    }

    /// How many spans it becomes.
    #[must_use]
    pub fn span_count(&self) -> u64 {
        1 + self.parts.iter().map(WorkPart::span_count).sum::<u64>()
    }

    fn link(&mut self, ids: SpanIds) {
        self.ids.sampled |= ids.sampled;
        if self.links.len() < MAX_LINKS {
            self.links.push(ids);
        } else if ids.sampled
            && let Some(other) = self.links.iter_mut().find(|link| !link.sampled)
        {
            *other = ids;
        }
    }
}

/// Work that goes on. Dropped before it has ended, it counts as failed. Empty while spans are
/// switched off.
#[derive(Debug, Default)]
pub struct WorkSpan(Option<OpenWork>);

#[derive(Debug)]
struct OpenWork {
    queue: Arc<SpanQueue>,
    work: Box<FinishedWork>,
}

impl WorkSpan {
    pub(super) fn open(queue: &Arc<SpanQueue>, work: FinishedWork) -> Self {
        Self(Some(OpenWork {
            queue: queue.clone(),
            work: Box::new(work),
        }))
    }

    /// For links to it.
    #[must_use]
    pub fn ids(&self) -> Option<SpanIds> {
        self.0.as_ref().map(|open| open.work.ids)
    }

    /// A part ends now that began when the last one ended.
    pub fn lap(&mut self, name: &'static str) {
        self.note(|work| {
            let now = Instant::now();
            work.parts.push(WorkPart::new(name, work.last, now));
            work.last = now;
        });
    }

    /// Adds a fact.
    pub fn fact(&mut self, key: &'static str, value: impl Into<Value>) {
        self.note(|work| work.facts.push(KeyValue::new(key, value)));
    }

    /// Adds a number.
    pub fn count(&mut self, key: &'static str, count: usize) {
        self.fact(key, i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Adds requests that caused it. Without any, it is not told: they were all about spans
    /// of daemons.
    pub fn caused_by(&mut self, requests: impl Iterator<Item = SpanIds>) {
        self.note(|work| requests.for_each(|ids| work.link(ids)));
        if self
            .0
            .as_ref()
            .is_some_and(|open| open.work.links.is_empty())
        {
            self.mute();
        }
    }

    /// Adds parts.
    pub fn add(&mut self, parts: Vec<WorkPart>) {
        self.note(|work| work.parts.extend(parts));
    }

    /// It is told, whatever the rule says.
    pub fn always(&mut self) {
        self.note(|work| work.always = true);
    }

    /// It is not told.
    pub fn mute(&mut self) {
        self.0 = None;
    }

    /// It ends. `failure`: why it failed, in one word.
    pub fn end<T: Into<Cow<'static, str>>>(mut self, failure: Option<T>) {
        self.finish(failure.map(Into::into));
    }

    fn note(&mut self, change: impl FnOnce(&mut FinishedWork)) {
        if let Some(open) = &mut self.0 {
            change(&mut open.work);
        }
    }

    fn finish(&mut self, failure: Option<Cow<'static, str>>) {
        if let Some(OpenWork { queue, mut work }) = self.0.take() {
            work.end = Instant::now();
            work.failure = failure;
            queue.take(work);
        }
    }
}

impl Drop for WorkSpan {
    fn drop(&mut self) {
        self.finish(Some(CANCELLED.into()));
    }
}
