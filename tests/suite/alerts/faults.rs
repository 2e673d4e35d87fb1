//! Real faults, and the alerts that they fire.

use std::time::{Duration, Instant};

use runtraced::proto::SubmitRequest;
use runtraced::proto::trace_ingest_client::TraceIngestClient;

use super::assert_firing;
use super::promtool::Scrapes;
use crate::support::daemon::{AWAY, Daemon};
use crate::support::events::{long_message, new_id, run_started};
use crate::support::pg;
use crate::support::product::{poisoned_step, refuse_poison};
use crate::support::spool::SpoolDir;
use crate::support::wire::channel;

/// Waits until a metric has a value.
async fn wait_for(daemon: &Daemon, name: &str, value: u64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while daemon.metrics().await[name] != value {
        assert!(
            Instant::now() < deadline,
            "{name} never was {value}: {}",
            daemon.logs()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Scenario: a daemon that has nothing to do; then it is stopped.
/// Guarantees: no alert fires while it runs, however long; then one fires, after two minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_gone() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut scrapes = Scrapes::default();
    scrapes.minutes(&daemon, 100).await;
    scrapes.assert_firing(&[]);
    daemon.finish().await;
    scrapes.silence(2);
    scrapes.assert_firing(&[]);
    scrapes.silence(2);
    scrapes.assert_firing(&["RuntracedMissing"]);
}

/// Scenario: Postgres crashes; the daemon has no spool.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_not_ready() {
    let mut cluster = pg::own_cluster().await;
    let mut daemon = Daemon::start(cluster.url()).await;
    daemon.expect_warnings(AWAY);
    cluster.stop_immediate().await;
    daemon.wait_ready_state(false).await;
    assert_firing(&daemon, &["RuntracedNotReady"]).await;
    cluster.start().await;
    daemon.wait_ready().await;
    assert_firing(&daemon, &[]).await;
    daemon.finish().await;
}

/// Scenario: Postgres crashes; events are spooled; then Postgres is back.
/// Guarantees: the alert fires only after five minutes, and no more when the spool is replayed.
#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_away() {
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    let mut daemon = Daemon::with_args(cluster.url(), &dir.flags(&[])).await;
    daemon.expect_warnings(AWAY);
    cluster.stop_immediate().await;
    let client = daemon.client().await;
    let spooled = client.submit(vec![run_started(0, new_id())]).await.unwrap();
    assert_eq!(spooled.outcome.unwrap().spooled, 1);
    let mut scrapes = Scrapes::default();
    scrapes.minutes(&daemon, 5).await;
    scrapes.assert_firing(&[]);
    scrapes.minutes(&daemon, 1).await;
    scrapes.assert_firing(&["RuntracedSpooling"]);
    drop(client);
    cluster.start().await;
    wait_for(&daemon, "runtraced_spooling", 0).await;
    let spooled = "runtraced_events_settled_total{outcome=\"spooled\"}";
    wait_for(&daemon, spooled, 0).await;
    scrapes.minutes(&daemon, 1).await;
    scrapes.assert_firing(&[]);
    daemon.finish().await;
}

/// Scenario: Postgres is away until the spool and the memory budget are full.
#[tokio::test(flavor = "multi_thread")]
async fn a_spool_and_a_memory_that_are_full() {
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    let budget = "1048576";
    let args = [
        "--spool-bytes",
        budget,
        "--memory-budget-bytes",
        budget,
        "--spool-after",
        "0.1",
    ];
    let mut daemon = Daemon::with_args(cluster.url(), &dir.flags(&args)).await;
    daemon.expect_warnings(AWAY);
    daemon.expect_warnings("neither Postgres nor the spool accepts events");
    cluster.stop_immediate().await;
    let channel = channel(daemon.grpc_url()).await;
    let mut waiting = Vec::new();
    let used = async || daemon.metrics().await["runtraced_memory_used_bytes"];
    // The last ones are refused: the budget has no place for another one.
    while used().await < 950 << 10 {
        assert!(waiting.len() < 1_000, "never full");
        let mut client = TraceIngestClient::new(channel.clone());
        let request = SubmitRequest {
            events: vec![long_message(new_id(), 20 << 10)],
            ..Default::default()
        };
        waiting.push(tokio::spawn(async move { client.submit(request).await }));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    daemon.wait_ready_state(false).await;
    let firing = [
        "RuntracedMemoryFull",
        "RuntracedNotReady",
        "RuntracedSpoolFilling",
        "RuntracedSpoolRefusing",
        "RuntracedSpooling",
    ];
    assert_firing(&daemon, &firing).await;
    cluster.start().await;
    for call in waiting {
        // Refused or stored; nothing hangs.
        let _ = call.await.unwrap();
    }
    daemon.wait_ready().await;
    daemon.finish().await;
}

/// Scenario: a rule of the product refuses an event.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_postgres_refuses() {
    let database = pg::database().await;
    refuse_poison(&mut database.connect().await).await;
    let mut daemon = Daemon::start(database.url()).await;
    daemon.expect_warnings("dead letter");
    let mut scrapes = Scrapes::default();
    scrapes.minutes(&daemon, 8).await;
    let outcome = daemon.submit(vec![poisoned_step()]).await;
    assert_eq!(outcome.refused.len(), 1);
    scrapes.minutes(&daemon, 1).await;
    scrapes.assert_firing(&["RuntracedDeadLetters"]);
    scrapes.minutes(&daemon, 16).await;
    scrapes.assert_firing(&[]);
    daemon.finish().await;
}

/// Scenario: an agent sends without the key that the daemon requires, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_key() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--require-keys"]).await;
    let mut scrapes = Scrapes::default();
    scrapes.minutes(&daemon, 8).await;
    let client = daemon.client().await;
    for _ in 0..20 {
        let refused = client.submit(vec![run_started(0, new_id())]).await;
        assert!(refused.is_err());
    }
    scrapes.minutes(&daemon, 8).await;
    scrapes.assert_firing(&["RuntracedKeysRefused"]);
    daemon.finish().await;
}

/// Scenario: a client opens more connections than there may be.
#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_there_may_be() {
    let database = pg::database().await;
    let args = ["--max-connections", "3", "--handshake-timeout", "60"];
    let mut daemon = Daemon::with_args(database.url(), &args).await;
    daemon.expect_warnings("--max-connections");
    let mut scrapes = Scrapes::default();
    scrapes.minutes(&daemon, 8).await;
    let address = daemon.grpc_url().strip_prefix("http://").unwrap();
    let mut sockets = Vec::new();
    for _ in 0..6 {
        sockets.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    let ended = "runtraced_connections_ended_total{door=\"grpc\",reason=\"full\"}";
    wait_for(&daemon, ended, 3).await;
    scrapes.minutes(&daemon, 8).await;
    scrapes.assert_firing(&["RuntracedConnectionsFull"]);
    drop(sockets);
    daemon.finish().await;
}

/// Scenario: agents send; then they do not for a long time.
#[tokio::test(flavor = "multi_thread")]
async fn agents_that_send_no_more() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut scrapes = Scrapes::default();
    scrapes.minutes(&daemon, 1).await;
    daemon.submit(vec![run_started(0, new_id())]).await;
    scrapes.minutes(&daemon, 55).await;
    scrapes.assert_firing(&[]);
    scrapes.minutes(&daemon, 30).await;
    scrapes.assert_firing(&["RuntracedNoEvents"]);
    daemon.finish().await;
}
