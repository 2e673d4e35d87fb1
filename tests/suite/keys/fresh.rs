//! Keys that are used the moment they are made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use runtraced::proto::SubmitRequest;
use runtraced::proto::trace_ingest_client::TraceIngestClient;
use tonic::{Code, Request};

use super::{create, until_judged, with_key};
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_started};
use crate::support::otlp::{PROTOBUF, post};
use crate::support::wire::channel;

const KEYS: usize = 12;

async fn submit_once(daemon: &Daemon, bearer: &str) -> Code {
    let mut client = TraceIngestClient::new(channel(daemon.grpc_url()).await);
    let mut request = Request::new(SubmitRequest {
        events: vec![run_started(0, new_id())],
        ..Default::default()
    });
    let bearer = format!("Bearer {bearer}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    let answer = client.submit(request).await;
    answer.err().map_or(Code::Ok, |status| status.code())
}

async fn post_once(daemon: &Daemon, bearer: &str) -> u16 {
    let kind = format!("Content-Type: {PROTOBUF}");
    let bearer = format!("Authorization: Bearer {bearer}");
    post(daemon, "/v1/traces", &[&kind, &bearer], &[])
        .await
        .status
}

/// Makes keys and uses each once, at once, by turns over gRPC and over HTTP.
async fn make_and_use(database: &str, daemon: &Daemon) {
    for number in 0..KEYS {
        let key = create(database, "fresh", &[]).await;
        if number % 2 == 0 {
            assert_eq!(submit_once(daemon, &key.text).await, Code::Ok, "{number}");
        } else {
            assert_eq!(post_once(daemon, &key.text).await, 200, "{number}");
        }
    }
}

/// Scenario: keys are made one after the other, and each is used at once and only once, over gRPC and over
/// HTTP; between them, and afterwards, keys that do not exist are used.
/// Guarantees: every key that exists is taken the first time; the others are refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_works_the_moment_it_is_made() {
    for flags in [&["--require-keys"][..], &[]] {
        let (database, daemon, _) = with_key(flags, &[]).await;
        make_and_use(database.url(), &daemon).await;
        let stranger = format!("rt_{}_{:064x}", new_id().simple(), 1);
        for _ in 0..3 {
            assert_eq!(submit_once(&daemon, &stranger).await, Code::Unauthenticated);
            assert_eq!(post_once(&daemon, &stranger).await, 401);
        }
        daemon.finish().await;
    }
}

/// Scenario: the same while 16 callers on four connections present keys that do not exist, each with
/// another id, without a pause.
/// Guarantees: the same; the flood goes on meanwhile, for its calls do not all wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_unknown_ids_does_not_hold_a_new_key_back() {
    let (database, daemon, _) = with_key(&["--require-keys"], &[]).await;
    let (ended, refused) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut callers = Vec::new();
    for _ in 0..4 {
        let connection = channel(daemon.grpc_url()).await;
        for _ in 0..4 {
            let mut client = TraceIngestClient::new(connection.clone());
            let (ended, refused) = (ended.clone(), refused.clone());
            callers.push(tokio::spawn(async move {
                while !ended.load(Relaxed) {
                    let bearer = format!("Bearer rt_{}_{:064x}", new_id().simple(), 1);
                    let mut request = Request::new(SubmitRequest::default());
                    let metadata = request.metadata_mut();
                    metadata.insert("authorization", bearer.parse().unwrap());
                    let status = client.submit(request).await.unwrap_err();
                    assert_eq!(status.code(), Code::Unauthenticated);
                    refused.fetch_add(1, Relaxed);
                }
            }));
        }
    }
    make_and_use(database.url(), &daemon).await;
    ended.store(true, Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let refused = refused.load(Relaxed);
    assert!(refused > 500, "only {refused} were refused: they waited");
    daemon.finish().await;
}

/// Scenario: an id is refused as unknown, and then a key with this id is made.
/// Guarantees: the key works within seconds.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_was_unknown_can_become_valid() {
    let (database, daemon, key) = with_key(&["--require-keys"], &[]).await;
    let mut conn = database.connect().await;
    let row = "SELECT key_sha256 FROM ingest_keys WHERE id = $1";
    let sha256: Vec<u8> = sqlx::query_scalar(row)
        .bind(key.id)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    sqlx::query("DELETE FROM ingest_keys WHERE id = $1")
        .bind(key.id)
        .execute(&mut conn)
        .await
        .unwrap();
    until_judged(&daemon, &key, false).await;
    for _ in 0..3 {
        assert_eq!(submit_once(&daemon, &key.text).await, Code::Unauthenticated);
    }
    sqlx::query("INSERT INTO ingest_keys (id, name, key_sha256) VALUES ($1, 'again', $2)")
        .bind(key.id)
        .bind(sha256)
        .execute(&mut conn)
        .await
        .unwrap();
    let begin = Instant::now();
    until_judged(&daemon, &key, true).await;
    assert!(begin.elapsed() < Duration::from_secs(10));
    daemon.finish().await;
}
