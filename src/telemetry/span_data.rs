//! Turns finished work into spans of OpenTelemetry.

use std::borrow::Cow;
use std::time::{Instant, SystemTime};

use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{
    IdGenerator as _, RandomIdGenerator, SpanData, SpanEvents, SpanLinks,
};

use crate::own_spans::{FinishedWork, OWN_SCOPE, SpanIds, WorkPart};

/// Makes spans. Times of work are those of a clock that only runs on; it is compared with the
/// clock of the system once.
#[derive(Debug)]
pub(super) struct SpanMaker {
    ids: RandomIdGenerator,
    scope: InstrumentationScope,
    now: (Instant, SystemTime),
}

impl SpanMaker {
    pub(super) fn new() -> Self {
        let scope = InstrumentationScope::builder(OWN_SCOPE);
        Self {
            ids: RandomIdGenerator::default(),
            scope: scope.with_version(env!("CARGO_PKG_VERSION")).build(),
            now: (Instant::now(), SystemTime::now()),
        }
    }

    /// Adds the span of some work, and those of its parts.
    pub(super) fn add(&self, work: FinishedWork, spans: &mut Vec<SpanData>) {
        let SpanIds { trace, span, .. } = work.ids;
        spans.push(SpanData {
            span_kind: work.kind,
            parent_span_is_remote: work.parent.is_some(),
            links: links(&work.links),
            ..self.span(
                (trace, span),
                work.parent,
                work.name,
                (work.begin, work.end),
                (work.failure, work.facts),
            )
        });
        for part in work.parts {
            self.add_part(trace, span, part, spans);
        }
    }

    fn add_part(&self, trace: TraceId, parent: SpanId, part: WorkPart, spans: &mut Vec<SpanData>) {
        let span = self.ids.new_span_id();
        spans.push(self.span(
            (trace, span),
            Some(parent),
            part.name,
            (part.begin, part.end),
            (part.failure, part.facts),
        ));
        for inner in part.parts {
            self.add_part(trace, span, inner, spans);
        }
    }

    fn span(
        &self,
        (trace, span): (TraceId, SpanId),
        parent: Option<SpanId>,
        name: &'static str,
        (begin, end): (Instant, Instant),
        (failure, mut attributes): (Option<Cow<'static, str>>, Vec<KeyValue>),
    ) -> SpanData {
        let status = match failure {
            None => Status::Unset,
            Some(word) => {
                attributes.push(KeyValue::new("error.type", word.clone()));
                Status::error(word)
            }
        };
        SpanData {
            span_context: context(trace, span),
            parent_span_id: parent.unwrap_or(SpanId::INVALID),
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: self.at(begin),
            end_time: self.at(end),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: self.scope.clone(),
        }
    }

    fn at(&self, time: Instant) -> SystemTime {
        let (now, system) = self.now;
        match now.checked_duration_since(time) {
            Some(ago) => system.checked_sub(ago).unwrap_or(system),
            None => system + time.duration_since(now),
        }
    }
}

fn links(requests: &[SpanIds]) -> SpanLinks {
    let mut links = SpanLinks::default();
    let of = |ids: &SpanIds| Link::with_context(context(ids.trace, ids.span));
    links.links = requests.iter().map(of).collect();
    links
}

fn context(trace: TraceId, span: SpanId) -> SpanContext {
    let (sampled, state) = (TraceFlags::SAMPLED, TraceState::default());
    SpanContext::new(trace, span, sampled, false, state)
}
