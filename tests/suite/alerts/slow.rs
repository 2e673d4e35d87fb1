//! Faults that make events wait, and the alerts that they fire.

use std::time::{Duration, Instant};

use runtraced::proto::SubmitRequest;
use runtraced::proto::trace_ingest_client::TraceIngestClient;
use sqlx::Executor as _;
use tokio::task::JoinSet;

use super::promtool::Scrapes;
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_started};
use crate::support::pg::{self, TestDatabase};
use crate::support::product::execute;
use crate::support::wire::channel;

/// More than the ten that may be chance.
const MANY: usize = 13;
const UNSETTLED: &str = "runtraced_oldest_unsettled_seconds";
const DROPPED: &str = "runtraced_own_spans_total{outcome=\"not_taken\"}";

fn one_run() -> SubmitRequest {
    SubmitRequest {
        events: vec![run_started(0, new_id())],
        ..Default::default()
    }
}

/// Waits until a metric is as it should be.
async fn wait_for(daemon: &Daemon, name: &str, is_awaited: impl Fn(f64) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let (_, text) = daemon.get("/metrics").await;
        let value = text.lines().find_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series == name).then(|| value.parse().unwrap())
        });
        if value.is_some_and(&is_awaited) {
            return;
        }
        assert!(Instant::now() < deadline, "{name}: {value:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A trigger of the product that sleeps.
async fn sleep(database: &TestDatabase, seconds: f64, trigger: &str) {
    let statements = format!(
        "CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS
         $f$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $f$;
         CREATE {trigger} EXECUTE FUNCTION sleep()"
    );
    execute(&mut database.connect().await, statements).await;
}

/// Scenario: each statement that creates runs takes longer than a second; many clients send at once.
/// Guarantees: slow acks fire their alert after five minutes, and none ten minutes later.
#[tokio::test(flavor = "multi_thread")]
async fn acks_that_are_slow() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut scrapes = Scrapes::default();
    scrapes.minutes(&daemon, 5).await;
    let each = "TRIGGER sleep AFTER INSERT ON agent_runs FOR EACH STATEMENT";
    sleep(&database, 1.1, each).await;
    let client = TraceIngestClient::new(channel(daemon.grpc_url()).await);
    let mut calls = JoinSet::new();
    for _ in 0..MANY {
        let mut client = client.clone();
        calls.spawn(async move { client.submit(one_run()).await });
    }
    for answer in calls.join_all().await {
        assert_eq!(answer.unwrap().into_inner().outcome.unwrap().committed, 1);
    }
    scrapes.minutes(&daemon, 1).await;
    scrapes.assert_firing(&[]);
    scrapes.minutes(&daemon, 6).await;
    scrapes.assert_firing(&["RuntracedAcksSlow"]);
    scrapes.minutes(&daemon, 10).await;
    scrapes.assert_firing(&[]);
    daemon.finish().await;
}

/// Scenario: commits take longer than half a second, by a deferred trigger; one client sends again
/// and again.
#[tokio::test(flavor = "multi_thread")]
async fn commits_that_are_slow() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut scrapes = Scrapes::default();
    scrapes.minutes(&daemon, 5).await;
    let deferred = "CONSTRAINT TRIGGER sleep AFTER INSERT ON agent_runs
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW";
    sleep(&database, 0.6, deferred).await;
    for _ in 0..MANY {
        daemon.submit(vec![run_started(0, new_id())]).await;
    }
    scrapes.minutes(&daemon, 1).await;
    scrapes.assert_firing(&[]);
    scrapes.minutes(&daemon, 6).await;
    scrapes.assert_firing(&["RuntracedCommitsSlow"]);
    daemon.finish().await;
}

/// Scenario: somebody locks the table of runs for half a minute; the daemon has no spool.
/// Guarantees: the alert fires although the client has given up, and no more when the event is in
/// Postgres.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_wait() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut locker = database.connect().await;
    locker
        .execute("BEGIN; LOCK TABLE agent_runs IN EXCLUSIVE MODE")
        .await
        .unwrap();
    let mut client = TraceIngestClient::new(channel(daemon.grpc_url()).await);
    let waits = tokio::spawn(async move { client.submit(one_run()).await });
    wait_for(&daemon, UNSETTLED, |seconds| seconds > 30.0).await;
    let mut scrapes = Scrapes::default();
    scrapes.minutes(&daemon, 2).await;
    scrapes.assert_firing(&[]);
    scrapes.minutes(&daemon, 2).await;
    scrapes.assert_firing(&["RuntracedEventsWaiting"]);
    assert!(waits.await.unwrap().is_err());
    locker.execute("COMMIT").await.unwrap();
    wait_for(&daemon, UNSETTLED, |seconds| seconds == 0.0).await;
    scrapes.minutes(&daemon, 1).await;
    scrapes.assert_firing(&[]);
    daemon.finish().await;
}

/// Scenario: the daemon tells of its own work, and nobody listens.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away() {
    let database = pg::database().await;
    let args = [
        "--otel-endpoint",
        "http://127.0.0.1:1",
        "--otel-sample",
        "1",
    ];
    let mut daemon = Daemon::with_args(database.url(), &args).await;
    daemon.expect_warnings("the collector does not take the daemon's own spans");
    let mut scrapes = Scrapes::default();
    scrapes.minutes(&daemon, 5).await;
    daemon.submit(vec![run_started(0, new_id())]).await;
    // Those of the request, and of the write batch.
    wait_for(&daemon, DROPPED, |spans| spans > 10.0).await;
    scrapes.minutes(&daemon, 7).await;
    scrapes.assert_firing(&["RuntracedOwnSpansDropped"]);
    daemon.finish().await;
}

/// Scenario: Postgres crashes, an event is spooled, and the daemon's clock goes on by two hours.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_is_old() {
    const AGE: &str = "runtraced_spool_oldest_seconds";
    let mut cluster = pg::own_cluster().await;
    let machine = crate::chaos::machine::Machine::new();
    let args = ["--spool-bytes", "1073741824"];
    let mut daemon = machine.spawn(cluster.url(), &args).await;
    daemon.expect_warnings(crate::support::daemon::AWAY);
    daemon.wait_ready().await;
    cluster.stop_immediate().await;
    let client = daemon.client().await;
    let answer = client.submit(one_run().events).await.unwrap();
    assert_eq!(answer.outcome.unwrap().spooled, 1);
    machine.set_clock(7_200);
    wait_for(&daemon, AGE, |seconds| seconds > 3_600.0).await;
    let mut scrapes = Scrapes::default();
    scrapes.minutes(&daemon, 4).await;
    scrapes.assert_firing(&[]);
    scrapes.minutes(&daemon, 3).await;
    scrapes.assert_firing(&["RuntracedSpoolOld", "RuntracedSpooling"]);
    drop(client);
    cluster.start().await;
    wait_for(&daemon, AGE, |seconds| seconds == 0.0).await;
    scrapes.minutes(&daemon, 1).await;
    scrapes.assert_firing(&[]);
    daemon.finish().await;
}
