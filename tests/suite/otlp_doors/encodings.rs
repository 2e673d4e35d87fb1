//! The same spans in every encoding and over both protocols.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use prost::Message as _;
use serde_json::json;
use tonic::codec::CompressionEncoding;

use super::{new_trace, run_of, traces};
use crate::support::daemon::Daemon;
use crate::support::otlp::{JSON, PROTOBUF, post, request, span};
use crate::support::pg;
use crate::support::tables::{content, count};

pub(super) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn zlib(body: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// Scenario: one trace over gRPC and HTTP, as protobuf and JSON, plain and in
/// every compression.
/// Guarantees: each request succeeds completely. After the first, none changes a
/// row.
#[tokio::test(flavor = "multi_thread")]
async fn every_encoding_gives_the_same_rows() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let trace = new_trace();
    let message = request((1..=5).map(|number| span(trace, number)).collect());
    let answer = traces(&daemon).await.export(message.clone()).await.unwrap();
    assert_eq!(answer.into_inner().partial_success, None);
    let rows = content(&mut conn, &[run_of(trace)], &[]).await;
    assert!(rows.len() > 5, "{rows:?}");

    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let mut client = traces(&daemon).await.send_compressed(encoding);
        let answer = client.export(message.clone()).await.unwrap();
        assert_eq!(answer.into_inner().partial_success, None);
    }
    let protobuf = message.encode_to_vec();
    let json = serde_json::to_vec(&message).unwrap();
    for (kind, body, empty) in [(PROTOBUF, protobuf, &b""[..]), (JSON, json, b"{}")] {
        for (encoding, body) in [
            ("identity", body.clone()),
            ("gzip", gzip(&body)),
            ("deflate", zlib(&body)),
            ("deflate", deflate(&body)),
            ("zstd", zstd::encode_all(&*body, 3).unwrap()),
        ] {
            let headers = [
                format!("Content-Type: {kind}"),
                format!("Content-Encoding: {encoding}"),
            ];
            let answer = post(
                &daemon,
                "/v1/traces",
                &headers.each_ref().map(|h| &**h),
                &body,
            )
            .await;
            assert_eq!(answer.status, 200, "{kind} {encoding}: {}", answer.text());
            assert_eq!(answer.header("content-type"), kind);
            assert_eq!(answer.body, empty, "{kind} {encoding}: {}", answer.text());
        }
    }
    assert_eq!(content(&mut conn, &[run_of(trace)], &[]).await, rows);
    daemon.finish().await;
}

/// Scenario: JSON as SDKs write it and as the specification allows it: hex in
/// either case, integers as text or numbers, enum values by number or name,
/// unknown fields, numbers in unusual notations, a lone surrogate.
/// Guarantees: all of it is accepted with the right values.
#[tokio::test(flavor = "multi_thread")]
async fn json_in_all_its_variants_is_accepted() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let trace = new_trace();
    let hex = trace.simple().to_string();
    let span = |id: &str, start: serde_json::Value, kind: serde_json::Value, hex: &str| {
        json!({
            "traceId": hex, "spanId": id, "parentSpanId": "", "name": "a \u{e9}",
            "kind": kind, "startTimeUnixNano": start, "endTimeUnixNano": "1767225601000000000",
            "attributes": [
                {"key": "openinference.span.kind", "value": {"stringValue": "TOOL"}},
                {"key": "int", "value": {"intValue": "12"}},
                {"key": "number", "value": {"intValue": 12}},
                {"key": "huge", "value": {"intValue": 1e21}},
                {"key": "nan", "value": {"doubleValue": "NaN"}},
                {"key": "bytes", "value": {"bytesValue": "aGk="}},
                {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": true}, null, {}]}}},
                {"key": "map", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"stringValue": "v"}}]}}},
                {"key": "nothing", "value": {}},
                {"key": "null", "value": null},
            ],
            "status": {"code": "STATUS_CODE_ERROR", "message": null},
            "links": null, "events": [], "fromTheFuture": {"deep": [{"er": [1, "}"]}]},
        })
    };
    let body = json!({
        "resourceSpans": [{
            "resource": {"attributes": []},
            "scopeSpans": [{"scope": {}, "spans": [
                span("00000000000000aB", json!("1767225600000000000"), json!(1), &hex),
                span("00000000000000ac", json!(1_767_225_600_000_000_000_u64), json!("SPAN_KIND_CLIENT"),
                    &hex.to_uppercase()),
            ]}],
            "schemaUrl": "https://opentelemetry.io/schemas/1.37.0",
        }],
        "unknown": [1, 2.5e-3, "x", true, null],
    });
    let body = body.to_string().replace("a \u{e9}", "a \\ud83d");
    let headers = ["content-type: Application/JSON; charset=utf-8"];
    let answer = post(&daemon, "/v1/traces", &headers, body.as_bytes()).await;
    let repaired = "2 lone surrogates were replaced by U+FFFD";
    let want = json!({"partialSuccess": {"rejectedSpans": "0", "errorMessage": repaired}});
    assert_eq!((answer.status, answer.json()), (200, want));
    let steps: Vec<(String, String, bool)> = sqlx::query_as(
        "SELECT name, status, started_at = '2026-01-01 00:00:00Z' AND ended_at = '2026-01-01 00:00:01Z'
         FROM agent_steps WHERE run_id = $1",
    )
    .bind(run_of(trace))
    .fetch_all(&mut conn)
    .await
    .unwrap();
    let step = ("a \u{fffd}".to_owned(), "failed".to_owned(), true);
    assert_eq!(steps, [step.clone(), step]);
    let metrics = daemon.metrics().await;
    assert_eq!(metrics["runtraced_repaired_surrogates_total"], 2);
    assert_eq!(count(&mut conn, "agent_runs").await, 1);
    daemon.finish().await;
}
