//! `TraceIngest.Stream`: sequences, acks, and clients that behave badly.

use std::time::Duration;

use runtraced::proto::trace_ingest_client::TraceIngestClient;
use runtraced::proto::{Event, StreamRequest};
use sqlx::PgConnection;
use tokio::time::{sleep, timeout};
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::transport::Endpoint;
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::events::{heartbeat, message, new_id, steps};
use crate::support::pg;
use crate::support::process::rss_kib;
use crate::support::stream::sum;
use crate::support::tables::count;
use crate::support::wire::{Exchange, Proxy, channel};

fn request(sequence: u64, events: Vec<Event>) -> StreamRequest {
    StreamRequest {
        sequence,
        events,
        ..Default::default()
    }
}

async fn wait_for(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..1_500 {
        if done().await {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}");
}

async fn rows(conn: &mut PgConnection, run: Uuid) -> i64 {
    count(conn, &format!("agent_steps WHERE run_id = '{run}'")).await
}

/// Scenario: a stream begins at 1, 0, a middle number and near the end of u64,
/// with batches of steps, of nothing, and of bad events only; then the client
/// closes its half.
/// Guarantees: every batch is acked in order, wrapping after u64::MAX, with its
/// own refusals, and the stream ends with OK.
#[tokio::test(flavor = "multi_thread")]
async fn any_first_sequence_is_taken_and_all_is_acked_before_the_end() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let channel = channel(daemon.grpc_url()).await;
    for first in [1, 0, 1_u64 << 40, u64::MAX - 20, u64::MAX] {
        let run = new_id();
        let stream = Exchange::open(channel.clone()).await;
        for offset in 0..60 {
            let events = match offset % 3 {
                0 => steps(run, 4),
                1 => Vec::new(),
                _ => vec![heartbeat(9, run), Event::default()],
            };
            stream.send(first.wrapping_add(offset), events).await;
        }
        let acks = stream.close().await.unwrap();
        let (last, sum) = sum(&acks, first.wrapping_sub(1));
        assert_eq!(last, first.wrapping_add(59));
        // Of twenty equal heartbeats the first makes a difference, or all that
        // were written together with it.
        assert_eq!(sum.committed + sum.duplicate, 80 + 20);
        assert!(sum.committed > 80, "{sum:?}");
        let refused: Vec<_> = sum.refused.iter().map(|r| (r.sequence, r.index)).collect();
        let want: Vec<_> = (0..20)
            .map(|n| (first.wrapping_add(n * 3 + 2), 1))
            .collect();
        assert_eq!(refused, want);
        assert_eq!(rows(&mut conn, run).await, 80);
    }
    // A stream of nothing at all.
    let stream = Exchange::open(channel).await;
    assert_eq!(stream.close().await.unwrap(), []);
    daemon.finish().await;
}

/// Scenario: a sequence is repeated, skipped, goes back, or wraps too early.
/// Guarantees: what came before is settled and acked, the stream ends with
/// INVALID_ARGUMENT that names both numbers, what came with it is not taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_or_skipped_sequence_ends_the_stream() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let channel = channel(daemon.grpc_url()).await;
    for wrong in [7, 9, 6, 0, u64::MAX] {
        let (run, other) = (new_id(), new_id());
        let stream = Exchange::open(channel.clone()).await;
        for sequence in 5..=7 {
            stream.send(sequence, steps(run, 10)).await;
        }
        stream.send(wrong, steps(other, 10)).await;
        let (acks, status) = stream.close().await.unwrap_err();
        let (last, sum) = sum(&acks, 4);
        assert_eq!((last, sum.committed), (7, 30));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), format!("sequence is {wrong}, expected 8"));
        assert_eq!(
            (rows(&mut conn, run).await, rows(&mut conn, other).await),
            (30, 0)
        );
    }
    daemon.finish().await;
}

/// Scenario: three batches, of which the second belongs to a shard that cannot
/// write because its run is locked, while the others can.
/// Guarantees: only the first is acked until the second is settled; then all.
#[tokio::test(flavor = "multi_thread")]
async fn acks_never_overtake_a_hole() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--writers", "8"]).await;
    let (mut conn, mut watch) = (database.connect().await, database.connect().await);
    let locked = new_id();
    daemon.submit(steps(locked, 1)).await;
    let table = pg::table_of("agent_runs", locked);
    let lock = format!("BEGIN; SELECT FROM {table} WHERE id = '{locked}' FOR UPDATE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock))
        .execute(&mut conn)
        .await
        .unwrap();

    let mut stream = Exchange::open(channel(daemon.grpc_url()).await).await;
    // Many runs: some of them belong to other shards than the locked one.
    let runs: Vec<Uuid> = (0..32).map(|_| new_id()).collect();
    stream.send(1, Vec::new()).await;
    stream.send(2, steps(locked, 1)).await;
    for (sequence, run) in (3..).zip(&runs) {
        stream.send(sequence, steps(*run, 1)).await;
    }
    let first = stream.acks.message().await.unwrap().unwrap();
    assert_eq!(first.settled_sequence, 1);
    wait_for("no later batch is committed", async || {
        let committed =
            "agent_steps WHERE run_id IN (SELECT id FROM agent_runs WHERE status = 'running')";
        count(&mut watch, committed).await > 1
    })
    .await;
    let early = timeout(Duration::from_millis(300), stream.acks.message()).await;
    assert!(early.is_err(), "{early:?}");
    sqlx::raw_sql("COMMIT").execute(&mut conn).await.unwrap();
    let acks = stream.close().await.unwrap();
    let (last, sum) = sum(&acks, 1);
    assert_eq!((last, sum.committed), (34, 33));
    daemon.finish().await;
}

/// Scenario: 500 batches over two runs are sent without waiting for any ack.
/// Guarantees: all are acked in order, each event counted once.
#[tokio::test(flavor = "multi_thread")]
async fn many_batches_may_be_in_flight() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let stream = Exchange::open(channel(daemon.grpc_url()).await).await;
    let runs = [new_id(), new_id()];
    for sequence in 1..=500 {
        let mut events = steps(runs[0], 5);
        events.extend(steps(runs[1], 5));
        stream.send(sequence, events).await;
    }
    let (last, sum) = sum(&stream.close().await.unwrap(), 0);
    assert_eq!((last, sum.committed, sum.duplicate), (500, 5_000, 0));
    for run in runs {
        assert_eq!(rows(&mut conn, run).await, 2_500);
    }
    daemon.finish().await;
}

/// Scenario: a client never reads its acks, which are large, and goes on
/// sending as fast as it is let.
/// Guarantees: it is held back for good, by its batches in flight or by the
/// events in them (each may be a refusal that waits to be read), while what it sent is settled and
/// leaves the memory budget, and other clients, on this connection too, are served.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_its_acks_is_held_back_alone() {
    let database = pg::database().await;
    for (batches, most) in [("16", 80), ("1024", 200)] {
        let daemon = Daemon::with_args(database.url(), &["--stream-batches", batches]).await;
        held_back(&database, &daemon, most).await;
        daemon.finish().await;
    }
}

/// `most` batches of 2,001 events are taken from a client that reads no ack.
async fn held_back(database: &pg::TestDatabase, daemon: &Daemon, most: u64) {
    let mut conn = database.connect().await;
    let shared = channel(daemon.grpc_url()).await;
    let stream = Exchange::open(shared.clone()).await;
    let run = new_id();
    let batch = || {
        let mut events = vec![Event::default(); 2_000];
        events.push(message(0, Some(run), None, new_id()));
        events
    };
    let mut sent: u64 = 0;
    let send = |sequence| {
        let requests = stream.requests.clone();
        async move { requests.send(request(sequence, batch())).await }
    };
    // Half a second without progress, and that twice: it is held back.
    for _ in 0..2 {
        while let Ok(taken) = timeout(Duration::from_millis(500), send(sent + 1)).await {
            taken.unwrap();
            sent += 1;
            assert!(sent < 1_000, "it is never held back");
        }
    }
    wait_for("the budget is not free again", async || {
        daemon.metrics().await["runtraced_memory_used_bytes"] == 0
    })
    .await;
    let received = daemon.metrics().await["runtraced_events_received_total"];
    // Beside those in flight some are acked in the client's window of 2 MiB;
    // what is not received waits in the daemon's.
    assert!(received <= most * 2_001, "{received} of {sent} batches");
    println!("{sent} sent, {} received", received / 2_001);

    assert_eq!(daemon.submit(steps(new_id(), 10)).await.committed, 10);
    let other = Exchange::open(shared).await;
    other.send(1, steps(new_id(), 10)).await;
    assert_eq!(sum(&other.close().await.unwrap(), 0).1.committed, 10);

    // Once it reads, everything goes on, and nothing is missing.
    let acks = stream.close().await.unwrap();
    let (last, sum) = sum(&acks, 0);
    assert_eq!((last, sum.committed), (sent, sent));
    assert_eq!(sum.refused.len() as u64, sent * 2_000);
    let messages = format!("agent_messages WHERE run_id = '{run}'");
    assert_eq!(count(&mut conn, &messages).await.unsigned_abs(), sent);
}

/// Scenario: a client's connection is cut while it sends, again and again.
/// Guarantees: each batch it got through is settled whole or not at all, the
/// counts add up, and a retry of everything leaves each event once.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_leaves_whole_batches() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    for patience in [0, 3, 20, 60] {
        let runs: Vec<Uuid> = (0..200).map(|_| new_id()).collect();
        // A batch is one run's, so that the run shows whether it is whole.
        let batches: Vec<Vec<Event>> = runs.iter().map(|run| steps(*run, 50)).collect();
        let proxy = Proxy::start(daemon.grpc_url()).await;
        let mut stream = Exchange::open(channel(&proxy.url).await).await;
        let sending = async {
            for (sequence, batch) in (1..).zip(&batches) {
                let request = request(sequence, batch.clone());
                if stream.requests.send(request).await.is_err() {
                    break;
                }
            }
        };
        let _ = timeout(Duration::from_millis(patience), sending).await;
        proxy.cut().await;
        // Acks that came through before the cut count.
        let mut acked = 0;
        while let Ok(Some(ack)) = stream.acks.message().await {
            acked = ack.settled_sequence;
        }
        daemon.check_counts().await;
        for (number, run) in (1..).zip(&runs) {
            let rows = rows(&mut conn, *run).await;
            assert!(
                rows == 50 || (rows == 0 && number > acked),
                "{rows} of batch {number}, {acked} acked"
            );
        }
        let again = Exchange::open(channel(daemon.grpc_url()).await).await;
        for (sequence, batch) in (1..).zip(batches) {
            again.send(sequence, batch).await;
        }
        let (last, sum) = sum(&again.close().await.unwrap(), 0);
        assert_eq!((last, sum.committed + sum.duplicate), (200, 10_000));
        for run in runs {
            assert_eq!(rows(&mut conn, run).await, 50);
        }
    }
    daemon.finish().await;
}

/// Scenario: a client drops its call, with acks outstanding, without closing.
/// Guarantees: as above; the daemon notices and frees everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_drops_its_call_is_forgotten() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let channel = channel(daemon.grpc_url()).await;
    for _ in 0..20 {
        let stream = Exchange::open(channel.clone()).await;
        for sequence in 1..=20 {
            stream.send(sequence, steps(new_id(), 20)).await;
        }
        drop(stream);
    }
    daemon.check_counts().await;
    daemon.finish().await;
}

/// Scenario: requests compressed with gzip and zstd, and one in a way that the
/// daemon does not know.
/// Guarantees: the former are taken by Submit and by Stream.
#[tokio::test(flavor = "multi_thread")]
async fn compressed_requests_are_taken() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let run = new_id();
        let client =
            TraceIngestClient::new(channel(daemon.grpc_url()).await).send_compressed(encoding);
        let submit = runtraced::proto::SubmitRequest {
            events: steps(run, 1_000),
            ..Default::default()
        };
        let response = client.clone().submit(submit).await.unwrap().into_inner();
        assert_eq!(response.outcome.unwrap().committed, 1_000);
        let stream = Exchange::with(client).await;
        for sequence in 1..=10 {
            stream.send(sequence, steps(run, 100)).await;
        }
        let (last, sum) = sum(&stream.close().await.unwrap(), 0);
        assert_eq!((last, sum.committed), (10, 1_000));
        assert_eq!(rows(&mut conn, run).await, 2_000);
    }
    daemon.finish().await;
}

/// Scenario: a compressed message that is small, but larger than
/// `--max-message-bytes` once unpacked.
/// Guarantees: the call is refused; the daemon does not unpack it all.
#[tokio::test(flavor = "multi_thread")]
async fn the_limit_holds_for_what_is_unpacked() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--max-message-bytes", "1048576"]).await;
    let (_, before) = rss_kib(daemon.pid());
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let endpoint = Endpoint::from_shared(daemon.grpc_url().to_owned()).unwrap();
        let mut client =
            TraceIngestClient::new(endpoint.connect().await.unwrap()).send_compressed(encoding);
        let mut event = message(0, Some(new_id()), None, new_id());
        if let Some(runtraced::proto::event::Event::MessageAppended(message)) = &mut event.event {
            message.content = Some("a".repeat(100 << 20));
        }
        let events = vec![event];
        let status = client
            .submit(runtraced::proto::SubmitRequest {
                events,
                ..Default::default()
            })
            .await;
        let status = status.unwrap_err();
        assert!(
            matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted),
            "{status}"
        );
        let (_, peak) = rss_kib(daemon.pid());
        assert!(peak - before < 16 << 10, "{before} to {peak} KiB");
    }
    daemon.finish().await;
}
