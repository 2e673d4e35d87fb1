//! Compiles any text as a dialect file, and maps a span with the dialect.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use runtraced::ingest::otlp::MapOptions;
use runtraced::ingest::otlp::map::{DialectText, Dialects, map_traces};

fn request() -> Vec<u8> {
    let attribute = |(key, text): (&str, &str)| KeyValue {
        key: key.into(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(text.into())),
        }),
        ..KeyValue::default()
    };
    let attributes = [
        ("a", "1"),
        ("a.b", r#"{"a":{"b":[1,"x",null]}}"#),
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.usage.input_tokens", "7"),
    ];
    let span = Span {
        trace_id: vec![7; 16],
        span_id: vec![7; 8],
        name: "a b".into(),
        attributes: attributes.map(attribute).into(),
        ..Span::default()
    };
    let scope_spans = ScopeSpans {
        scope: Some(InstrumentationScope {
            name: "a".into(),
            ..InstrumentationScope::default()
        }),
        spans: vec![span],
        ..ScopeSpans::default()
    };
    let resource_spans = ResourceSpans {
        scope_spans: vec![scope_spans],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![resource_spans],
    }
    .encode_to_vec()
}

fuzz_target!(|text: &str| {
    let file = DialectText {
        file: "fuzz.toml".into(),
        text: text.into(),
    };
    match Dialects::compile(vec![file]) {
        Ok(dialects) => {
            let options = MapOptions {
                dialects: dialects.into(),
                ..MapOptions::default()
            };
            assert!(map_traces(&request(), &options).is_ok());
        }
        Err(error) => assert!(error.line > 0 && !error.reason.is_empty(), "{error}"),
    }
});
