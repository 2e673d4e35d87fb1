//! From spans to events. Pure: no IO, no clock; what a span becomes depends on
//! that span, its scope and its resource alone, so that order never matters.
//!
//! [`facts`] reads a span's attributes into what they mean ([`slots`], and one
//! table a dialect in [`dialects`]), [`class`] tells the kind of work,
//! [`conversation`] and [`tool`] what was said, [`emit`] makes the events.

pub(crate) mod class;
mod conversation;
pub(crate) mod dialects;
mod emit;
pub(crate) mod facts;
mod hex;
mod ids;
mod logs;
mod messages;
mod metadata;
mod naming;
mod observe;
mod origin;
mod placed;
mod python;
mod run;
mod session;
pub(crate) mod slots;
mod span_events;
mod text;
mod tool;
mod usage;
pub(crate) mod value;

pub use dialects::Dialect;
pub use logs::map_logs;

use self::emit::{Became, Emitter};
use self::facts::Facts;
use self::origin::Origin;
use self::placed::Placed;
use self::run::Observations;
use self::text::Fit;
use super::wire::{Export, Malformed, Message as _, Span};
use super::{MapOptions, Mapped, RefusalReason, SpanOutcome};
use crate::event::Timestamp;

/// Spans of which room is made for the events before they are read.
const MOST_EXPECTED: usize = 1024;

/// Maps every span of a request.
///
/// # Errors
/// When the bytes are no request of spans.
pub fn map_traces(request: &[u8], options: &MapOptions) -> Result<Mapped, Malformed> {
    let mut mapped = Mapped::default();
    let mut observed = Observations::default();
    let mut fit = Fit::new(options.max_field_bytes);
    let mut position = 0;
    let request = Export::read(request)?;
    let spans = request.resources.iter().flat_map(|of| &of.scopes);
    let spans: usize = spans.map(|of| of.records.len()).sum();
    // A step, and something beside it; what is more grows.
    mapped.events.reserve(2 * spans.min(MOST_EXPECTED));
    let mut span = Span::default();
    for of_resource in &request.resources {
        for of_scope in &of_resource.scopes {
            let (resource, scope) = (&of_resource.resource, &of_scope.scope);
            let origin = Origin::read(resource.as_ref(), scope.as_ref(), &mut fit);
            for bytes in &of_scope.records {
                span.read_anew(bytes)?;
                let facts = Facts::read(&span, origin.scope, options.tenant);
                let dialect = facts.dialect.as_str();
                match place(facts, &origin, position) {
                    Ok(placed) => {
                        let mut emitter = Emitter {
                            events: &mut mapped.events,
                            fit: &mut fit,
                            observed: &mut observed,
                        };
                        let fate = match emitter.span(&placed, options.keep_foreign_spans) {
                            Became::Mapped => SpanOutcome::Mapped,
                            Became::Link => SpanOutcome::Ignored("foreign"),
                        };
                        mapped.count(dialect, fate);
                    }
                    Err((code, reason)) => mapped.refuse(position, dialect, code, reason),
                }
                position += 1;
                if !mapped.fits(options) {
                    return Ok(mapped);
                }
            }
        }
    }
    mapped.events.extend(observed.into_events());
    mapped.repairs = fit.repairs;
    mapped.truncated = fit.truncated;
    Ok(mapped)
}

/// Checks ids and times.
fn place<'a>(
    facts: Facts<'a>,
    origin: &'a Origin<'a>,
    position: u32,
) -> Result<Placed<'a>, (RefusalReason, &'static str)> {
    let span = facts.span;
    let trace = ids::run(span.trace_id).ok_or((
        RefusalReason::InvalidTraceId,
        "trace_id is not 16 bytes, or all zero",
    ))?;
    let run = placed::call_of_its_own(&facts).unwrap_or(trace);
    if span.span_id.len() != 8 || span.span_id.iter().all(|byte| *byte == 0) {
        let reason = "span_id is not 8 bytes, or all zero";
        return Err((RefusalReason::InvalidSpanId, reason));
    }
    let (start, end) = times(span.start_time_unix_nano, span.end_time_unix_nano)?;
    Ok(Placed {
        session: session::of(&facts),
        facts,
        origin,
        position,
        run,
        start,
        end,
    })
}

/// Start and end; zero is OTLP's word for not known, and the other stands for it.
fn times(start: u64, end: u64) -> Result<(Timestamp, Timestamp), (RefusalReason, &'static str)> {
    let (start, end) = match (start, end) {
        (0, 0) => {
            let reason = "start_time_unix_nano and end_time_unix_nano are both zero";
            return Err((RefusalReason::TimeOutOfRange, reason));
        }
        (0, end) => (end, end),
        (start, 0) => (start, start),
        both => both,
    };
    Ok((time(start)?, time(end)?))
}

fn time(unix_nanos: u64) -> Result<Timestamp, (RefusalReason, &'static str)> {
    let seconds = i64::try_from(unix_nanos / 1_000_000_000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(unix_nanos % 1_000_000_000).unwrap_or(0);
    Timestamp::from_unix(seconds, nanos).map_err(|_| {
        let reason = "a time is beyond what Postgres can hold";
        (RefusalReason::TimeOutOfRange, reason)
    })
}
