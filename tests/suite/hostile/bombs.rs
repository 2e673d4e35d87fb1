//! What is small on the wire and large in memory.

use std::time::Duration;

use tonic::Code;

use super::{Bystander, MEGABYTE, scale};
use crate::otlp_doors::traces;
use crate::support::compressed::{SUBMIT, call, compress};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::otlp::{post, request, span, text};
use crate::support::pg;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Scenario: bombs of zeros and of empty events, compressed by gzip, zstd and
/// deflate, four at a time at every door.
/// Guarantees: each is refused for good; what they unfold to is never all in
/// memory.
#[tokio::test(flavor = "multi_thread")]
async fn compressed_bombs_are_refused_everywhere() {
    let database = pg::database().await;
    let args = [
        "--max-message-bytes",
        "8388608",
        "--memory-budget-bytes",
        "33554432",
    ];
    let daemon = Daemon::with_args(database.url(), &args).await;
    let bystander = Bystander::start(&daemon).await;
    let zeros = vec![0; 100 * MEGABYTE];
    // Each would be an event of hundreds of bytes.
    let events = [0x0a, 0x00].repeat(3 * MEGABYTE);
    for encoding in ["gzip", "zstd", "deflate"] {
        for (plain, native, otlp) in [(&zeros, "8", "8"), (&events, "11", "8")] {
            let bomb = compress(encoding, plain);
            assert!(bomb.len() < MEGABYTE / 4, "{encoding}: {}", bomb.len());
            for _ in 0..scale() {
                let daemon = &daemon;
                let bomb = &bomb;
                let native_calls = async || {
                    let one = || call(daemon, SUBMIT, encoding, bomb);
                    let (a, b, c, d) = tokio::join!(one(), one(), one(), one());
                    for status in [a, b, c, d] {
                        // Full for a moment is an answer, too.
                        assert!(
                            [native, "8"].contains(&&*status.0),
                            "{encoding}: {status:?}"
                        );
                    }
                };
                let otlp_calls = async || {
                    let one = || call(daemon, EXPORT, encoding, bomb);
                    let (a, b) = tokio::join!(one(), one());
                    for status in [a, b] {
                        assert_eq!(status.0, otlp, "{encoding}: {status:?}");
                    }
                };
                let posts = async || {
                    let encoding = format!("Content-Encoding: {encoding}");
                    let headers = ["Content-Type: application/x-protobuf", &encoding];
                    let one = || post(daemon, "/v1/traces", &headers, bomb);
                    let (a, b) = tokio::join!(one(), one());
                    for answer in [a, b] {
                        assert!([413, 429].contains(&answer.status), "{answer:?}");
                    }
                };
                tokio::join!(native_calls(), otlp_calls(), posts());
            }
        }
    }
    bystander.check(&daemon, "bombs", 160).await;
    daemon.finish().await;
}

/// Scenario: attributes of megabytes that are JSON of millions of empty values
/// or messages, on one span and over many.
/// Guarantees: taken as text or refused for good, in bounded memory.
#[tokio::test(flavor = "multi_thread")]
async fn json_bombs_in_attributes_are_bounded() {
    let database = pg::database().await;
    let args = ["--max-message-bytes", "8388608", "--submit-timeout", "300"];
    let daemon = Daemon::with_args(database.url(), &args).await;
    let bystander = Bystander::start(&daemon).await;
    let mut client = traces(&daemon).await;
    let keys = [
        "gen_ai.input.messages",
        "input.value",
        "ai.prompt.messages",
        "langfuse.observation.input",
    ];
    let llm = |number: u64, key: &str, value: String| {
        let mut span = span(new_id(), number);
        span.attributes = vec![text("openinference.span.kind", "LLM"), text(key, &value)];
        span
    };
    let list = |item: &str, bytes: usize| {
        format!("[{}{item}]", format!("{item},").repeat(bytes / item.len()))
    };
    let mut requests = Vec::new();
    for item in ["[]", "{\"a\":1}", "[\"a\"]", "{\"content\":\"a\"}"] {
        for key in &keys[..keys.len().min(1 + scale())] {
            requests.push(request(vec![llm(1, key, list(item, 2 * MEGABYTE))]));
        }
        // Each below what is looked at as a whole.
        let many = (0..10).map(|n| llm(n + 1, keys[0], list(item, 200 << 10)));
        requests.push(request(many.collect()));
    }
    for message in requests {
        let mut patient = tonic::Request::new(message);
        patient.set_timeout(Duration::from_secs(300));
        match client.export(patient).await {
            Ok(_) => {}
            Err(status) => assert_eq!(status.code(), Code::ResourceExhausted, "{status}"),
        }
    }
    bystander.check(&daemon, "JSON bombs", 400).await;
    daemon.finish().await;
}
