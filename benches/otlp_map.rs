//! The cost of turning a span from wire bytes into events, part by part. Each request has 200
//! spans with OpenInference attributes, about 2.7 KB per span. One span in three is an LLM call
//! with its messages. `map_workload` maps a request of `runtraced bench --workload otlp`, and
//! `mask_workload` masks its events.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use runtraced::bench::workload::{IdVersion, Workload, WorkloadKind, WorkloadSpec};
use runtraced::ingest::otlp::map::map_traces;
use runtraced::ingest::otlp::wire::{
    ExportRequest, MalformedProtobuf, Schema, Span as ReadSpan, WireMessage, json_to_protobuf, scan,
};
use runtraced::ingest::otlp::{Encoding, MapOptions, Signal, decode};
use runtraced::mask::{MaskRules, Masker};

/// Spans per request.
const SPANS: u64 = 200;
/// Rows that are enough for one request of the workload.
const WORKLOAD_ROWS: usize = 440;
/// Spans per trace, and per session.
const SPANS_PER_TRACE: u64 = 30;
/// Limit of the decoded size, high enough that no request reaches it.
const DECODED_LIMIT_BYTES: usize = 1 << 30;
/// The time of the first span, 2026-01-01, and the duration of every span.
const FIRST_START_UNIX_NANO: u64 = 1_767_225_600_000_000_000;
const SPAN_NANOS: u64 = 500_000_000;
const NANOS_PER_MS: u64 = 1_000_000;
const SENTENCE: &str = "The release notes name the fourteenth of February as the date. ";

fn attribute(key: String, value: Value) -> KeyValue {
    KeyValue {
        key,
        value: Some(AnyValue { value: Some(value) }),
        ..Default::default()
    }
}

fn text(key: impl Into<String>, value: impl Into<String>) -> KeyValue {
    attribute(key.into(), Value::StringValue(value.into()))
}

/// The attributes of an LLM call: system prompt, question, earlier tool call and its result,
/// and answer.
fn llm_call(number: u64) -> Vec<KeyValue> {
    let mut attributes = vec![
        text("openinference.span.kind", "LLM"),
        text("llm.model_name", "gpt-5.2-2026-08-01"),
        text("llm.provider", "openai"),
        text(
            "llm.invocation_parameters",
            r#"{"temperature":0.2,"max_tokens":1024}"#,
        ),
        text(
            "session.id",
            format!("session-{}", number / SPANS_PER_TRACE),
        ),
    ];
    let turns = [
        ("system", SENTENCE.repeat(8)),
        ("user", SENTENCE.repeat(4)),
        ("assistant", SENTENCE.repeat(5)),
        ("tool", SENTENCE.repeat(6)),
        ("user", SENTENCE.repeat(2)),
    ];
    for (at, (role, content)) in turns.into_iter().enumerate() {
        let key = |name: &str| format!("llm.input_messages.{at}.message.{name}");
        attributes.push(text(key("role"), role));
        attributes.push(text(key("content"), format!("{number} {content}")));
    }
    let key = |name: &str| format!("llm.output_messages.0.message.{name}");
    attributes.push(text(key("role"), "assistant"));
    attributes.push(text(
        key("content"),
        format!("{number} {}", SENTENCE.repeat(6)),
    ));
    for (key, count) in [("prompt", 1_250), ("completion", 180), ("total", 1_430)] {
        attributes.push(attribute(
            format!("llm.token_count.{key}"),
            Value::IntValue(count),
        ));
    }
    attributes
}

fn tool_call(number: u64) -> Vec<KeyValue> {
    vec![
        text("openinference.span.kind", "TOOL"),
        text("tool.name", "search_documents"),
        text("tool.description", SENTENCE),
        text(
            "input.value",
            format!(r#"{{"query":"release date","page":{number}}}"#),
        ),
        text("input.mime_type", "application/json"),
        text("output.value", SENTENCE.repeat(33)),
        text(
            "session.id",
            format!("session-{}", number / SPANS_PER_TRACE),
        ),
    ]
}

fn request() -> ExportTraceServiceRequest {
    let span = |number: u64| Span {
        trace_id: u128::from(1 + number / SPANS_PER_TRACE)
            .to_be_bytes()
            .to_vec(),
        span_id: (1 + number).to_be_bytes().to_vec(),
        parent_span_id: match number % SPANS_PER_TRACE {
            0 => Vec::new(),
            _ => (1 + number - number % SPANS_PER_TRACE)
                .to_be_bytes()
                .to_vec(),
        },
        name: "step".into(),
        kind: 1,
        start_time_unix_nano: FIRST_START_UNIX_NANO + number * NANOS_PER_MS,
        end_time_unix_nano: FIRST_START_UNIX_NANO + number * NANOS_PER_MS + SPAN_NANOS,
        attributes: match number % 3 {
            0 => llm_call(number),
            _ => tool_call(number),
        },
        ..Default::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![text("service.name", "bench")],
                ..Default::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "openinference.instrumentation.openai".into(),
                    version: "0.1.66".into(),
                    ..Default::default()
                }),
                spans: (0..SPANS).map(span).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
}

/// A request of the workload `otlp` of `runtraced bench`.
fn workload() -> Vec<u8> {
    let spec = WorkloadSpec {
        kind: WorkloadKind::Otlp,
        rows: WORKLOAD_ROWS,
        streams: 1,
        request_events: SPANS as usize,
        seed: 1,
        ids: IdVersion::V7,
    };
    let workload = Workload::new(&spec);
    let mut requests = workload.streams.into_iter().flatten();
    requests
        .next()
        .map_or_else(Vec::new, |request| request.encoded.into())
}

/// Reads all spans without mapping them. Returns the number of their attributes.
fn read_spans(bytes: &[u8]) -> Result<usize, MalformedProtobuf> {
    let export = ExportRequest::read(bytes)?;
    let mut span = ReadSpan::default();
    let mut attributes = 0;
    let scopes = export.resources.iter().flat_map(|of| &of.scopes);
    for bytes in scopes.flat_map(|of| &of.records) {
        span.reset_and_read(bytes)?;
        attributes += span.attributes.len();
    }
    Ok(attributes)
}

fn parts(criterion: &mut Criterion) {
    let Ok(schema) = Schema::new() else { return };
    let message = request();
    let bytes = prost::Message::encode_to_vec(&message);
    let json = serde_json::to_vec(&message).unwrap_or_default();
    let options = MapOptions::default();
    let mut group = criterion.benchmark_group("otlp");
    group.throughput(Throughput::Elements(SPANS));
    group.bench_function("scan", |bencher| {
        bencher.iter(|| scan(&schema, schema.traces, black_box(&bytes), usize::MAX));
    });
    group.bench_function("read", |bencher| {
        bencher.iter(|| read_spans(black_box(&bytes)));
    });
    group.bench_function("read_and_map", |bencher| {
        bencher.iter(|| map_traces(black_box(&bytes), &options));
    });
    let workload = workload();
    group.bench_function("map_workload", |bencher| {
        bencher.iter(|| map_traces(black_box(&workload), &options));
    });
    if let (Ok(rules), Ok(mapped)) = (MaskRules::built_in(), map_traces(&workload, &options)) {
        let Ok(masker) = Masker::new(rules, &[7; 32]) else {
            return;
        };
        let mut events = mapped.events;
        group.bench_function("mask_workload", |bencher| {
            bencher.iter(|| events.iter_mut().for_each(|(_, event)| masker.event(event)));
        });
    }
    group.bench_function("json", |bencher| {
        bencher.iter(|| json_to_protobuf(&schema, schema.traces, black_box(&json)));
    });
    for (name, encoding, body) in [
        ("whole", Encoding::Protobuf, &bytes),
        ("whole_json", Encoding::Json, &json),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let body = black_box(body);
                decode(
                    &schema,
                    Signal::Traces,
                    encoding,
                    body,
                    &options,
                    DECODED_LIMIT_BYTES,
                )
            });
        });
    }
    group.finish();
}

criterion_group!(benches, parts);
criterion_main!(benches);
