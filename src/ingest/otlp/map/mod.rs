//! Maps spans to events.
//!
//! The mapping is pure: no IO, no clock. The events of a span depend only on
//! that span, its scope and its resource, so the order of spans never matters.
//!
//! - [`dialects`] says what keys and words mean. The dialects are data.
//! - [`facts`] reads the attributes of a span into [`slots`], and [`rules`]
//!   applies the rules of its dialects.
//! - [`class`] classifies the span.
//! - [`conversation`] and [`tool`] read messages, arguments and results.
//! - [`emit`] makes the events.

pub(crate) mod class;
mod conversation;
pub(crate) mod dialects;
mod emit;
mod explain;
pub(crate) mod facts;
mod fit;
mod generic;
mod ghost;
mod hex;
mod history;
mod ids;
mod lang_graph;
mod lenient;
mod logs;
mod message_events;
mod messages;
mod metadata;
mod naming;
mod observations;
mod observe;
mod origin;
mod outcome;
mod placed;
mod rules;
mod scores;
mod scratch;
mod session;
pub(crate) mod slots;
mod span_events;
mod tags;
mod time;
mod tool;
mod unknown;
mod usage;
pub(crate) mod value;
mod wrappers;

pub use dialects::{DialectError, DialectText, Dialects};
pub use explain::{
    ExplainedAttribute, ExplainedRow, ExplainedSpan, Explanation, documented_keys, explain,
    fact_names,
};
pub use logs::map_logs;

use self::emit::{EmitOutcome, Emitter};
use self::facts::{SpanFacts, SpanScope};
use self::fit::FieldFitter;
use self::observations::Observations;
use self::origin::{ResourceFacts, SpanOrigin};
use self::outcome::SpanEnding;
use self::placed::PlacedSpan;
use self::scratch::{ParsedAttributes, Scratch};
use super::wire::{ExportRequest, MalformedProtobuf, ScopeRecords, Span, WireMessage as _};
use super::{MapOptions, Mapped, RefusalReason, SpanOutcome};
use crate::own_spans::OWN_SCOPE;

/// A typical span makes a step and one more event, such as a token count.
const EVENTS_PER_SPAN: usize = 2;
/// The memory for events is reserved for at most this many spans.
const MAX_RESERVED_SPANS: usize = 1024;
/// The length that OTLP requires of a span id.
const SPAN_ID_BYTES: usize = 8;

/// Maps every span of a request.
///
/// # Errors
/// If the bytes are not a request of spans.
pub fn map_traces(request: &[u8], options: &MapOptions) -> Result<Mapped, MalformedProtobuf> {
    let mut mapped = Mapped::default();
    let mut observed = Observations::default();
    let mut fit = FieldFitter::new(options.max_field_bytes);
    let mut position = 0;
    let request = ExportRequest::read(request)?;
    let Some(origins) = read_origins(&request, &mut fit, &mut mapped, options) else {
        return Ok(mapped);
    };
    let spans: usize = origins
        .iter()
        .map(|(of_scope, _)| of_scope.records.len())
        .sum();
    let reserved = EVENTS_PER_SPAN * spans.min(MAX_RESERVED_SPANS);
    mapped.events.reserve(reserved);
    let mut span = Span::default();
    for (of_scope, origin) in origins {
        if origin.scope == OWN_SCOPE {
            mapped.of_daemons += of_scope.records.len() as u64;
        }
        if options.own_instance.is_some() && origin.instance == options.own_instance.as_deref() {
            let skipped = of_scope.records.len();
            mapped.ignore(skipped, "own");
            position += u32::try_from(skipped).unwrap_or(u32::MAX);
            continue;
        }
        let span_scope = SpanScope::new(&options.dialects, origin.scope);
        for bytes in &of_scope.records {
            span.reset_and_read(bytes)?;
            let parsed = ParsedAttributes::default();
            let scratch = Scratch::new(&parsed);
            let mut facts = SpanFacts::read(&span, span_scope, options.tenant, &scratch);
            rules::apply(&mut facts, &scratch);
            let dialect = &facts.dialect.name;
            match validate(facts, &origin, position) {
                Ok(placed) => {
                    let mut emitter = Emitter {
                        events: &mut mapped.events,
                        fit: &mut fit,
                        observed: &mut observed,
                    };
                    let outcome = match emitter.emit_span(&placed, options.keep_foreign_spans) {
                        EmitOutcome::Mapped => SpanOutcome::Mapped,
                        EmitOutcome::Ignored(reason) => SpanOutcome::Ignored(reason),
                        EmitOutcome::NotUnderstood => {
                            mapped.count_not_understood(origin.scope);
                            SpanOutcome::Mapped
                        }
                    };
                    mapped.count(dialect, outcome);
                }
                Err((code, reason)) => mapped.refuse(position, dialect, code, reason),
            }
            position += 1;
            if !mapped.is_within_limit(options) {
                return Ok(mapped);
            }
        }
    }
    // The events of many runs may repeat one long text.
    for event in observed.into_events() {
        mapped.events.push(event);
        if !mapped.is_within_limit(options) {
            return Ok(mapped);
        }
    }
    mapped.repairs = fit.repairs;
    mapped.truncated = fit.truncated;
    Ok(mapped)
}

/// Reads the origins of all scopes with spans. `None` if they exceed the limit: each scope
/// repeats its resource, which may be long.
fn read_origins<'a>(
    request: &'a ExportRequest<'a>,
    fit: &mut FieldFitter,
    mapped: &mut Mapped,
    options: &MapOptions,
) -> Option<Vec<(&'a ScopeRecords<'a>, SpanOrigin<'a>)>> {
    let mut origins = Vec::new();
    for of_resource in &request.resources {
        let resource = ResourceFacts::read(of_resource.resource.as_ref());
        let scopes = of_resource.scopes.iter();
        for of_scope in scopes.filter(|of| !of.records.is_empty()) {
            let origin = resource.of_scope(of_scope.scope.as_ref(), fit);
            mapped.add_weight(origin.metadata_bytes());
            origins.push((of_scope, origin));
            if !mapped.is_within_limit(options) {
                return None;
            }
        }
    }
    origin::set_order(origins.iter_mut().map(|(_, origin)| origin));
    Some(origins)
}

/// Validates the ids and times of a span.
fn validate<'a>(
    facts: SpanFacts<'a>,
    origin: &'a SpanOrigin<'a>,
    position: u32,
) -> Result<PlacedSpan<'a>, (RefusalReason, &'static str)> {
    let span = facts.span;
    let trace = ids::run_of_trace(span.trace_id).ok_or((
        RefusalReason::InvalidTraceId,
        "trace_id is not 16 bytes or is all zeros",
    ))?;
    let run = placed::run_of_separate_call(&facts).unwrap_or(trace);
    if span.span_id.len() != SPAN_ID_BYTES || span.span_id.iter().all(|byte| *byte == 0) {
        let reason = "span_id is not 8 bytes or is all zeros";
        return Err((RefusalReason::InvalidSpanId, reason));
    }
    let (start, end) = time::start_and_end(span.start_time_unix_nano, span.end_time_unix_nano)?;
    Ok(PlacedSpan {
        ending: SpanEnding::read(&facts),
        session: session::of(&facts),
        response_id: placed::response_id(&facts),
        facts,
        origin,
        position,
        run,
        start,
        end,
    })
}
