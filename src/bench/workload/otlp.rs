//! The `otlp` workload: traces of an agent framework that sends OpenTelemetry. Each request has
//! 200 spans with OpenInference attributes, of about 2.7 KB. One span in three is a model call
//! with its messages. A trace has 20 spans, the root last.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;

use super::{EPOCH_MS, EncodedRequest, RUN_INTERVAL_MS, SeededRandom, WorkloadSpec};

/// Spans per request.
const SPANS_PER_REQUEST: usize = 200;
/// Spans per trace.
const SPANS_PER_TRACE: usize = 20;
/// Traces per session.
const TRACES_PER_SESSION: usize = 3;
/// Approximate rows per span: steps, messages, token counts, runs, sessions.
const ROWS_PER_SPAN: f64 = 2.2;

/// The requests of each stream. A trace is complete within one request.
pub(super) fn streams(spec: &WorkloadSpec, random: &mut SeededRandom) -> Vec<Vec<EncodedRequest>> {
    let spans = (spec.rows as f64 / ROWS_PER_SPAN) as usize;
    let traces = spans.div_ceil(SPANS_PER_TRACE);
    let traces_per_request = SPANS_PER_REQUEST / SPANS_PER_TRACE;
    let mut streams: Vec<Vec<EncodedRequest>> = vec![Vec::new(); spec.streams];
    for first in (0..traces).step_by(traces_per_request) {
        let numbers = first..(first + traces_per_request).min(traces);
        let spans: Vec<Span> = numbers.flat_map(|number| trace(number, random)).collect();
        let events = spans.len() as u64;
        let encoded = request(spans).encode_to_vec().into();
        let stream = first / traces_per_request % spec.streams;
        streams[stream].push(EncodedRequest { encoded, events });
    }
    streams
}

pub(super) fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope {
        name: "openinference.instrumentation.openai".into(),
        version: "0.1.66".into(),
        ..Default::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![text("service.name", "helpdesk")],
                ..Default::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope),
                spans,
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
}

/// The spans of one agent run: model and tool calls, then the agent's own span.
fn trace(number: usize, random: &mut SeededRandom) -> Vec<Span> {
    let began = EPOCH_MS + number as u64 * RUN_INTERVAL_MS;
    let trace_id = random.id(began).to_vec();
    let root = random.next_u64().to_be_bytes().to_vec();
    let session = format!("session-{}", number / TRACES_PER_SESSION);
    let question = random.text(120);
    let children = 1..SPANS_PER_TRACE as u64;
    let mut spans: Vec<Span> = children
        .map(|step| {
            let (name, mut attributes) = match step % 3 {
                1 => ("ChatCompletion", model_call(step, &question, random)),
                _ => ("search_documents", tool_call(random)),
            };
            attributes.push(text("session.id", session.as_str()));
            Span {
                span_id: random.next_u64().to_be_bytes().to_vec(),
                parent_span_id: root.clone(),
                ..span(&trace_id, name, began + step, 1, attributes)
            }
        })
        .collect();
    let agent = vec![
        text("openinference.span.kind", "AGENT"),
        text("agent.name", "helpdesk-agent"),
        text("input.value", question),
        text("output.value", random.text(200)),
        text("session.id", session),
    ];
    spans.push(Span {
        span_id: root,
        ..span(
            &trace_id,
            "helpdesk-agent",
            began,
            SPANS_PER_TRACE as u64,
            agent,
        )
    });
    spans
}

pub(super) fn span(
    trace_id: &[u8],
    name: &str,
    began_ms: u64,
    took_ms: u64,
    attributes: Vec<KeyValue>,
) -> Span {
    Span {
        trace_id: trace_id.to_vec(),
        name: name.into(),
        kind: 1,
        start_time_unix_nano: began_ms * 1_000_000,
        end_time_unix_nano: (began_ms + took_ms) * 1_000_000,
        attributes,
        status: Some(Status {
            code: 1,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A model call: the instructions and the question, which every call repeats, and an answer of
/// its own.
fn model_call(step: u64, question: &str, random: &mut SeededRandom) -> Vec<KeyValue> {
    let answer = random.text(300);
    let response = serde_json::json!({
        "id": format!("chatcmpl-{:016x}{:016x}", random.next_u64(), random.next_u64()),
        "choices": [{"message": {"role": "assistant", "content": answer}}],
    });
    vec![
        text("openinference.span.kind", "LLM"),
        text("llm.model_name", "gpt-5.2-2026-08-01"),
        text("llm.provider", "openai"),
        text(
            "llm.invocation_parameters",
            r#"{"temperature":0.2,"max_tokens":1024}"#,
        ),
        text("llm.input_messages.0.message.role", "system"),
        text(
            "llm.input_messages.0.message.content",
            "You answer questions of customers, briefly.",
        ),
        text("llm.input_messages.1.message.role", "user"),
        text("llm.input_messages.1.message.content", question),
        text("llm.output_messages.0.message.role", "assistant"),
        text("llm.output_messages.0.message.content", answer.as_str()),
        count("llm.token_count.prompt", 1_200 + step),
        count("llm.token_count.completion", 80),
        count("llm.token_count.total", 1_280 + step),
        text("input.value", random.json("messages", 900)),
        text("input.mime_type", "application/json"),
        text("output.value", response.to_string()),
        text("output.mime_type", "application/json"),
        text("metadata", random.json("note", 200)),
    ]
}

fn tool_call(random: &mut SeededRandom) -> Vec<KeyValue> {
    vec![
        text("openinference.span.kind", "TOOL"),
        text("tool.name", "search_documents"),
        text("tool.description", "Finds documents by meaning."),
        text("input.value", random.json("query", 300)),
        text("input.mime_type", "application/json"),
        text("output.value", random.json("documents", 1_700)),
        text("output.mime_type", "application/json"),
        text("metadata", random.json("note", 200)),
    ]
}

pub(super) fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

pub(super) fn count(key: &str, value: u64) -> KeyValue {
    // Far below the limit of i64.
    attribute(key, Value::IntValue(value as i64))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::workload::{IdVersion, WorkloadKind};
    use crate::ingest::otlp::{MapOptions, map::map_traces};

    #[test]
    fn every_span_is_recognised_and_has_about_the_stated_size() {
        let spec = WorkloadSpec {
            kind: WorkloadKind::Otlp,
            rows: 4_400,
            streams: 3,
            request_events: 100,
            seed: 5,
            ids: IdVersion::V7,
        };
        let mut random = SeededRandom::new(spec.seed, spec.ids);
        let streams = streams(&spec, &mut random);
        let requests: Vec<&EncodedRequest> = streams.iter().flatten().collect();
        let spans: u64 = requests.iter().map(|request| request.events).sum();
        let bytes: usize = requests.iter().map(|request| request.encoded.len()).sum();
        assert_eq!(spans, 2_000);
        let each = bytes as u64 / spans;
        assert!((2_200..3_200).contains(&each), "{each} bytes per span");
        for request in requests {
            let mapped = map_traces(&request.encoded, &MapOptions::default()).unwrap();
            assert_eq!(mapped.refused, []);
            assert_eq!(
                mapped
                    .outcomes
                    .keys()
                    .map(|key| &*key.0)
                    .collect::<Vec<_>>(),
                ["openinference"]
            );
        }
    }
}
