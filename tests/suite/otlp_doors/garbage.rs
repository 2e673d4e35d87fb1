//! Requests that no SDK should send, although some do. Each harms only itself.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValueList};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use prost::Message as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{accepts_a_span, export_bytes, new_trace, run_of, traces};
use crate::support::daemon::Daemon;
use crate::support::otlp::{attribute, post, request, span, text, value};
use crate::support::pg;
use crate::support::tables::{content, count};

const PB: &[&str] = &["Content-Type: application/x-protobuf"];

/// Sends odd spans, each between two good spans. Checks that the good spans are
/// stored, and that sending everything again in another order and in other
/// requests changes nothing.
async fn send_among_neighbours(daemon: &Daemon, conn: &mut PgConnection, odd: Vec<Span>) {
    let neighbours = new_trace();
    let mut spans = vec![span(neighbours, 1)];
    for (number, odd) in (2..).zip(odd) {
        spans.push(odd);
        spans.push(span(neighbours, number));
    }
    let good = (spans.len() / 2 + 1) as i64;
    let mut client = traces(daemon).await;
    client.export(request(spans.clone())).await.unwrap();
    let steps: i64 = sqlx::query_scalar("SELECT count(*) FROM agent_steps WHERE run_id = $1")
        .bind(run_of(neighbours))
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    assert_eq!(steps, good);
    let runs: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM agent_runs ORDER BY id")
        .fetch_all(&mut *conn)
        .await
        .unwrap();
    let rows = content(conn, &runs, &[]).await;
    spans.reverse();
    for few in spans.chunks(spans.len() / 12) {
        client.export(request(few.to_vec())).await.unwrap();
    }
    assert_eq!(content(conn, &runs, &[]).await, rows);
}

/// Scenario: ids that are all zeros, too short or too long; one span id with
/// three contents; parents that are the span itself, each other, or missing.
/// Guarantees: the good neighbours are stored, and everything may be sent again in
/// any order.
#[tokio::test(flavor = "multi_thread")]
async fn odd_ids_and_parents() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let trace = new_trace();
    let with = |number, change: fn(&mut Span)| {
        let mut span = span(trace, number);
        change(&mut span);
        span
    };
    let id = |number: u64| number.to_be_bytes().to_vec();
    let mut odd = vec![
        with(1, |s| s.trace_id = vec![0; 16]),
        with(2, |s| s.span_id = vec![0; 8]),
        with(3, |s| s.trace_id.clear()),
        with(4, |s| s.span_id.clear()),
        with(5, |s| s.span_id.push(1)),
        with(6, |s| s.parent_span_id = vec![0; 8]),
        with(7, |s| s.parent_span_id = vec![1, 2, 3]),
        with(8, |s| s.parent_span_id = vec![0xee; 8]),
        with(9, |s| s.parent_span_id = s.span_id.clone()),
        with(20, |_| {}),
        with(20, |s| s.name = "another name".into()),
        with(20, |s| s.attributes = vec![text("other", "content")]),
    ];
    // A cycle of three.
    for (number, parent) in [(10, 12), (11, 10), (12, 11)] {
        let mut span = span(trace, number);
        span.parent_span_id = id(parent);
        odd.push(span);
    }
    send_among_neighbours(&daemon, &mut conn, odd).await;
    daemon.finish().await;
}

/// Scenario: times that are zero, reversed, or at both ends of the 64-bit range.
/// Guarantees: as for odd ids.
#[tokio::test(flavor = "multi_thread")]
async fn odd_times() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let trace = new_trace();
    let now = span(trace, 1).start_time_unix_nano;
    let odd = [
        (0, 0),
        (now, 0),
        (0, now),
        (now, now - 1),
        (now, 1),
        (now, now + 100 * 365 * 86_400 * 1_000_000_000),
        (u64::MAX, u64::MAX),
        (now, u64::MAX),
        (1, i64::MAX as u64),
    ];
    let odd = (1..).zip(odd).map(|(number, (start, end))| {
        let mut span = span(trace, number);
        (span.start_time_unix_nano, span.end_time_unix_nano) = (start, end);
        span.events = vec![Event {
            time_unix_nano: end,
            name: "exception".into(),
            ..Default::default()
        }];
        span
    });
    send_among_neighbours(&daemon, &mut conn, odd.collect()).await;
    daemon.finish().await;
}

/// Scenario: attributes of every type in every position, nested deep; NUL in text;
/// keys that are empty, repeated, or have two types; known keys with values of the
/// wrong type; invalid statuses and kinds.
/// Guarantees: as for odd ids.
#[tokio::test(flavor = "multi_thread")]
async fn odd_attributes() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let trace = new_trace();
    let leaves = || {
        vec![
            value(Value::StringValue("a\0b".into())),
            value(Value::BoolValue(true)),
            value(Value::IntValue(i64::MIN)),
            value(Value::DoubleValue(f64::NAN)),
            value(Value::DoubleValue(f64::NEG_INFINITY)),
            value(Value::BytesValue(vec![0, 0xff])),
            value(Value::StringValueStrindex(7)),
            AnyValue::default(),
        ]
    };
    let deep = |levels: usize| {
        (0..levels).fold(
            value(Value::ArrayValue(ArrayValue { values: leaves() })),
            |inner, at| {
                if at % 2 == 0 {
                    let values = vec![opentelemetry_proto::tonic::common::v1::KeyValue {
                        key: "k".into(),
                        value: Some(inner),
                        ..Default::default()
                    }];
                    value(Value::KvlistValue(KeyValueList { values }))
                } else {
                    let values = vec![inner, AnyValue::default()];
                    value(Value::ArrayValue(ArrayValue { values }))
                }
            },
        )
    };
    let known = [
        "openinference.span.kind",
        "gen_ai.operation.name",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.usage.input_tokens",
        "gen_ai.response.finish_reasons",
        "llm.input_messages.0.message.content",
        "llm.input_messages.99999999999.message.content",
        "llm.input_messages.x.message.tool_calls.-1.tool_call.function.name",
        "llm.token_count.prompt",
        "ai.operationId",
        "ai.prompt.messages",
        "langfuse.observation.usage_details",
        "mlflow.spanType",
        "logfire.msg",
        "session.id",
        "gen_ai.conversation.id",
        "metadata",
        "",
        "a\0b",
    ];
    let mut odd = Vec::new();
    for (number, key) in (1..).zip(known) {
        let mut odd_span = span(trace, number);
        for (at, value) in (0..).zip(leaves().into_iter().chain([deep(3), deep(30), deep(500)])) {
            let mut attribute = text(key, "");
            attribute.value = Some(value.clone());
            // Each value also alone in a span.
            let mut alone = span(trace, 1_000 * number + at);
            alone.attributes.push(attribute.clone());
            odd_span.attributes.push(attribute.clone());
            odd.push(alone);
            odd_span.events.push(Event {
                name: "gen_ai.user.message".into(),
                attributes: vec![attribute.clone()],
                ..Default::default()
            });
            odd_span.links.push(Link {
                trace_id: vec![1],
                attributes: vec![attribute],
                ..Default::default()
            });
        }
        odd_span.kind = -5;
        odd_span.status = Some(Status {
            code: 99,
            message: "a\0b".into(),
        });
        odd.push(odd_span);
    }
    for (number, json) in (500_000..).zip([
        "{",
        "[[[",
        "null",
        "[null]",
        "{\"a\":1,\"a\":2}",
        "\"\\ud800\"",
        "[{\"role\":5}]",
        "[{\"role\":\"user\",\"parts\":{}}]",
        "{\"prompt_tokens\":-1}",
        "{\"input\":1e400}",
    ]) {
        let mut span = span(trace, number);
        span.attributes.extend(known.map(|key| text(key, json)));
        odd.push(span);
    }
    let mut numbers = span(trace, 600_000);
    for key in known {
        for number in [-1, i64::MAX] {
            numbers
                .attributes
                .push(attribute(key, Value::IntValue(number)));
        }
    }
    odd.push(numbers);
    send_among_neighbours(&daemon, &mut conn, odd).await;
    let metrics = daemon.metrics().await;
    assert!(metrics["runtraced_cut_values_total"] > 0, "{metrics:?}");
    daemon.finish().await;
}

/// Scenario: text that is not UTF-8, which protobuf forbids, in a name, a key
/// and a value, over both protocols.
/// Guarantees: it is repaired, counted and reported. Its neighbours and the rest
/// of its span are stored.
#[tokio::test(flavor = "multi_thread")]
async fn text_that_is_not_utf8_is_repaired() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let trace = new_trace();
    let mut odd = span(trace, 2);
    odd.name = "spoilt-name".into();
    odd.attributes.push(text("spoilt-key", "spoilt-value"));
    let message = request(vec![span(trace, 1), odd, span(trace, 3)]);
    let mut bytes = message.encode_to_vec();
    let spoilt: Vec<_> = bytes
        .windows(7)
        .enumerate()
        .filter(|(_, window)| window == b"spoilt-")
        .map(|(at, _)| at)
        .collect();
    for at in &spoilt {
        bytes[at + 6] = 0xc3;
    }
    assert_eq!(spoilt.len(), 3);
    assert!(ExportTraceServiceRequest::decode(&*bytes).is_err());
    let partial = export_bytes(&daemon, &bytes, None).await.unwrap();
    let partial = partial.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 0);
    assert!(partial.error_message.contains("3 texts"), "{partial:?}");
    let answer = post(&daemon, "/v1/traces", PB, &bytes).await;
    assert_eq!(answer.status, 200);
    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM agent_steps ORDER BY started_at")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(count(&mut conn, "agent_runs").await, 1);
    let metrics = daemon.metrics().await;
    assert_eq!(metrics["runtraced_repaired_utf8_total"], 6);
    daemon.finish().await;
}

/// Scenario: compressed bodies that are cut off, in another format, or
/// decompression bombs.
/// Guarantees: an immediate answer with the reason, in little memory.
#[tokio::test(flavor = "multi_thread")]
async fn bad_compression() {
    use crate::support::process::rss_kib;
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let good = request(vec![span(new_trace(), 1)]).encode_to_vec();
    let zipped = super::encodings::gzip(&good);
    let (before, _) = rss_kib(daemon.pid());
    // Zeros are the smallest decompression bomb: 200 MB in 200 KB.
    let bomb = super::encodings::gzip(&vec![0; 200 << 20]);
    for (body, code) in [
        (&zipped[..zipped.len() - 4], 400),
        (&zipped[..10], 400),
        (&good[..], 400),
        (&bomb[..], 413),
    ] {
        let headers = [PB[0], "Content-Encoding: gzip"];
        let answer = post(&daemon, "/v1/traces", &headers, body).await;
        assert_eq!(answer.status, code, "{}", answer.text());
        let want = match code {
            400 => tonic::Code::InvalidArgument,
            _ => tonic::Code::ResourceExhausted,
        };
        let status = export_bytes(&daemon, body, Some("gzip")).await.unwrap_err();
        assert_eq!(status.code(), want, "{status}");
    }
    let (_, peak) = rss_kib(daemon.pid());
    // The memory of a body at the limit, and of the buffer that it grew in.
    assert!(peak < before + (160 << 10), "{before} KiB, then {peak} KiB");
    accepts_a_span(&daemon).await;
    daemon.finish().await;
}
