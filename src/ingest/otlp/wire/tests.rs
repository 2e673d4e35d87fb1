//! Tests of measuring, repairing and converting requests.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::prelude::*;
use prost::Message as _;
use serde_json::json;

use super::*;

fn schema() -> Schema {
    Schema::new().unwrap()
}

fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans,
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
}

fn with_attributes(attributes: Vec<KeyValue>) -> ExportTraceServiceRequest {
    request(vec![Span {
        attributes,
        ..Default::default()
    }])
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..Default::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

/// A text nested in `levels` containers: lists at even levels, maps at odd ones.
fn nested(levels: usize) -> Value {
    (0..levels).fold(Value::StringValue("deep".into()), |inner, level| {
        if level % 2 == 0 {
            let value = AnyValue { value: Some(inner) };
            Value::ArrayValue(ArrayValue {
                values: vec![value],
            })
        } else {
            Value::KvlistValue(KeyValueList {
                values: vec![attribute("k", inner)],
            })
        }
    })
}

fn of_json(
    json: &serde_json::Value,
) -> Result<(ExportTraceServiceRequest, WireRepairs), OtlpJsonError> {
    let schema = schema();
    let json = json_to_protobuf(&schema, schema.traces, json.to_string().as_bytes())?;
    let request = ExportTraceServiceRequest::decode(&*json.wire).unwrap();
    Ok((request, json.repairs))
}

#[test]
fn scan_counts_spans_and_their_memory() {
    let schema = schema();
    let mut message = request(vec![Span::default(); 10]);
    message
        .resource_spans
        .push(message.resource_spans[0].clone());
    let bytes = message.encode_to_vec();
    let counts = scan(&schema, schema.traces, &bytes, usize::MAX).unwrap();
    assert_eq!((counts.records, counts.too_deep), (20, false));
    let built = 20 * size_of::<Span>();
    assert!(
        (built..8 * built).contains(&counts.structure_bytes),
        "{counts:?}"
    );
    let error = scan(&schema, schema.traces, &bytes, built).unwrap_err();
    assert_eq!(error, ScanError::TooLarge { limit: built });
}

#[test]
fn scan_counts_data_points_of_every_kind() {
    let schema = schema();
    let point = json!([{}, {}]);
    let kinds = [
        "gauge",
        "sum",
        "histogram",
        "exponentialHistogram",
        "summary",
    ];
    let metrics: Vec<_> = kinds
        .iter()
        .map(|kind| json!({ *kind: {"dataPoints": point} }))
        .collect();
    let json = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]});
    let json = json.to_string();
    let json = json_to_protobuf(&schema, schema.metrics, json.as_bytes()).unwrap();
    let counts = scan(&schema, schema.metrics, &json.wire, usize::MAX).unwrap();
    assert_eq!(counts.records, 10);
    assert!(ExportMetricsServiceRequest::decode(&*json.wire).is_ok());
}

#[test]
fn a_request_cut_off_at_any_byte_is_malformed() {
    let schema = schema();
    let bytes = with_attributes(vec![text("key", "value"), attribute("n", nested(3))]);
    let bytes = bytes.encode_to_vec();
    for len in 1..bytes.len() {
        let cut = &bytes[..len];
        let error = scan(&schema, schema.traces, cut, usize::MAX);
        assert_eq!(error, Err(ScanError::Malformed), "{len}");
        assert!(ExportTraceServiceRequest::decode(cut).is_err());
        assert_eq!(repair(&schema, schema.traces, cut), None, "{len}");
    }
}

#[test]
fn repair_replaces_only_text_that_is_not_utf8() {
    let schema = schema();
    let message = with_attributes(vec![text("a", "bad-bad"), text("b", "good")]);
    let mut bytes = message.encode_to_vec();
    let at = bytes.windows(7).position(|w| w == b"bad-bad").unwrap();
    bytes[at + 3] = 0xff;
    assert!(ExportTraceServiceRequest::decode(&*bytes).is_err());
    let (repaired, repairs) = repair(&schema, schema.traces, &bytes).unwrap();
    let want = with_attributes(vec![text("a", "bad\u{fffd}bad"), text("b", "good")]);
    assert_eq!(ExportTraceServiceRequest::decode(&*repaired), Ok(want));
    assert_eq!(
        repairs,
        WireRepairs {
            invalid_utf8: 1,
            ..Default::default()
        }
    );
}

#[test]
fn repair_replaces_only_values_that_are_too_deep() {
    let schema = schema();
    for levels in [10, 30, 36] {
        let bytes = with_attributes(vec![attribute("a", nested(levels))]).encode_to_vec();
        let counts = scan(&schema, schema.traces, &bytes, usize::MAX).unwrap();
        assert!(!counts.too_deep, "{levels}");
        assert!(ExportTraceServiceRequest::decode(&*bytes).is_ok());
    }
    for levels in [45, 100, 2_000] {
        let message = with_attributes(vec![attribute("a", nested(levels)), text("b", "good")]);
        let bytes = message.encode_to_vec();
        assert!(
            scan(&schema, schema.traces, &bytes, usize::MAX)
                .unwrap()
                .too_deep
        );
        let (repaired, repairs) = repair(&schema, schema.traces, &bytes).unwrap();
        assert_eq!(repairs.too_deep, 1, "{levels}");
        let message = ExportTraceServiceRequest::decode(&*repaired).unwrap();
        let attributes = &message.resource_spans[0].scope_spans[0].spans[0].attributes;
        assert_eq!(attributes[1], text("b", "good"));
        let shown = format!("{:?}", attributes[0]);
        assert!(
            shown.contains(TOO_DEEP) && !shown.contains("\"deep\""),
            "{shown}"
        );
    }
}

#[test]
fn json_conversion_replaces_only_values_that_are_too_deep() {
    let schema = schema();
    let deep = |levels: usize| {
        let (open, close) = (r#"{"arrayValue":{"values":["#, "]}}");
        let value = format!("{}{}{}", open.repeat(levels), "{}", close.repeat(levels));
        format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"name":"n","attributes":[
               {{"key":"a","value":{value}}}, {{"key":"b"}}]}}]}}]}}]}}"#
        )
    };
    for (levels, too_deep) in [(40, 0), (60, 1), (100_000, 1)] {
        let json = deep(levels);
        let ConvertedJson { wire, repairs, .. } =
            json_to_protobuf(&schema, schema.traces, json.as_bytes()).unwrap();
        assert_eq!(repairs.too_deep, too_deep, "{levels}");
        let message = ExportTraceServiceRequest::decode(&*wire).unwrap();
        let span = &message.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!((&*span.name, span.attributes.len()), ("n", 2));
    }
}

#[test]
fn json_conversion_keeps_every_kind_of_value() {
    let attributes = json!([
        {"key": "text", "value": {"stringValue": "a\n\u{e9}\u{1f600}\"\\"}},
        {"key": "yes", "value": {"boolValue": true}},
        {"key": "int", "value": {"intValue": "-9223372036854775808"}},
        {"key": "small", "value": {"intValue": -7}},
        {"key": "exponent", "value": {"intValue": 1e3}},
        {"key": "huge", "value": {"intValue": 1e300}},
        {"key": "half", "value": {"intValue": 0.5}},
        {"key": "double", "value": {"doubleValue": 2.5}},
        {"key": "whole", "value": {"doubleValue": 3}},
        {"key": "infinite", "value": {"doubleValue": "-Infinity"}},
        {"key": "bytes", "value": {"bytesValue": "+/8="}},
        {"key": "url bytes", "value": {"bytesValue": "-_8"}},
        {"key": "list", "value": {"arrayValue": {"values": [{"intValue": 1}, null, {}]}}},
        {"key": "map", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"stringValue": "v"}}]}}},
        {"key": "none", "value": null},
    ]);
    let json =
        json!({"resourceSpans": [{"scopeSpans": [{"spans": [{"attributes": attributes}]}]}]});
    let empty = || AnyValue { value: None };
    let list = ArrayValue {
        values: vec![
            AnyValue {
                value: Some(Value::IntValue(1)),
            },
            empty(),
            empty(),
        ],
    };
    let map = KeyValueList {
        values: vec![text("k", "v")],
    };
    let want = with_attributes(vec![
        text("text", "a\n\u{e9}\u{1f600}\"\\"),
        attribute("yes", Value::BoolValue(true)),
        attribute("int", Value::IntValue(i64::MIN)),
        attribute("small", Value::IntValue(-7)),
        attribute("exponent", Value::IntValue(1_000)),
        attribute("huge", Value::DoubleValue(1e300)),
        attribute("half", Value::DoubleValue(0.5)),
        attribute("double", Value::DoubleValue(2.5)),
        attribute("whole", Value::DoubleValue(3.0)),
        attribute("infinite", Value::DoubleValue(f64::NEG_INFINITY)),
        attribute("bytes", Value::BytesValue(vec![0xfb, 0xff])),
        attribute("url bytes", Value::BytesValue(vec![0xfb, 0xff])),
        attribute("list", Value::ArrayValue(list)),
        attribute("map", Value::KvlistValue(map)),
        KeyValue {
            key: "none".into(),
            ..Default::default()
        },
    ]);
    assert_eq!(of_json(&json), Ok((want, WireRepairs::default())));
}

#[test]
fn json_ids_are_read_from_hex_and_base64() {
    let id = |trace: &str, span: &str| {
        let span = json!({"traceId": trace, "spanId": span});
        let json = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]});
        let (message, _) = of_json(&json).unwrap();
        let span = &message.resource_spans[0].scope_spans[0].spans[0];
        (span.trace_id.clone(), span.span_id.clone())
    };
    let bytes: Vec<u8> = (0xa0..0xb0).collect();
    let want = (bytes.clone(), bytes[..8].to_vec());
    let hex = "a0a1a2a3a4a5a6a7a8a9aAaBaCaDaEaF";
    assert_eq!(id(hex, &hex[..16].to_uppercase()), want);
    assert_eq!(id("oKGio6SlpqeoqaqrrK2urw==", "oKGio6Slpqc="), want);
    // Other text is kept, so that the mapping refuses only its span.
    assert_eq!(id("xyz", "12345"), (b"xyz".to_vec(), b"12345".to_vec()));
}

#[test]
fn a_json_error_names_the_position_of_the_fault() {
    let schema = schema();
    for (json, offset) in [
        ("", 0),
        ("null", 0),
        ("[", 0),
        ("{", 1),
        ("{} x", 3),
        (r#"{"resourceSpans""#, 16),
        (r#"{"resourceSpans":{}}"#, 17),
        (r#"{"resourceSpans":[}"#, 18),
        (r#"{"resourceSpans":[{"schemaUrl":1}]}"#, 31),
        (r#"{"resourceSpans":[{"schemaUrl":"a"#, 33),
        (r#"{"resourceSpans":[{"schemaUrl":"\x"}]}"#, 32),
        ("{\"resourceSpans\":[{\"schemaUrl\":\"\n\"}]}", 32),
        (r#"{"x":[1,{"y":[}]}"#, 14),
        (r#"{"x":[1 2]}"#, 8),
        (r#"{"x":tru}"#, 5),
    ] {
        let error = json_to_protobuf(&schema, schema.traces, json.as_bytes()).unwrap_err();
        assert_eq!(
            (error.line, error.column),
            (1, offset + 1),
            "{json}: {error}"
        );
    }
}

#[test]
fn a_json_error_names_the_field_and_its_place() {
    let schema = schema();
    let span = r#"{"name": "a",
  "kind": {}}"#;
    let json = format!(
        r#"{{"resourceSpans": [{{}}, {{
  "scopeSpans": [{{"spans": [{{}}, {span}]}}]}}]}}"#
    );
    let error = json_to_protobuf(&schema, schema.traces, json.as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected a number in resourceSpans[1].scopeSpans[0].spans[1].kind (line 3, column 11)"
    );
    let error = json_to_protobuf(&schema, schema.traces, b"[]").unwrap_err();
    assert_eq!(error.to_string(), "expected an object (line 1, column 1)");
    // Names that OTLP does not have are content.
    let error = json_to_protobuf(&schema, schema.traces, br#"{"S3CRET": tru}"#).unwrap_err();
    assert_eq!(error.field, "");
}

#[test]
fn fields_may_have_their_names_in_protobuf() {
    let snake = json!({"resource_spans": [{"scope_spans": [{"spans": [{
        "trace_id": "0102030405060708090a0b0c0d0e0f10", "start_time_unix_nano": "7",
        "attributes": [{"key": "a", "value": {"string_value": "b"}}]}]}], "schema_url": "s"}]});
    let camel = json!({"resourceSpans": [{"scopeSpans": [{"spans": [{
        "traceId": "0102030405060708090a0b0c0d0e0f10", "startTimeUnixNano": "7",
        "attributes": [{"key": "a", "value": {"stringValue": "b"}}]}]}], "schemaUrl": "s"}]});
    let message = of_json(&snake).unwrap().0;
    assert_eq!(message, of_json(&camel).unwrap().0);
    assert_eq!(
        message.resource_spans[0].scope_spans[0].spans[0].start_time_unix_nano,
        7
    );
}

#[test]
fn invalid_utf8_and_lone_surrogates_in_json_are_replaced() {
    let schema = schema();
    let named = |name: &[u8]| {
        let json = [br#"{"resourceSpans":[{"schemaUrl":""#, name, br#""}]}"#];
        let ConvertedJson { wire, repairs, .. } =
            json_to_protobuf(&schema, schema.traces, &json.concat()).unwrap();
        let mut message = ExportTraceServiceRequest::decode(&*wire).unwrap();
        (message.resource_spans.remove(0).schema_url, repairs)
    };
    let surrogates = |surrogates| WireRepairs {
        surrogates,
        ..Default::default()
    };
    assert_eq!(named(br"\ud83d\ude00"), ("\u{1f600}".into(), surrogates(0)));
    assert_eq!(named(br"\ud83d"), ("\u{fffd}".into(), surrogates(1)));
    assert_eq!(
        named(br"\ude00\ud83d"),
        ("\u{fffd}\u{fffd}".into(), surrogates(2))
    );
    let (text, repairs) = named(b"a\xc3b");
    assert_eq!((&*text, repairs.invalid_utf8), ("a\u{fffd}b", 1));
    assert_eq!(named(br"\u0000").0, "\0");
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        ".{0,8}".prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        (-1e12..1e12).prop_map(Value::DoubleValue),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(Value::BytesValue),
    ];
    let value = |value| AnyValue { value: Some(value) };
    prop_oneof![
        1 => Just(AnyValue { value: None }),
        9 => leaf.prop_map(value),
    ]
    .prop_recursive(4, 16, 4, move |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4)
            .prop_map(move |values| value(Value::ArrayValue(ArrayValue { values })));
        let map = prop::collection::vec((".{0,4}", inner), 0..4).prop_map(move |pairs| {
            let values = pairs.into_iter().map(|(key, value)| KeyValue {
                key,
                value: Some(value),
                ..Default::default()
            });
            value(Value::KvlistValue(KeyValueList {
                values: values.collect(),
            }))
        });
        prop_oneof![list, map]
    })
}

fn any_span() -> impl Strategy<Value = Span> {
    let id = |len| prop::collection::vec(any::<u8>(), len);
    let attributes = prop::collection::vec((".{0,8}", any_value()), 0..5);
    (
        id(16),
        id(8),
        ".{0,12}",
        any::<[u64; 2]>(),
        0..6,
        attributes,
    )
        .prop_map(
            |(trace_id, span_id, name, [start, end], kind, attributes)| Span {
                trace_id,
                span_id,
                name,
                kind,
                start_time_unix_nano: start,
                end_time_unix_nano: end,
                attributes: attributes
                    .into_iter()
                    .map(|(key, value)| KeyValue {
                        key,
                        value: Some(value),
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            },
        )
}

proptest! {
    #[test]
    fn json_and_protobuf_are_equivalent(spans in prop::collection::vec(any_span(), 0..4)) {
        let message = request(spans);
        let json = serde_json::to_vec(&message).unwrap();
        let schema = schema();
        let ConvertedJson { wire, repairs, .. } = json_to_protobuf(&schema, schema.traces, &json).unwrap();
        prop_assert_eq!(repairs, WireRepairs::default());
        prop_assert_eq!(ExportTraceServiceRequest::decode(&*wire).unwrap(), message);
    }

    #[test]
    fn repairing_a_valid_request_changes_nothing(spans in prop::collection::vec(any_span(), 0..4)) {
        let message = request(spans);
        let schema = schema();
        let bytes = message.encode_to_vec();
        let (repaired, repairs) = repair(&schema, schema.traces, &bytes).unwrap();
        prop_assert_eq!(repairs, WireRepairs::default());
        prop_assert_eq!(ExportTraceServiceRequest::decode(&*repaired).unwrap(), message);
    }
}
