//! Bounded (promise 5): what happens when more comes than Postgres takes.

use std::time::{Duration, Instant};

use bytes::Bytes;
use runtraced::ingest::native::MAX_EVENTS_PER_MESSAGE;
use runtraced::proto::trace_ingest_client::TraceIngestClient;
use runtraced::proto::{Event, StreamRequest, SubmitRequest, SubmitResponse};
use sqlx::PgConnection;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::events::{long_message, new_id};
use crate::support::pg;
use crate::support::process::rss_kib;
use crate::support::tables::count;
use crate::support::valid;
use crate::support::wire::{Exchange, Proxy, channel, submit_bytes};

/// The least budget that the daemon takes.
const BUDGET: &str = "1048576";

/// Messages of one run with so many bytes of text each.
fn messages(run: Uuid, count: usize, bytes: usize) -> Vec<Event> {
    (0..count).map(|_| long_message(run, bytes)).collect()
}

async fn submit(channel: &Channel, events: Vec<Event>) -> Result<SubmitResponse, Status> {
    let mut client = TraceIngestClient::new(channel.clone());
    let response = client
        .submit(SubmitRequest {
            events,
            ..Default::default()
        })
        .await?;
    Ok(response.into_inner())
}

/// Nobody can write until it is released.
async fn lock(conn: &mut PgConnection) {
    let lock = "BEGIN; LOCK TABLE agent_runs IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(conn).await.unwrap();
}

async fn release(conn: &mut PgConnection) {
    sqlx::raw_sql("COMMIT").execute(conn).await.unwrap();
}

async fn used(daemon: &Daemon) -> u64 {
    daemon.metrics().await["runtraced_memory_used_bytes"]
}

async fn wait_until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done().await {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

fn assert_retry(status: &Status, code: Code) {
    assert_eq!(status.code(), code, "{status}");
    let delay = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    assert_eq!(delay, Some(Duration::from_secs(1)), "{status}");
}

/// Scenario: nothing can be written, and Submits fill the memory budget.
/// Guarantees: one that has no room gets RESOURCE_EXHAUSTED with a delay at
/// once, is not counted as received, and may come again; those that had room
/// are settled when Postgres is back.
#[tokio::test(flavor = "multi_thread")]
async fn submit_is_told_to_come_again_when_the_budget_is_full() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--memory-budget-bytes", BUDGET]).await;
    let mut conn = database.connect().await;
    let channel = channel(daemon.grpc_url()).await;
    let run = new_id();
    lock(&mut conn).await;
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let (channel, events) = (channel.clone(), messages(run, 1, 300 << 10));
            tokio::spawn(async move { submit(&channel, events).await })
        })
        .collect();
    wait_until("the budget does not fill", async || {
        used(&daemon).await > 900 << 10
    })
    .await;

    let late = messages(run, 10, 20 << 10);
    let started = Instant::now();
    let status = submit(&channel, late.clone()).await.unwrap_err();
    assert_retry(&status, Code::ResourceExhausted);
    assert!(started.elapsed() < Duration::from_secs(5));
    // What has room is not turned away.
    let small = tokio::spawn({
        let (channel, events) = (channel.clone(), messages(run, 1, 10));
        async move { submit(&channel, events).await }
    });
    wait_until("the small one is not received", async || {
        daemon.metrics().await["runtraced_events_received_total"] == 4
    })
    .await;

    release(&mut conn).await;
    for waiting in waiting.into_iter().chain([small]) {
        let outcome = waiting.await.unwrap().unwrap().outcome.unwrap();
        assert_eq!(outcome.committed, 1);
    }
    let outcome = submit(&channel, late).await.unwrap().outcome.unwrap();
    assert_eq!((outcome.committed, outcome.duplicate), (10, 0));
    assert_eq!(count(&mut conn, "agent_messages").await, 14);
    daemon.finish().await;
}

/// Scenario: Postgres does not get a Submit done within `--submit-timeout`.
/// Guarantees: UNAVAILABLE with a delay; the batch is written all the same once
/// Postgres can; sent again it is all duplicates.
#[tokio::test(flavor = "multi_thread")]
async fn a_submit_that_times_out_is_written_all_the_same() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--submit-timeout", "0.5"]).await;
    let mut conn = database.connect().await;
    let channel = channel(daemon.grpc_url()).await;
    lock(&mut conn).await;
    let events = messages(new_id(), 10, 10);
    let status = submit(&channel, events.clone()).await.unwrap_err();
    assert_retry(&status, Code::Unavailable);
    assert!(used(&daemon).await > 0, "it was dropped");
    release(&mut conn).await;
    wait_until("it is never written", async || {
        count(&mut conn, "agent_messages").await == 10
    })
    .await;
    let outcome = submit(&channel, events).await.unwrap().outcome.unwrap();
    assert_eq!((outcome.committed, outcome.duplicate), (0, 10));
    daemon.finish().await;
}

/// Scenario: nothing can be written, and a stream sends 20 MB as fast as it is let.
/// Guarantees: it gets no further than the budget, its flow-control window and
/// one message; afterwards all goes on and everything is acked, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_held_back_and_goes_on() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--memory-budget-bytes", BUDGET]).await;
    let mut conn = database.connect().await;
    let proxy = Proxy::start(daemon.grpc_url()).await;
    let stream = Exchange::open(channel(&proxy.url).await).await;
    lock(&mut conn).await;
    let requests = stream.requests.clone();
    let sending = tokio::spawn(async move {
        let run = new_id();
        for sequence in 1..=200 {
            let events = messages(run, 10, 10 << 10);
            let request = StreamRequest {
                sequence,
                events,
                ..Default::default()
            };
            requests.send(request).await.unwrap();
        }
    });
    let mut before = u64::MAX;
    wait_until("it is never held back", async || {
        sleep(Duration::from_millis(500)).await;
        let now = proxy.sent();
        std::mem::replace(&mut before, now) == now
    })
    .await;
    let sent = proxy.sent();
    let most = 2 * (1 << 20) + 2 * (100 << 10) + (64 << 10);
    assert!((1 << 20..most).contains(&sent), "{sent} bytes");
    assert!(!sending.is_finished());
    assert!(used(&daemon).await <= 1 << 20);

    release(&mut conn).await;
    sending.await.unwrap();
    let acks = stream.close().await.unwrap();
    assert_eq!(acks.last().unwrap().settled_sequence, 200);
    let committed: u64 = acks
        .into_iter()
        .map(|ack| ack.outcome.unwrap().committed)
        .sum();
    assert_eq!(committed, 2_000);
    assert_eq!(count(&mut conn, "agent_messages").await, 2_000);
    daemon.finish().await;
}

/// Scenario: a batch three times as large as the whole budget, by Submit and by
/// Stream, and another beside it.
/// Guarantees: it is taken when it is alone, and what comes meanwhile waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_larger_than_the_budget_is_taken_alone() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--memory-budget-bytes", BUDGET]).await;
    let mut conn = database.connect().await;
    let channel = channel(daemon.grpc_url()).await;
    lock(&mut conn).await;
    let large = tokio::spawn({
        let (channel, events) = (channel.clone(), messages(new_id(), 3, 1 << 20));
        async move { submit(&channel, events).await }
    });
    wait_until("it is not taken", async || used(&daemon).await == 1 << 20).await;
    let status = submit(&channel, Vec::new()).await.unwrap_err();
    assert_retry(&status, Code::ResourceExhausted);
    let stream = Exchange::open(channel.clone()).await;
    for sequence in 1..=3 {
        stream.send(sequence, messages(new_id(), 3, 1 << 20)).await;
    }
    release(&mut conn).await;
    let outcome = large.await.unwrap().unwrap().outcome.unwrap();
    assert_eq!(outcome.committed, 3);
    let acks = stream.close().await.unwrap();
    assert_eq!(acks.last().unwrap().settled_sequence, 3);
    let whole = format!("agent_messages WHERE length(content) = {}", 1 << 20);
    assert_eq!(count(&mut conn, &whole).await, 12);
    daemon.finish().await;
}

/// Scenario: Postgres is frozen, and sixteen streams send all they can.
/// Guarantees: the process stays small; when Postgres goes on everything is
/// settled, and the daemon is ready again.
#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_bounded_while_postgres_is_frozen() {
    let cluster = pg::own_cluster().await;
    let daemon = Daemon::with_args(cluster.url(), &["--memory-budget-bytes", "4194304"]).await;
    let (before, _) = rss_kib(daemon.pid());
    cluster.sigstop();
    let mut streams = Vec::new();
    for _ in 0..16 {
        let stream = Exchange::open(channel(daemon.grpc_url()).await).await;
        let requests = stream.requests.clone();
        let sending = tokio::spawn(async move {
            let run = new_id();
            for sequence in 1..=20 {
                let events = messages(run, 100, 2_000);
                let request = StreamRequest {
                    sequence,
                    events,
                    ..Default::default()
                };
                requests.send(request).await.unwrap();
            }
        });
        streams.push((stream, sending));
    }
    daemon.wait_ready_state(false).await;
    let (now, _) = rss_kib(daemon.pid());
    // The budget, and for each stream a window and a message; twice over.
    let most = (2 * (4 + 16 * 2)) << 10;
    assert!(now < before + most, "{before} KiB, then {now} KiB");
    assert!(used(&daemon).await <= 4 << 20);
    cluster.sigcont();
    daemon.wait_ready().await;
    for (stream, sending) in streams {
        sending.await.unwrap();
        let acks = stream.close().await.unwrap();
        assert_eq!(acks.last().unwrap().settled_sequence, 20);
    }
    let (_, peak) = rss_kib(daemon.pid());
    assert!(peak < before + most, "{before} KiB, then {peak} KiB");
    daemon.finish().await;
}

/// Scenario: messages of the most events allowed, of one more, and of four
/// million empty ones in 8 MB.
/// Guarantees: the first is taken, and its answer is one that any gRPC client
/// takes; the others are refused before they become a hundred times as much in
/// memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_very_many_events_does_not_fill_the_memory() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let channel = channel(daemon.grpc_url()).await;
    let (before, _) = rss_kib(daemon.pid());
    let empty = |count| Bytes::from([0x0a, 0x00].repeat(count));
    for count in [MAX_EVENTS_PER_MESSAGE + 1, 4 << 20] {
        let status = submit_bytes(channel.clone(), empty(count))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::OutOfRange, "{status}");
        assert_eq!(status.message(), "the message holds more than 32768 events");
    }
    let (_, peak) = rss_kib(daemon.pid());
    assert!(peak < before + (32 << 10), "{before} KiB, then {peak} KiB");

    // The longest of all refusals.
    let bad = valid::approval_requested(|e| e.approval_id = vec![b'x'; 15].into());
    let events = vec![bad; MAX_EVENTS_PER_MESSAGE];
    let outcome = submit(&channel, events).await.unwrap().outcome.unwrap();
    assert_eq!(outcome.refused.len(), MAX_EVENTS_PER_MESSAGE);
    let events = messages(new_id(), MAX_EVENTS_PER_MESSAGE, 0);
    let outcome = submit(&channel, events).await.unwrap().outcome.unwrap();
    assert_eq!(outcome.committed, MAX_EVENTS_PER_MESSAGE as u64);
    daemon.finish().await;
}

/// Scenario: the daemon is told to end while Postgres holds a transaction up,
/// for longer than `--drain-timeout`.
/// Guarantees: it ends soon after that, says that something is not settled, and
/// tells the client to send it again; a daemon that follows takes it.
#[tokio::test(flavor = "multi_thread")]
async fn the_drain_deadline_holds_while_postgres_hangs() {
    let database = pg::database().await;
    let mut daemon = Daemon::with_args(database.url(), &["--drain-timeout", "1"]).await;
    daemon.expect_warnings("the database is away");
    daemon.expect_warnings("not settled at shutdown");
    let mut conn = database.connect().await;
    let channel = channel(daemon.grpc_url()).await;
    lock(&mut conn).await;
    let events = messages(new_id(), 10, 10);
    let waiting = tokio::spawn({
        let events = events.clone();
        async move { submit(&channel, events).await }
    });
    wait_until("it is not received", async || used(&daemon).await > 0).await;
    let started = Instant::now();
    let status = daemon.terminate().await;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(10), "it took {took:?}");
    assert!(!status.success());
    let told = timeout(Duration::from_secs(5), waiting)
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert_retry(&told, Code::Unavailable);
    assert!(
        daemon.logs().contains("10 events not settled"),
        "{}",
        daemon.logs()
    );
    release(&mut conn).await;
    let next = Daemon::start(database.url()).await;
    let outcome = next.submit(events).await;
    assert_eq!(outcome.committed + outcome.duplicate, 10);
    assert_eq!(count(&mut conn, "agent_messages").await, 10);
    next.finish().await;
}
