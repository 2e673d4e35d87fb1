//! Properties that hold for arbitrary bytes as a request. The fuzz targets check
//! the same properties.

use std::sync::LazyLock;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span::Event};
use prost::Message as _;
use runtraced::ingest::otlp::wire::Schema;
use runtraced::ingest::otlp::{Decoded, Encoding, MapOptions, Signal, decode};

/// Small enough that requests reach both limits.
const MAX_FIELD_BYTES: usize = 4 << 10;
const STRUCTURE_LIMIT_BYTES: usize = 1 << 20;

/// The last span of a request may exceed it.
const EVENTS_LIMIT_BYTES: usize = 4 << 20;

/// The events of a request may weigh this multiple of its bytes, plus a constant
/// per span.
const GROWTH: usize = 600;
const SPAN_BYTES: usize = 16 << 10;

fn read(signal: Signal, encoding: Encoding, bytes: &[u8]) -> Option<Decoded> {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::new().unwrap());
    let options = MapOptions {
        max_field_bytes: MAX_FIELD_BYTES,
        keep_foreign_spans: bytes.len().is_multiple_of(2),
        own_instance: None,
        max_events_bytes: EVENTS_LIMIT_BYTES,
        tenant: None,
        dialects: runtraced::ingest::otlp::map::Dialects::built_in(),
    };
    decode(
        &SCHEMA,
        signal,
        encoding,
        bytes,
        &options,
        STRUCTURE_LIMIT_BYTES,
    )
    .ok()
}

/// Reads a request twice and checks: no panic; one outcome per record; every event
/// names an existing record, is the same both times, and holds nothing that
/// Postgres cannot store; and the weight of the events is in proportion to the
/// request.
pub fn hold(signal: Signal, encoding: Encoding, bytes: &[u8]) {
    let Some(decoded) = read(signal, encoding, bytes) else {
        return;
    };
    let mapped = &decoded.mapped;
    let outcomes: u64 = mapped.outcomes.values().sum();
    assert_eq!(outcomes, decoded.records, "{:?}", mapped.outcomes);
    for (position, event) in &mapped.events {
        assert!(u64::from(*position) < decoded.records, "{event:?}");
        let escaped = format!("{event:?}").replace("\\\\", "");
        assert!(!escaped.contains("\\0"), "{event:?}");
    }
    assert!(mapped.refused.is_sorted_by_key(|(position, _)| *position));
    let weight: usize = mapped.events.iter().map(|(_, e)| e.weight_bytes()).sum();
    let most = bytes.len() * GROWTH + decoded.records as usize * SPAN_BYTES;
    assert!(weight <= most, "{} bytes became {weight}", bytes.len());
    let again = read(signal, encoding, bytes).unwrap();
    assert_eq!(again.mapped.events, mapped.events);
}

/// Keys that have a meaning in some dialect.
pub const KEYS: &[&str] = &[
    "openinference.span.kind",
    "input.value",
    "input.mime_type",
    "output.value",
    "llm.model_name",
    "llm.token_count.prompt",
    "llm.token_count.completion_details.reasoning",
    "llm.input_messages.0.message.role",
    "llm.input_messages.0.message.content",
    "llm.input_messages.1.message.contents.0.message_content.text",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.name",
    "tool.name",
    "tool.parameters",
    "agent.name",
    "graph.node.id",
    "session.id",
    "user.id",
    "metadata",
    "gen_ai.operation.name",
    "gen_ai.system",
    "gen_ai.request.model",
    "gen_ai.response.id",
    "gen_ai.response.finish_reasons",
    "gen_ai.conversation.id",
    "gen_ai.agent.name",
    "gen_ai.tool.name",
    "gen_ai.tool.call.id",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.prompt.0.content",
    "gen_ai.completion.0.function_call.arguments",
    "traceloop.span.kind",
    "traceloop.entity.input",
    "traceloop.association.properties.session_id",
    "ai.operationId",
    "ai.prompt",
    "ai.prompt.messages",
    "ai.response.text",
    "ai.response.toolCalls",
    "ai.toolCall.args",
    "ai.usage.inputTokens",
    "ai.telemetry.functionId",
    "ai.telemetry.metadata.sessionId",
    "langfuse.observation.type",
    "langfuse.observation.input",
    "langfuse.observation.output",
    "langfuse.observation.usage_details",
    "mlflow.spanType",
    "mlflow.spanInputs",
    "mlflow.chat.tokenUsage",
    "lmnr.span.type",
    "lmnr.span.input",
    "logfire.msg",
    "request_data",
    "events",
    "all_messages_events",
    "pydantic_ai.all_messages",
    "langsmith.span.kind",
    "gen_ai.cost.total_cost",
    "gcp.vertex.agent.llm_request",
    "event_loop.cycle_id",
    "error.type",
    "exception.message",
];

/// Names of span events that carry data.
const EVENTS: &[&str] = &[
    "exception",
    "gen_ai.user.message",
    "gen_ai.assistant.message",
    "gen_ai.tool.message",
    "gen_ai.choice",
    "gen_ai.client.inference.operation.details",
];

/// A request of a model call and a tool call whose messages, arguments and results
/// are this text.
pub fn request_of_text(bytes: &[u8]) -> Vec<u8> {
    const CALL: [&str; 3] = [
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "input.value",
    ];
    const TOOL: [&str; 4] = [
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "gen_ai.input.messages",
        "output.value",
    ];
    let text = String::from_utf8_lossy(bytes);
    let attribute = |key: &str, text: &str| KeyValue {
        key: key.into(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(text.into())),
        }),
        ..Default::default()
    };
    let span = |id: u8, kind: &str, keys: &[&str]| {
        let mut attributes = vec![attribute("gen_ai.operation.name", kind)];
        attributes.extend(keys.iter().map(|key| attribute(key, &text)));
        Span {
            trace_id: vec![1; 16],
            span_id: vec![id; 8],
            start_time_unix_nano: 1_767_225_600_000_000_000,
            end_time_unix_nano: 1_767_225_601_000_000_000,
            attributes,
            ..Default::default()
        }
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: vec![span(1, "chat", &CALL), span(2, "execute_tool", &TOOL)],
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    request.encode_to_vec()
}

/// A request of one span with attributes made from bytes. Each attribute is a byte
/// for its key, a byte for its position and type, and its value up to the next 0xff.
pub fn request_of(bytes: &[u8]) -> Vec<u8> {
    let mut span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "span".into(),
        start_time_unix_nano: 1_767_225_600_000_000_000,
        end_time_unix_nano: 1_767_225_601_000_000_000,
        ..Default::default()
    };
    for piece in bytes.split(|byte| *byte == 0xff) {
        let Some(([key, place], content)) = piece.split_first_chunk::<2>() else {
            continue;
        };
        let text = String::from_utf8_lossy(content).into_owned();
        let number = content
            .first_chunk::<8>()
            .map_or(content.len() as i64, |bytes| i64::from_le_bytes(*bytes));
        let value = match place % 8 {
            0 => Value::IntValue(number),
            1 => Value::DoubleValue(f64::from_bits(number as u64)),
            2 => Value::BytesValue(content.to_vec()),
            _ => Value::StringValue(text),
        };
        let attribute = KeyValue {
            key: KEYS[usize::from(*key) % KEYS.len()].into(),
            value: Some(AnyValue { value: Some(value) }),
            ..Default::default()
        };
        match usize::from(place / 8) {
            place @ 0..6 => span.events.push(Event {
                name: EVENTS[place].into(),
                attributes: vec![attribute],
                ..Default::default()
            }),
            6 => span.name = piece.escape_ascii().to_string(),
            _ => span.attributes.push(attribute),
        }
    }
    let scope = InstrumentationScope {
        name: "openinference.instrumentation.fuzz".into(),
        ..Default::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                scope: Some(scope),
                spans: vec![span],
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    request.encode_to_vec()
}
