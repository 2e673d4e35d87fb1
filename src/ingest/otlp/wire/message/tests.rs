//! Reading in place gives the same result as decoding with prost.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{self as common, any_value};
use opentelemetry_proto::tonic::{logs::v1 as logs, resource::v1 as resource, trace::v1 as trace};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

use super::super::fields::{MalformedProtobuf, WireMessage};
use super::*;

fn value(any: &common::AnyValue) -> Option<AnyValue<'_>> {
    Some(match any.value.as_ref()? {
        any_value::Value::StringValue(text) => AnyValue::String(text),
        any_value::Value::BoolValue(flag) => AnyValue::Bool(*flag),
        any_value::Value::IntValue(number) => AnyValue::Int(*number),
        any_value::Value::DoubleValue(number) => AnyValue::Double(*number),
        any_value::Value::ArrayValue(list) => {
            AnyValue::Array(list.values.iter().map(value).collect())
        }
        any_value::Value::KvlistValue(list) => AnyValue::Kvlist(attributes(&list.values)),
        any_value::Value::BytesValue(bytes) => AnyValue::Bytes(bytes),
        any_value::Value::StringValueStrindex(_) => return None,
    })
}

fn attributes(pairs: &[common::KeyValue]) -> Vec<KeyValue<'_>> {
    pairs
        .iter()
        .map(|pair| KeyValue {
            key: &pair.key,
            value: pair.value.as_ref().and_then(value),
        })
        .collect()
}

fn span(span: &trace::Span) -> Span<'_> {
    Span {
        trace_id: &span.trace_id,
        span_id: &span.span_id,
        parent_span_id: &span.parent_span_id,
        flags: span.flags,
        name: &span.name,
        kind: span.kind,
        start_time_unix_nano: span.start_time_unix_nano,
        end_time_unix_nano: span.end_time_unix_nano,
        attributes: attributes(&span.attributes),
        dropped_attributes_count: span.dropped_attributes_count,
        events: span.events.iter().map(event).collect(),
        dropped_events_count: span.dropped_events_count,
        links: span.links.iter().map(link).collect(),
        dropped_links_count: span.dropped_links_count,
        status: span.status.as_ref().map(|status| SpanStatus {
            message: &status.message,
            code: status.code,
        }),
    }
}

fn event(event: &trace::span::Event) -> SpanEvent<'_> {
    SpanEvent {
        time_unix_nano: event.time_unix_nano,
        name: &event.name,
        attributes: attributes(&event.attributes),
    }
}

fn link(link: &trace::span::Link) -> SpanLink<'_> {
    SpanLink {
        trace_id: &link.trace_id,
        span_id: &link.span_id,
        attributes: attributes(&link.attributes),
    }
}

fn record(record: &logs::LogRecord) -> LogRecord<'_> {
    LogRecord {
        time_unix_nano: record.time_unix_nano,
        observed_time_unix_nano: record.observed_time_unix_nano,
        body: record.body.as_ref().and_then(value),
        attributes: attributes(&record.attributes),
        trace_id: &record.trace_id,
        span_id: &record.span_id,
        event_name: &record.event_name,
    }
}

fn of_resource(resource: Option<&resource::Resource>) -> Option<Resource<'_>> {
    resource.map(|resource| Resource {
        attributes: attributes(&resource.attributes),
    })
}

fn of_scope(scope: Option<&common::InstrumentationScope>) -> Option<InstrumentationScope<'_>> {
    scope.map(|scope| InstrumentationScope {
        name: &scope.name,
        version: &scope.version,
        attributes: attributes(&scope.attributes),
    })
}

/// Each record with its resource and scope.
type Flat<'a, R> = Vec<(Option<Resource<'a>>, Option<InstrumentationScope<'a>>, R)>;

fn ours<'a, R: WireMessage<'a>>(bytes: &'a [u8]) -> Result<Flat<'a, R>, MalformedProtobuf> {
    let mut flat = Vec::new();
    for of in ExportRequest::read(bytes)?.resources {
        for scope in of.scopes {
            for record in scope.records {
                let record = R::read(record)?;
                flat.push((of.resource.clone(), scope.scope.clone(), record));
            }
        }
    }
    Ok(flat)
}

fn spans(request: &ExportTraceServiceRequest) -> Flat<'_, Span<'_>> {
    let mut flat = Vec::new();
    for of in &request.resource_spans {
        for scope in &of.scope_spans {
            for each in &scope.spans {
                let scope = of_scope(scope.scope.as_ref());
                flat.push((of_resource(of.resource.as_ref()), scope, span(each)));
            }
        }
    }
    flat
}

fn records(request: &ExportLogsServiceRequest) -> Flat<'_, LogRecord<'_>> {
    let mut flat = Vec::new();
    for of in &request.resource_logs {
        for scope in &of.scope_logs {
            for each in &scope.log_records {
                let scope = of_scope(scope.scope.as_ref());
                flat.push((of_resource(of.resource.as_ref()), scope, record(each)));
            }
        }
    }
    flat
}

fn any_value() -> impl Strategy<Value = common::AnyValue> {
    let some = |value| common::AnyValue { value: Some(value) };
    let leaf = prop_oneof![
        ".{0,8}".prop_map(any_value::Value::StringValue),
        any::<bool>().prop_map(any_value::Value::BoolValue),
        any::<i64>().prop_map(any_value::Value::IntValue),
        (-1e12..1e12).prop_map(any_value::Value::DoubleValue),
        vec(any::<u8>(), 0..8).prop_map(any_value::Value::BytesValue),
    ];
    let none = Just(common::AnyValue { value: None });
    prop_oneof![1 => none, 9 => leaf.prop_map(some)].prop_recursive(3, 8, 3, move |inner| {
        let list = vec(inner.clone(), 0..3).prop_map(move |values| {
            let list = common::ArrayValue { values };
            some(any_value::Value::ArrayValue(list))
        });
        let map = any_attributes(inner).prop_map(move |values| {
            let list = common::KeyValueList { values };
            some(any_value::Value::KvlistValue(list))
        });
        prop_oneof![list, map]
    })
}

fn any_attributes(
    value: impl Strategy<Value = common::AnyValue>,
) -> impl Strategy<Value = Vec<common::KeyValue>> {
    let pair = (".{0,4}", prop::option::of(value)).prop_map(|(key, value)| common::KeyValue {
        key,
        value,
        ..Default::default()
    });
    vec(pair, 0..3)
}

fn id() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..17)
}

fn any_span() -> impl Strategy<Value = trace::Span> {
    let event = (any::<u64>(), ".{0,8}", any_attributes(any_value()));
    let event = event.prop_map(|(time_unix_nano, name, attributes)| trace::span::Event {
        time_unix_nano,
        name,
        attributes,
        dropped_attributes_count: 3,
    });
    let link = (id(), id(), any_attributes(any_value()));
    let link = link.prop_map(|(trace_id, span_id, attributes)| trace::span::Link {
        trace_id,
        span_id,
        trace_state: "a=b".into(),
        attributes,
        dropped_attributes_count: 4,
        flags: 5,
    });
    let status = (".{0,8}", any::<i32>());
    let status = status.prop_map(|(message, code)| trace::Status { message, code });
    let lists = (
        any_attributes(any_value()),
        vec(event, 0..2),
        vec(link, 0..2),
    );
    let rest = (any::<[u32; 4]>(), any::<i32>(), any::<[u64; 2]>());
    (
        id(),
        id(),
        id(),
        ".{0,8}",
        lists,
        prop::option::of(status),
        rest,
    )
        .prop_map(
            |(trace_id, span_id, parent_span_id, name, lists, status, rest)| {
                let ((attributes, events, links), (counts, kind, times)) = (lists, rest);
                trace::Span {
                    trace_id,
                    span_id,
                    trace_state: "c=d".into(),
                    parent_span_id,
                    flags: counts[0],
                    name,
                    kind,
                    start_time_unix_nano: times[0],
                    end_time_unix_nano: times[1],
                    attributes,
                    dropped_attributes_count: counts[1],
                    events,
                    dropped_events_count: counts[2],
                    links,
                    dropped_links_count: counts[3],
                    status,
                }
            },
        )
}

fn any_record() -> impl Strategy<Value = logs::LogRecord> {
    let body = prop::option::of(any_value());
    let parts = (
        any::<[u64; 2]>(),
        body,
        any_attributes(any_value()),
        id(),
        id(),
        ".{0,8}",
    );
    parts.prop_map(
        |(times, body, attributes, trace_id, span_id, event_name)| logs::LogRecord {
            time_unix_nano: times[0],
            observed_time_unix_nano: times[1],
            severity_number: 9,
            severity_text: "INFO".into(),
            body,
            attributes,
            dropped_attributes_count: 1,
            flags: 1,
            trace_id,
            span_id,
            event_name,
        },
    )
}

/// A resource and a scope.
fn origin() -> impl Strategy<Value = (resource::Resource, common::InstrumentationScope)> {
    let resource = any_attributes(any_value()).prop_map(|attributes| resource::Resource {
        attributes,
        dropped_attributes_count: 1,
        ..Default::default()
    });
    let scope = (".{0,4}", ".{0,4}", any_attributes(any_value()));
    let scope = scope.prop_map(|(name, version, attributes)| common::InstrumentationScope {
        name,
        version,
        attributes,
        dropped_attributes_count: 2,
    });
    (resource, scope)
}

fn traces() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let each = (prop::option::of(origin()), vec(any_span(), 0..3));
    vec(each, 0..3).prop_map(|all| ExportTraceServiceRequest {
        resource_spans: all
            .into_iter()
            .map(|(origin, spans)| {
                let (resource, scope) = origin.unzip();
                let scope_spans = trace::ScopeSpans {
                    scope,
                    spans,
                    schema_url: "s".into(),
                };
                trace::ResourceSpans {
                    resource,
                    scope_spans: vec![scope_spans.clone(), scope_spans],
                    schema_url: "r".into(),
                }
            })
            .collect(),
    })
}

proptest! {
    #[test]
    fn spans_match_prost(request in traces()) {
        let bytes = request.encode_to_vec();
        prop_assert_eq!(ours(&bytes), Ok(spans(&request)));
    }

    /// A message that occurs twice in a field is merged, for origins and values.
    #[test]
    fn merged_messages_match_prost(one in origin(), other in origin(), values in vec(any_value(), 2)) {
        let parts = |parts: [Vec<u8>; 2]| parts.concat();
        let bytes = parts([&one, &other].map(|(resource, _)| resource.encode_to_vec()));
        let told = resource::Resource::decode(&*bytes).unwrap();
        prop_assert_eq!(Resource::read(&bytes).ok(), of_resource(Some(&told)));
        let bytes = parts([&one, &other].map(|(_, scope)| scope.encode_to_vec()));
        let told = common::InstrumentationScope::decode(&*bytes).unwrap();
        prop_assert_eq!(InstrumentationScope::read(&bytes).ok(), of_scope(Some(&told)));
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.encode_to_vec()).collect();
        let told = common::AnyValue::decode(&*bytes).unwrap();
        prop_assert_eq!(Option::<AnyValue<'_>>::read(&bytes), Ok(value(&told)));
    }

    #[test]
    fn log_records_match_prost(
        origin in prop::option::of(origin()), log_records in vec(any_record(), 0..3),
    ) {
        let (resource, scope) = origin.unzip();
        let scope_logs = vec![logs::ScopeLogs { scope, log_records, schema_url: "s".into() }];
        let of_resource = logs::ResourceLogs { resource, scope_logs, schema_url: "r".into() };
        let request = ExportLogsServiceRequest { resource_logs: vec![of_resource] };
        let bytes = request.encode_to_vec();
        prop_assert_eq!(ours(&bytes), Ok(records(&request)));
    }

    /// If prost can still decode changed bytes, reading in place gives the same.
    #[test]
    fn changed_bytes_match_prost(
        one in any_span(), other in any_span(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        // Two messages in a row are one: lists are appended, numbers and texts replaced.
        let mut bytes = [one.encode_to_vec(), other.encode_to_vec()].concat();
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        if let Ok(told) = trace::Span::decode(&*bytes) {
            // NaN is not equal to itself.
            let read = Span::read(&bytes).map(|read| format!("{read:?}"));
            prop_assert_eq!(read, Ok(format!("{:?}", span(&told))));
        }
    }
}

#[test]
fn cut_off_fields_and_wrong_types_are_malformed() {
    let status = trace::Status {
        message: "late".into(),
        code: 2,
    };
    let one = trace::Span {
        name: "n".into(),
        kind: 1,
        start_time_unix_nano: 1,
        flags: 1,
        status: Some(status),
        ..Default::default()
    };
    let bytes = one.encode_to_vec();
    let whole = |len: usize| trace::Span::decode(&bytes[..len]).is_ok();
    for len in 0..bytes.len() {
        assert_eq!(Span::read(&bytes[..len]).is_ok(), whole(len), "{len}");
    }
    // A varint for each field of another type, and another type for each varint field.
    for number in [1_u8, 2, 4, 5, 7, 8, 9, 11, 13, 15] {
        assert_eq!(
            Span::read(&[number << 3, 1]),
            Err(MalformedProtobuf),
            "{number}"
        );
    }
    for number in [6_u8, 10, 12, 14] {
        assert_eq!(
            Span::read(&[number << 3 | 2, 0]),
            Err(MalformedProtobuf),
            "{number}"
        );
    }
    let not_utf8 = [5 << 3 | 2, 1, 0xff];
    assert_eq!(Span::read(&not_utf8), Err(MalformedProtobuf));
    // An unknown group is skipped; a known field that is a group is malformed.
    assert_eq!(Span::read(&[0xa3, 0x06, 0xa4, 0x06]), Ok(Span::default()));
    assert_eq!(
        Span::read(&[5 << 3 | 3, 5 << 3 | 4]),
        Err(MalformedProtobuf)
    );
}

#[test]
fn resetting_a_span_discards_its_fields() {
    let first = trace::Span {
        name: "first".into(),
        attributes: vec![common::KeyValue::default()],
        events: vec![trace::span::Event::default()],
        status: Some(trace::Status::default()),
        ..Default::default()
    };
    let (first, empty) = (first.encode_to_vec(), Vec::new());
    let mut span = Span::default();
    span.reset_and_read(&first).unwrap();
    assert_eq!((span.name, span.attributes.len()), ("first", 1));
    span.reset_and_read(&empty).unwrap();
    assert_eq!(span, Span::default());
}
