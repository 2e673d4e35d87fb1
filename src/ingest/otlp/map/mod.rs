//! From spans to events. Pure: no IO, no clock; what a span becomes depends on
//! that span, its scope and its resource alone, so that order never matters.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};
use uuid::Uuid;

use super::{Fate, MapOptions, Mapped, RefusalReason};
use crate::event::{
    EndStatus, Event, EventBody, Repairs, StepDetails, StepEnded, StepType, Timestamp, clean_text,
};

/// The dialect of spans that say no more than names, kinds and status.
const UNKNOWN: &str = "unknown";

/// Maps every span of a request.
#[must_use]
pub fn map_traces(request: ExportTraceServiceRequest, _options: &MapOptions) -> Mapped {
    let mut mapped = Mapped::default();
    let spans = request
        .resource_spans
        .into_iter()
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans);
    for (position, span) in (0_u32..).zip(spans) {
        match step(span, &mut mapped.repairs) {
            Ok(event) => {
                mapped.events.push((position, event));
                mapped.count(UNKNOWN, Fate::Mapped);
            }
            Err((code, reason)) => mapped.refuse(position, UNKNOWN, code, reason),
        }
    }
    mapped
}

/// Maps the log records that carry what was said in a step.
#[must_use]
pub fn map_logs(request: ExportLogsServiceRequest, _options: &MapOptions) -> Mapped {
    let mut mapped = Mapped::default();
    let records = request
        .resource_logs
        .iter()
        .flat_map(|resource| &resource.scope_logs)
        .flat_map(|scope| &scope.log_records);
    for _ in records {
        mapped.count(UNKNOWN, Fate::Ignored("not_genai"));
    }
    mapped
}

fn step(span: Span, repairs: &mut Repairs) -> Result<Event, (RefusalReason, &'static str)> {
    let run_id = Uuid::from_slice(&span.trace_id)
        .ok()
        .filter(|id| !id.is_nil())
        .ok_or((
            RefusalReason::InvalidTraceId,
            "trace_id is not 16 bytes, or all zero",
        ))?;
    if span.span_id.len() != 8 || span.span_id.iter().all(|byte| *byte == 0) {
        let reason = "span_id is not 8 bytes, or all zero";
        return Err((RefusalReason::InvalidSpanId, reason));
    }
    let failed = span.status.is_some_and(|s| s.code() == StatusCode::Error);
    let step = StepEnded {
        step_id: Uuid::new_v5(&run_id, &span.span_id),
        run_id,
        details: Some(StepDetails {
            step_type: StepType::Other,
            kind: None,
            name: Some(clean_text(span.name, repairs)),
            parent_step_id: (span.parent_span_id.len() == 8)
                .then(|| Uuid::new_v5(&run_id, &span.parent_span_id)),
            model: None,
            input: None,
            metadata: None,
        }),
        status: if failed {
            EndStatus::Failed
        } else {
            EndStatus::Completed
        },
        output: None,
        error: None,
        started_at: Some(time(span.start_time_unix_nano)?),
        duration_ms: None,
        announced: false,
    };
    Ok(Event {
        time: time(span.end_time_unix_nano)?,
        body: EventBody::StepEnded(step),
    })
}

fn time(unix_nanos: u64) -> Result<Timestamp, (RefusalReason, &'static str)> {
    let seconds = i64::try_from(unix_nanos / 1_000_000_000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(unix_nanos % 1_000_000_000).unwrap_or(0);
    Timestamp::from_unix(seconds, nanos).map_err(|_| {
        let reason = "a time is beyond what Postgres can hold";
        (RefusalReason::TimeOutOfRange, reason)
    })
}
