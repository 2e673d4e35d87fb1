//! How much a key may send: at the limit, and beyond.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message as _;
use runtraced::proto::SubmitRequest;
use runtraced::proto::trace_ingest_client::TraceIngestClient;
use runtraced_client::StreamOptions;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{Key, client, create, until_judged, with_key};
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, step, steps};
use crate::support::otlp::{post, request, span};
use crate::support::pg::TestDatabase;
use crate::support::wire::channel;

fn signed<T>(message: T, key: &Key) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {}", key.text).parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}

async fn submit(daemon: &Daemon, key: &Key, count: usize) -> Result<(), Status> {
    let mut client = TraceIngestClient::new(channel(daemon.grpc_url()).await);
    let batch = SubmitRequest {
        events: steps(new_id(), count),
        ..Default::default()
    };
    client.submit(signed(batch, key)).await.map(|_| ())
}

/// How long a client is told to wait.
fn delay(status: &Status) -> Duration {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let info = status.get_details_retry_info().unwrap();
    info.retry_delay.unwrap()
}

/// A daemon with a key of that limit. That the key is known has cost it events: its account
/// is full again.
async fn with_limit(flags: &[&str], limit: &[&str]) -> (TestDatabase, Daemon, Key) {
    let made = with_key(flags, limit).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    made
}

/// Scenario: a key of 100 events a second sends 99, 1, 1,000 in one batch, and 1 more, by the native door and both
/// of OTLP; it comes too early, and when it was told to. Another key has no limit.
/// Guarantees: all up to the limit pass, and one batch beyond it, which is paid for: who comes next is told
/// RESOURCE_EXHAUSTED (429) and the true delay, after which it passes; the other key is not held up.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_its_events_per_second_and_no_more() {
    let limit = ["--max-events-per-second", "100"];
    let (database, daemon, limited) = with_limit(&["--require-keys"], &limit).await;
    let free = create(database.url(), "free", &[]).await;
    until_judged(&daemon, &free, true).await;

    // It fills while it is used, so that a hundred and some fit.
    submit(&daemon, &limited, 99).await.unwrap();
    submit(&daemon, &limited, 1).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    submit(&daemon, &limited, 1_000).await.unwrap();
    let status = submit(&daemon, &limited, 1).await.unwrap_err();
    let wait = delay(&status);
    assert!(wait > Duration::from_secs(4), "{wait:?}");
    assert!(wait <= Duration::from_millis(10_010), "{wait:?}");

    let mut otlp = TraceServiceClient::new(channel(daemon.grpc_url()).await);
    let spans = request(vec![span(new_id(), 1)]);
    let status = otlp
        .export(signed(spans.clone(), &limited))
        .await
        .unwrap_err();
    assert!(delay(&status) > Duration::from_secs(2));
    let bearer = format!("Authorization: Bearer {}", limited.text);
    let headers = [bearer.as_str(), "Content-Type: application/x-protobuf"];
    let body = spans.encode_to_vec();
    let answer = post(&daemon, "/v1/traces", &headers, &body).await;
    assert_eq!(answer.status, 429);
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=11).contains(&seconds), "{seconds}");
    let begin = Instant::now();
    submit(&daemon, &free, 1_000).await.unwrap();
    assert!(begin.elapsed() < wait);

    let told = delay(&submit(&daemon, &limited, 1).await.unwrap_err());
    tokio::time::sleep(told.saturating_sub(Duration::from_millis(300))).await;
    delay(&submit(&daemon, &limited, 1).await.unwrap_err());
    tokio::time::sleep(Duration::from_millis(310)).await;
    submit(&daemon, &limited, 1).await.unwrap();
    let metrics = daemon.metrics().await;
    assert!(metrics["runtraced_key_limited_total"] >= 4);
    daemon.finish().await;
}

/// Scenario: a key of 20 events a second sends one at a time, as fast as it can, for at least a second.
/// Guarantees: the first 20 pass; the next one is refused, or has been earned by the time that they took; in
/// any time as many pass as were there at its begin and were earned in it.
#[tokio::test(flavor = "multi_thread")]
async fn at_the_limit_nothing_is_refused_and_one_more_is() {
    let (_database, daemon, key) = with_limit(&[], &["--max-events-per-second", "20"]).await;
    let begin = Instant::now();
    for number in 1..=20 {
        let answer = submit(&daemon, &key, 1).await;
        assert!(answer.is_ok(), "{number}: {answer:?}");
    }
    let (mut passed, mut refused) = (20_u32, 0);
    while begin.elapsed() < Duration::from_secs(1) || refused == 0 {
        match submit(&daemon, &key, 1).await {
            Ok(()) => passed += 1,
            Err(status) => {
                assert!(delay(&status) <= Duration::from_millis(50), "{status:?}");
                refused += 1;
            }
        }
        let earned = 20.0 * begin.elapsed().as_secs_f64();
        assert!(
            f64::from(passed) <= 20.0 + earned,
            "{passed} in {:?}",
            begin.elapsed()
        );
        assert!(begin.elapsed() < Duration::from_secs(30), "never refused");
    }
    daemon.finish().await;
}

/// Scenario: a key of 100,000 bytes a second sends 300,000 in one event, and once more.
/// Guarantees: the second is told to wait about as long as the first weighs.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_its_bytes_per_second_and_no_more() {
    let (_database, daemon, key) = with_limit(&[], &["--max-bytes-per-second", "100000"]).await;
    let heavy = |run: Uuid| {
        let mut event = step(1, 2, run, new_id());
        if let Some(runtraced::proto::event::Event::StepEnded(end)) = &mut event.event {
            end.output_json = Some(format!("\"{}\"", "x".repeat(300_000)));
        }
        SubmitRequest {
            events: vec![event],
            ..Default::default()
        }
    };
    let mut native = TraceIngestClient::new(channel(daemon.grpc_url()).await);
    native.submit(signed(heavy(new_id()), &key)).await.unwrap();
    let status = native
        .submit(signed(heavy(new_id()), &key))
        .await
        .unwrap_err();
    let wait = delay(&status);
    assert!(wait > Duration::from_secs(1), "{wait:?}");
    assert!(wait < Duration::from_millis(2_200), "{wait:?}");
    daemon.finish().await;
}

/// Scenario: a stream whose key may send 200 events a second sends 800 in batches of 50, as fast as it can.
/// Guarantees: it is held back and not broken: all are acked, in no less than the three seconds that the
/// limit asks for.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_held_back_and_not_broken() {
    let (_database, daemon, key) = with_limit(&[], &["--max-events-per-second", "200"]).await;
    let client = client(&daemon, &key).await;
    let begin = Instant::now();
    let mut stream = client.stream(StreamOptions::default());
    for _ in 0..16 {
        stream.send(steps(new_id(), 50), ()).await.unwrap();
    }
    let totals = stream.finish().await.unwrap();
    let took = begin.elapsed();
    assert_eq!(totals.committed, 800);
    // The first 200 are there at once, and the last batch is paid for afterwards.
    assert!(took > Duration::from_millis(2_600), "{took:?}");
    daemon.finish().await;
}
