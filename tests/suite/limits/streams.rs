//! How many streams, and how fast they may be given up.

use std::time::Duration;

use bytes::Bytes;
use runtraced::proto::trace_ingest_client::TraceIngestClient;
use runtraced::proto::{Durability, StreamRequest, SubmitRequest};
use tokio::net::TcpStream;
use tonic::Code;

use super::{ended, grpc_address};
use crate::support::daemon::Daemon;
use crate::support::events::{long_message, new_id, steps};
use crate::support::pg;
use crate::support::process::rss_kib;
use crate::support::spool::SpoolDir;
use crate::support::wire::{Exchange, channel};

/// Scenario: as many streams as allowed over all connections, then one more;
/// then one goes.
/// Guarantees: the one more is told RESOURCE_EXHAUSTED with a delay; after one
/// has gone there is room.
#[tokio::test(flavor = "multi_thread")]
async fn one_stream_too_many_is_told_to_come_again() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--max-streams", "4"]).await;
    let mut open = Vec::new();
    for number in 0..4 {
        let stream = Exchange::open(channel(daemon.grpc_url()).await).await;
        stream.send(1, steps(new_id(), number + 1)).await;
        open.push(stream);
    }
    let mut client = TraceIngestClient::new(channel(daemon.grpc_url()).await);
    let status = client.submit(SubmitRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let details = tonic_types::StatusExt::get_error_details(&status);
    assert!(details.retry_info().is_some(), "{status}");
    let page = daemon.get("/v1/traces").await;
    assert_eq!(page.0, 429, "{page:?}");
    assert_eq!(daemon.get("/livez").await.0, 200, "pages are not counted");
    for stream in open {
        stream.close().await.unwrap();
    }
    let answer = client.submit(SubmitRequest::default()).await;
    assert!(answer.is_ok(), "{answer:?}");
    daemon.finish().await;
}

/// Scenario: a client that opens more streams on one connection than the daemon
/// says it may.
/// Guarantees: what the daemon allows is open; the rest waits at the client, and
/// goes on as soon as a stream ends.
#[tokio::test(flavor = "multi_thread")]
async fn streams_beyond_those_of_a_connection_wait_at_the_client() {
    let database = pg::database().await;
    let args = ["--max-streams-per-connection", "2"];
    let daemon = Daemon::with_args(database.url(), &args).await;
    let shared = channel(daemon.grpc_url()).await;
    // The limit comes with the first SETTINGS.
    let mut client = TraceIngestClient::new(shared.clone());
    client.submit(SubmitRequest::default()).await.unwrap();
    let one = Exchange::open(shared.clone()).await;
    let two = Exchange::open(shared.clone()).await;
    let third = Exchange::open(shared);
    tokio::pin!(third);
    let waiting = tokio::time::timeout(Duration::from_millis(500), third.as_mut()).await;
    assert!(waiting.is_err(), "a third stream is open");
    one.close().await.unwrap();
    third.await.close().await.unwrap();
    two.close().await.unwrap();
    daemon.finish().await;
}

/// Scenario: thousands of streams on a connection, each opened and reset at
/// once, again and again (CVE-2023-44487).
/// Guarantees: such a connection is ended by the daemon, memory does not grow,
/// and others are served meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_end_the_connection() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--max-pending-resets", "20"]).await;
    let wanted: usize = match std::env::var("RUNTRACED_RESETS") {
        Ok(resets) => resets.parse().unwrap(),
        Err(_) => 5_000,
    };
    assert_eq!(daemon.submit(steps(new_id(), 2)).await.committed, 2);
    let (before, _) = rss_kib(daemon.pid());
    let (mut resets, mut connections) = (0, 0);
    while resets < wanted {
        connections += 1;
        resets += reset_until_refused(&daemon, wanted - resets).await;
        if connections % 10 == 0 {
            assert_eq!(daemon.submit(steps(new_id(), 2)).await.committed, 2);
        }
    }
    let (_, peak) = rss_kib(daemon.pid());
    let grown = peak.saturating_sub(before) >> 10;
    println!("{resets} resets over {connections} connections; grown by {grown} MiB");
    assert!(grown < 64, "{grown} MiB");
    assert!(ended(&daemon, "grpc", "protocol").await > 0);
    assert_eq!(daemon.submit(steps(new_id(), 2)).await.committed, 2);
    daemon.finish().await;
}

/// Opens and resets streams until the connection is over, or so many.
async fn reset_until_refused(daemon: &Daemon, most: usize) -> usize {
    let socket = TcpStream::connect(grpc_address(daemon)).await.unwrap();
    let (mut requests, connection) = h2::client::handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let uri = format!(
        "http://{}/runtraced.v1.TraceIngest/Stream",
        grpc_address(daemon)
    );
    let mut resets = 0;
    while resets < most {
        let request = axum::http::Request::post(&uri)
            .header("content-type", "application/grpc")
            .body(())
            .unwrap();
        let Ok(ready) = requests.clone().ready().await else {
            break;
        };
        requests = ready;
        let Ok((response, mut body)) = requests.send_request(request, false) else {
            break;
        };
        let _ = body.send_data(Bytes::from_static(&[0; 5]), false);
        body.send_reset(h2::Reason::CANCEL);
        drop(response);
        resets += 1;
    }
    drop(requests);
    let _ = tokio::time::timeout(Duration::from_secs(10), connection).await;
    resets.max(1)
}

/// Scenario: while Postgres is frozen, many streams bring more that is to be
/// committed than there is room for; then others bring what may be spooled.
/// Guarantees: the latter are acked from the spool; of the former those who find
/// no room are told to come again, the others wait, and are acked when it thaws.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_postgres_leaves_room_for_others() {
    let cluster = pg::own_cluster().await;
    let spool = SpoolDir::new();
    let narrow = ["--spool-after", "0.3", "--memory-budget-bytes", "8388608"];
    let mut daemon = Daemon::with_args(cluster.url(), &spool.flags(&narrow)).await;
    // That the database is away.
    daemon.expect_warnings("");
    cluster.sigstop();
    let large = |least: Durability| StreamRequest {
        sequence: 1,
        events: vec![long_message(new_id(), 200_000)],
        least_durability: least.into(),
    };
    let mut waiting = Vec::new();
    for _ in 0..60 {
        let stream = Exchange::open(channel(daemon.grpc_url()).await).await;
        let request = large(Durability::Committed);
        stream.requests.send(request).await.unwrap();
        waiting.push(stream);
    }
    for _ in 0..10 {
        let stream = Exchange::open(channel(daemon.grpc_url()).await).await;
        let request = large(Durability::Spooled);
        stream.requests.send(request).await.unwrap();
        let acks = tokio::time::timeout(Duration::from_secs(30), stream.close());
        let acks = acks.await.expect("it waits behind the others").unwrap();
        assert_eq!(acks[0].durability(), Durability::Spooled);
    }
    cluster.sigcont();
    let (mut acked, mut told) = (0, 0);
    for stream in waiting {
        match stream.close().await {
            Ok(acks) => {
                assert_eq!(acks[0].durability(), Durability::Committed);
                acked += 1;
            }
            Err((_, status)) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                told += 1;
            }
        }
    }
    println!("{acked} acked, {told} told to come again");
    assert!(acked >= 20 && told > 0, "{acked} acked, {told} told");
    daemon.finish().await;
}
