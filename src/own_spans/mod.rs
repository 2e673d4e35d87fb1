//! What the daemon tells of its own work as spans of OpenTelemetry: requests, write batches,
//! sweeps, the drain. Never of an event.
//!
//! Whoever works holds a [`WorkSpan`] and notes times in it. When the work has ended, the
//! [`TailRule`] decides whether it is told. Then it waits in a bounded queue, from which
//! `telemetry` takes and sends it. Switched off, a [`WorkSpan`] is empty, and notes nothing.

mod part;
mod remote;
mod rule;
mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};

pub use part::WorkPart;
pub use remote::RemoteParent;
pub use rule::TailRule;
pub use work::{FinishedWork, SpanIds, WorkSpan};

use crate::histograms::{IngestEndpoint, WriterKind};

/// The name of the daemon's instrumentation scope. A request that holds only spans of this
/// scope is not told, so two daemons that send each other their spans make no new ones.
pub const OWN_SCOPE: &str = "runtraced.daemon";
/// The attribute of a resource that tells one daemon from another.
pub const INSTANCE_KEY: &str = "service.instance.id";
/// Work that may wait to be sent. What does not fit is dropped and counted.
const QUEUE_LENGTH: usize = 2_048;

/// Where finished work goes. Clones share one queue. The default is switched off.
#[derive(Clone, Debug, Default)]
pub struct OwnSpans(Option<Arc<SpanQueue>>);

/// Work that is to be sent, in the order in which it ended.
pub type FinishedQueue = Receiver<Box<FinishedWork>>;

/// What became of spans that the tail rule kept.
#[derive(Debug, Default)]
pub struct OwnSpanCounts {
    /// The collector has them.
    pub sent: AtomicU64,
    /// Dropped: the queue was full.
    pub queue_full: AtomicU64,
    /// Dropped: the collector did not take them.
    pub not_taken: AtomicU64,
}

#[derive(Debug)]
struct SpanQueue {
    rule: TailRule,
    ids: RandomIdGenerator,
    finished: Sender<Box<FinishedWork>>,
    counts: Arc<OwnSpanCounts>,
}

impl OwnSpans {
    /// Switched on: what the rule keeps arrives in the queue.
    #[must_use]
    pub fn new(rule: TailRule) -> (Self, FinishedQueue) {
        let (finished, queue) = crossbeam_channel::bounded(QUEUE_LENGTH);
        let spans = SpanQueue {
            rule,
            ids: RandomIdGenerator::default(),
            finished,
            counts: Arc::default(),
        };
        (Self(Some(Arc::new(spans))), queue)
    }

    /// Whether finished work is told.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// What became of the spans so far.
    #[must_use]
    pub fn counts(&self) -> Arc<OwnSpanCounts> {
        let counts = self.0.as_ref().map(|queue| queue.counts.clone());
        counts.unwrap_or_default()
    }

    /// The span of the client that the header `traceparent` names. Switched off, the header
    /// is not looked at.
    pub fn parent<'h>(&self, header: impl FnOnce() -> Option<&'h str>) -> Option<RemoteParent> {
        self.0.as_ref()?;
        RemoteParent::read(header()?)
    }

    /// A request, or a message of a stream, begins.
    #[must_use]
    pub fn request(&self, endpoint: IngestEndpoint, parent: Option<RemoteParent>) -> WorkSpan {
        let Some(queue) = &self.0 else {
            return WorkSpan::default();
        };
        let (trace, span) = (queue.trace_of(parent), queue.ids.new_span_id());
        // All messages of a stream have the parent of the stream, so each one is drawn.
        let sampled = match endpoint {
            IngestEndpoint::Stream => queue.rule.draws_span(span),
            _ => queue.rule.draws(trace),
        };
        let begun_here = parent.is_none();
        let ids = SpanIds {
            trace,
            span,
            sampled,
            told_after: begun_here.then(|| queue.rule.told_after(sampled)),
        };
        let name = match endpoint {
            IngestEndpoint::Stream => "runtraced.v1.TraceIngest/Stream message",
            IngestEndpoint::Submit => "runtraced.v1.TraceIngest/Submit",
            IngestEndpoint::Events => "POST /v1/events",
            IngestEndpoint::OtlpGrpc => "OTLP/gRPC export",
            IngestEndpoint::OtlpHttp => "OTLP/HTTP export",
        };
        let mut work = FinishedWork::new(name, ids, Instant::now());
        work.kind = SpanKind::Server;
        work.parent = parent.map(|parent| parent.span);
        WorkSpan::open(queue, work)
    }

    /// A write batch begins, of which the oldest event was admitted then. A shard's is told
    /// if one of its requests is; add them.
    #[must_use]
    pub fn write_batch(&self, writer: WriterKind, begin: Instant) -> WorkSpan {
        let name = match writer {
            WriterKind::Shard => "write batch",
            WriterKind::Replayer => "replay",
        };
        self.open(name, begin, writer == WriterKind::Replayer)
    }

    /// Other work begins.
    #[must_use]
    pub fn work(&self, name: &'static str) -> WorkSpan {
        self.open(name, Instant::now(), true)
    }

    fn open(&self, name: &'static str, begin: Instant, draw: bool) -> WorkSpan {
        let Some(queue) = &self.0 else {
            return WorkSpan::default();
        };
        let trace = queue.ids.new_trace_id();
        let sampled = draw && queue.rule.draws(trace);
        let ids = SpanIds {
            trace,
            span: queue.ids.new_span_id(),
            sampled,
            told_after: Some(queue.rule.told_after(sampled)),
        };
        WorkSpan::open(queue, FinishedWork::new(name, ids, begin))
    }
}

impl SpanQueue {
    fn trace_of(&self, parent: Option<RemoteParent>) -> opentelemetry::TraceId {
        parent.map_or_else(|| self.ids.new_trace_id(), |parent| parent.trace)
    }

    /// Takes work that has ended, if the rule keeps it. Never blocks.
    fn take(&self, work: Box<FinishedWork>) {
        if !self.rule.keeps(&work) {
            return;
        }
        if let Err(full) = self.finished.try_send(work) {
            let spans = full.into_inner().span_count();
            self.counts.queue_full.fetch_add(spans, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
