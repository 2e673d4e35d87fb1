//! Large requests: limited, and accepted up to the limits.

use std::time::{Duration, Instant};

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use super::{accepts_a_span, export_bytes, new_trace, run_of, traces};
use crate::support::compressed::compress;
use crate::support::daemon::Daemon;
use crate::support::otlp::{JSON, PROTOBUF, attribute, post, request, span, text};
use crate::support::pg;
use crate::support::process::rss_kib;
use crate::support::tables::count;

const MEGABYTE: usize = 1 << 20;

/// Scenario: a tool call with an argument of 20 MB and a base64 image as its
/// result, and a span with 10,000 attributes, over gRPC and HTTP in both
/// encodings; a trace of 10,000 spans in one request.
/// Guarantees: everything is stored, and the memory of the daemon grows by no more
/// than a few times the size of the requests.
#[tokio::test(flavor = "multi_thread")]
async fn large_traces_are_accepted() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--submit-timeout", "300"]).await;
    let mut conn = database.connect().await;
    let mut client = traces(&daemon)
        .await
        .max_encoding_message_size(64 * MEGABYTE);
    let (before, _) = rss_kib(daemon.pid());

    let mut prompt = span(new_trace(), 1);
    prompt.attributes[2] = text(
        "input.value",
        &"0123456789abcde\u{e9}".repeat(20 * MEGABYTE / 17),
    );
    let image = "iVBORw0KGgo+/".repeat(2 * MEGABYTE / 13);
    let image = format!("data:image/png;base64,{image}");
    prompt.attributes[3] = text("output.value", &image);
    let mut wide = span(new_trace(), 1);
    wide.attributes
        .extend((0..10_000).map(|n| attribute(&format!("custom.key.{n}"), Value::IntValue(n))));
    let long_trace = new_trace();
    let long: Vec<Span> = (1..=10_000).map(|n| span(long_trace, n)).collect();

    for spans in [vec![prompt], vec![wide], long] {
        let many = spans.len() > 1;
        let message = request(spans);
        let started = Instant::now();
        let mut patient = Request::new(message.clone());
        patient.set_timeout(Duration::from_secs(300));
        let answer = client.export(patient).await.unwrap().into_inner();
        assert_eq!(answer.partial_success, None);
        println!(
            "{} bytes took {:?}",
            message.encoded_len(),
            started.elapsed()
        );
        if many {
            continue;
        }
        let protobuf = message.encode_to_vec();
        let json = serde_json::to_vec(&message).unwrap();
        for (kind, body) in [(PROTOBUF, protobuf), (JSON, json)] {
            let kind = format!("Content-Type: {kind}");
            let mut answer = post(&daemon, "/v1/traces", &[&kind], &body).await;
            // On a busy machine, retry like an exporter.
            while matches!(answer.status, 429 | 503) {
                tokio::time::sleep(Duration::from_secs(1)).await;
                answer = post(&daemon, "/v1/traces", &[&kind], &body).await;
            }
            assert_eq!(answer.status, 200, "{kind}: {}", answer.text());
        }
    }
    let (_, peak) = rss_kib(daemon.pid());
    let grown = (peak - before) >> 10;
    println!("grown by {grown} MiB");
    assert!(grown < 400, "{before} KiB, then {peak} KiB");
    assert_eq!(count(&mut conn, "agent_runs").await, 3);
    let steps: i64 = sqlx::query_scalar("SELECT count(*) FROM agent_steps WHERE run_id = $1")
        .bind(run_of(long_trace))
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(steps, 10_000);
    daemon.finish().await;
}

/// Encodes a length-delimited field.
fn wrap(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut out);
    out.extend(content);
    out
}

/// Scenario: eight megabytes that decode to millions of empty spans, attributes,
/// events or values, plain and compressed to kilobytes.
/// Guarantees: they are refused permanently before they are decoded, in little
/// memory.
#[tokio::test(flavor = "multi_thread")]
async fn millions_of_empty_elements_are_refused() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let (before, _) = rss_kib(daemon.pid());
    let many = |number: u8| [number << 3 | 2, 0].repeat(4 * MEGABYTE);
    let in_spans = |spans: Vec<u8>| wrap(1, &wrap(2, &spans));
    let in_span = |content: Vec<u8>| in_spans(wrap(2, &content));
    let list = |values: Vec<u8>| in_span(wrap(9, &wrap(2, &wrap(5, &values))));
    for (what, body) in [
        ("resources", many(1)),
        ("scopes", wrap(1, &many(2))),
        ("spans", in_spans(many(2))),
        ("attributes", in_span(many(9))),
        ("events", in_span(many(11))),
        ("links", in_span(many(13))),
        ("values", list(many(1))),
    ] {
        let status = export_bytes(&daemon, &body, None).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{what}: {status}");
        let bomb = zstd::encode_all(&*body, 3).unwrap();
        assert!(bomb.len() < 64 << 10, "{what}");
        let status = export_bytes(&daemon, &bomb, Some("zstd"))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{what}: {status}");
        let headers = [
            "Content-Type: application/x-protobuf",
            "Content-Encoding: zstd",
        ];
        let answer = post(&daemon, "/v1/traces", &headers, &bomb).await;
        assert_eq!(answer.status, 413, "{what}: {}", answer.text());
    }
    let json = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}{{}}]}}]}}]}}"#,
        "{},".repeat(2 * MEGABYTE)
    );
    let headers = ["Content-Type: application/json"];
    let answer = post(&daemon, "/v1/traces", &headers, &Bytes::from(json)).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
    let (_, peak) = rss_kib(daemon.pid());
    assert!(peak < before + (64 << 10), "{before} KiB, then {peak} KiB");
    accepts_a_span(&daemon).await;
    daemon.finish().await;
}

/// Scenario: requests of exactly `--max-message-bytes` and of one byte more, over
/// gRPC and HTTP, in both encodings, plain and compressed; texts of exactly
/// `--max-field-bytes` and of one byte more.
/// Guarantees: a request at the limit is accepted, a larger one is refused
/// permanently. A text at the limit is stored unchanged, a longer one is truncated,
/// marked and counted.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_texts_are_accepted_up_to_their_limits() {
    const LIMIT: usize = 100_000;
    let database = pg::database().await;
    let args = ["--max-message-bytes", "100000", "--max-field-bytes", "256"];
    let daemon = Daemon::with_args(database.url(), &args).await;
    for (bytes, taken) in [(LIMIT, true), (LIMIT + 1, false)] {
        let body = |padding: usize| {
            let mut span = span(new_trace(), 1);
            span.trace_state = "x".repeat(padding);
            request(vec![span]).encode_to_vec()
        };
        let least = bytes - body(0).len() - 20;
        let plain = (least..bytes).map(body).find(|body| body.len() == bytes);
        let plain = plain.unwrap();
        let mut json = serde_json::to_vec(&request(vec![span(new_trace(), 1)])).unwrap();
        json.resize(bytes, b' ');
        for encoding in [None, Some("gzip"), Some("zstd"), Some("deflate")] {
            let packed = |plain: &[u8]| match encoding {
                Some(encoding) => compress(encoding, plain),
                None => plain.to_vec(),
            };
            match export_bytes(&daemon, &packed(&plain), encoding).await {
                Ok(_) => assert!(taken, "{encoding:?} {bytes}"),
                Err(status) => {
                    assert!(!taken, "{encoding:?} {bytes}: {status}");
                    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                    assert!(status.get_details_retry_info().is_none(), "{status:?}");
                }
            }
            for (kind, plain) in [(PROTOBUF, &plain), (JSON, &json)] {
                let mut headers = vec![format!("Content-Type: {kind}")];
                headers.extend(encoding.map(|encoding| format!("Content-Encoding: {encoding}")));
                let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
                let answer = post(&daemon, "/v1/traces", &headers, &packed(plain)).await;
                let status = if taken { 200 } else { 413 };
                assert_eq!(answer.status, status, "{headers:?} {}", answer.text());
            }
        }
    }
    let cut = async || {
        let metrics = daemon.metrics().await;
        let cut = metrics.iter().find(|(name, _)| name.contains("cut_texts"));
        *cut.unwrap().1
    };
    assert_eq!(cut().await, 0);
    let mut conn = database.connect().await;
    for (bytes, cuts) in [(256, 0), (257, 2)] {
        let trace = new_trace();
        let mut span = span(trace, 1);
        let said = "n".repeat(bytes);
        // As JSON, it has two quotes in addition.
        let json = "j".repeat(bytes - 2);
        span.attributes[1] = text("tool.name", &said);
        span.attributes[3] = text("output.value", &json);
        traces(&daemon)
            .await
            .export(request(vec![span]))
            .await
            .unwrap();
        let texts = "SELECT name, output #>> '{}' FROM agent_steps WHERE run_id = $1";
        let (name, output): (String, String) = sqlx::query_as(texts)
            .bind(run_of(trace))
            .fetch_one(&mut conn)
            .await
            .unwrap();
        for (text, said) in [(name, said), (output, json)] {
            assert_eq!(text == said, cuts == 0, "{text}");
            assert_eq!(text.ends_with("bytes left out]"), cuts > 0, "{text}");
            assert!(text.len() <= 256, "{text}");
        }
        // The same text may be stored in several columns.
        let counted = cut().await;
        assert!(
            counted >= cuts && (counted == 0) == (cuts == 0),
            "{counted}"
        );
    }
    daemon.finish().await;
}

/// Sends a request without its last byte, and repeats it each time it is rejected.
async fn linger(address: String, request: Bytes) {
    loop {
        let mut socket = tokio::net::TcpStream::connect(&address).await.unwrap();
        if socket.write_all(&request).await.is_ok() {
            // An answer before the request is complete means that the budget is full.
            let _ = socket.read(&mut [0]).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Scenario: ten clients at once each send a body of two megabytes without its last
/// byte, with a budget of sixteen megabytes. Rejected clients retry.
/// Guarantees: bodies that are being read are limited too. If the budget is full, a
/// client is told to retry; when the other clients are gone, it succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_being_read_are_limited() {
    let database = pg::database().await;
    let args = [
        "--memory-budget-bytes",
        "16777216",
        "--max-message-bytes",
        "4194304",
    ];
    let daemon = Daemon::with_args(database.url(), &args).await;
    let (before, _) = rss_kib(daemon.pid());
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: test\r\nContent-Type: {PROTOBUF}\r\nContent-Length: {}\r\n\r\n",
        2 * MEGABYTE
    );
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + 2 * MEGABYTE - 1, 0x12);
    let bytes = Bytes::from(bytes);
    // Bodies that grow at the same time may be rejected although one of them would fit.
    // Only with retries is the budget certain to be full.
    let mut clients = JoinSet::new();
    for _ in 0..10 {
        clients.spawn(linger(daemon.http_address().to_string(), bytes.clone()));
    }
    let good = request(vec![span(new_trace(), 1)]).encode_to_vec();
    let headers = ["Content-Type: application/x-protobuf"];
    let deadline = Instant::now() + Duration::from_secs(20);
    // The last bytes of the other clients may still be arriving.
    loop {
        let answer = post(&daemon, "/v1/traces", &headers, &good).await;
        if answer.status == 429 {
            assert_eq!(answer.header("retry-after"), "1");
            break;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
    }
    let (_, peak) = rss_kib(daemon.pid());
    assert!(peak < before + (64 << 10), "{before} KiB, then {peak} KiB");
    clients.shutdown().await;
    loop {
        let answer = post(&daemon, "/v1/traces", &headers, &good).await;
        if answer.status == 200 {
            break;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
    }
    daemon.finish().await;
}
