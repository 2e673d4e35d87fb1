//! The disk beneath the spool is full.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use runtraced::proto::Durability;
use runtraced_client::{Client, RetryPolicy};
use sqlx::{Connection as _, PgConnection};

use super::machine::Machine;
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_started};
use crate::support::load::Load;
use crate::support::pg;
use crate::support::tables::count;

const AWAY: &str = "the database is away";
const NOWHERE: &str = "neither Postgres nor the spool accepts events";
const AGAIN: &str = "the spool accepts events again";
const UNKEPT: &str = "cannot write the key cache";

async fn daemon(url: &str, machine: &Machine) -> Daemon {
    let args = ["--spool-bytes", "1073741824", "--spool-after", "0.5"];
    let mut daemon = machine
        .spawn(url, &[&args[..], &["--writers", "1"]].concat())
        .await;
    daemon.expect_warnings(AWAY);
    daemon.expect_warnings(NOWHERE);
    daemon.wait_ready().await;
    daemon
}

async fn metric(daemon: &Daemon, name: &str) -> u64 {
    daemon.metrics().await[name]
}

async fn wait_until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How many times something was logged.
fn said(daemon: &Daemon, text: &str) -> usize {
    daemon.logs().matches(text).count()
}

/// Scenario: while Postgres is away and events come, the disk becomes full amid a frame; later
/// there is room again, and later still Postgres.
/// Guarantees: acks stop; /readyz, the metrics, `runtraced status` and a WARN tell it; with room
/// acks go on by themselves, and it is told; in the end everything is there exactly once, and nothing
/// is left in the spool.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_acks_until_there_is_room() {
    let mut cluster = pg::own_cluster().await;
    let machine = Machine::new();
    let daemon = daemon(cluster.url(), &machine).await;
    let seed = u64::from(rand::random::<u32>());
    println!("RUNTRACED_TEST_SEED={seed}");
    let pause = Duration::from_millis(10);
    let urls = [daemon.grpc_url()];
    let load = Load::paced(pause, seed, &urls, 2, RetryPolicy::default()).await;
    load.wait_for_acks(5).await;
    cluster.stop_immediate().await;
    wait_until("nothing is spooled", async || load.oracle.spooled() > 5).await;
    machine.fill_up(5_000);
    machine.felt(Machine::refused).await;
    daemon.wait_ready_state(false).await;
    // What fits yet is taken; then nothing is.
    wait_until("acks go on", async || {
        let before = load.oracle.acked();
        tokio::time::sleep(Duration::from_millis(500)).await;
        load.oracle.acked() == before
    })
    .await;
    assert_eq!(metric(&daemon, "runtraced_spool_refusing").await, 1);
    assert!(metric(&daemon, "runtraced_memory_used_bytes").await > 0);
    assert!(daemon.logs().contains("No space left on device"));
    let (refused, taken) = (said(&daemon, NOWHERE), said(&daemon, AGAIN));
    // A small frame may have fitted after a large one did not.
    assert_eq!(refused, taken + 1, "{}", daemon.logs());
    let mut status = Command::new(env!("CARGO_BIN_EXE_runtraced"));
    status.args(["status", "--http", daemon.http_address()]);
    let status = status.env("DATABASE_URL", cluster.url()).output().unwrap();
    let told = String::from_utf8(status.stdout).unwrap();
    assert_eq!(status.status.code(), Some(1), "{told}");
    assert!(told.contains("REFUSES events: it is full"), "{told}");

    machine.give_room();
    load.wait_for_acks(30).await;
    daemon.wait_ready().await;
    assert_eq!(metric(&daemon, "runtraced_spool_refusing").await, 0);
    assert_eq!(metric(&daemon, "runtraced_spooling").await, 1);
    assert_eq!(said(&daemon, NOWHERE), refused);
    assert_eq!(said(&daemon, AGAIN), taken + 1);

    cluster.start().await;
    let oracle = load.finish().await;
    let spooled = "runtraced_events_settled_total{outcome=\"spooled\"}";
    wait_until("not replayed", async || metric(&daemon, spooled).await == 0).await;
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    oracle.check_acked(&mut conn).await;
    oracle.check_all(&mut conn).await;
    oracle.check_nothing_else(&mut conn, &[]).await;
    conn.close().await.unwrap();
    daemon.finish().await;
    let left = runtraced::spool::list(&machine.spool).unwrap();
    assert!(left.is_empty(), "{left:?}");
}

/// Sends one run and waits for its ack.
async fn send_one(client: &Client) {
    let answer = client.submit(vec![run_started(0, new_id())]).await.unwrap();
    assert_eq!(answer.durability(), Durability::Spooled);
}

/// Scenario: a batch comes while Postgres is away and the disk is full. Then there is room again, and
/// other clients send without a pause.
/// Guarantees: the batch is acked soon, although there is always a newer one.
#[tokio::test(flavor = "multi_thread")]
async fn who_waited_for_room_is_not_overtaken_forever() {
    let mut cluster = pg::own_cluster().await;
    let machine = Machine::new();
    let daemon = daemon(cluster.url(), &machine).await;
    cluster.stop_immediate().await;
    machine.fill_up(0);
    let client = daemon.client().await;
    let first = tokio::spawn({
        let client = client.clone();
        async move { send_one(&client).await }
    });
    machine.felt(Machine::refused).await;
    let stop = Arc::new(AtomicBool::new(false));
    let others = tokio::spawn({
        let (client, stop) = (client.clone(), stop.clone());
        async move {
            let mut calls = tokio::task::JoinSet::new();
            while !stop.load(Relaxed) {
                let client = client.clone();
                calls.spawn(async move { send_one(&client).await });
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let sent = calls.len();
            calls.join_all().await;
            sent
        }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!first.is_finished(), "acked on a full disk");
    machine.give_room();
    let acked = tokio::time::timeout(Duration::from_secs(5), first).await;
    stop.store(true, Relaxed);
    acked.expect("overtaken for 5 s").unwrap();
    let others = others.await.unwrap();
    cluster.start().await;
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    let sent = i64::try_from(others + 1).unwrap();
    wait_until("not replayed", async || {
        count(&mut conn, "agent_runs").await == sent
    })
    .await;
    conn.close().await.unwrap();
    daemon.finish().await;
}

/// Scenario: a key is made while the disk has no room for the file of the keys that are known at the
/// next start; Postgres goes away, and only then there is room. Later the key's rate changes.
/// Guarantees: one WARN; with room the file has the key, without a hand and without Postgres; it
/// follows a change of rates as well.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_kept_once_there_is_room() {
    let mut cluster = pg::own_cluster().await;
    let machine = Machine::new();
    let mut daemon = daemon(cluster.url(), &machine).await;
    daemon.expect_warnings(UNKEPT);
    let file = machine.spool.join("keys.json");
    let keys = |file: &Path| std::fs::read_to_string(file).unwrap_or_default();
    wait_until("no keys are kept", async || keys(&file) == "[]").await;
    machine.fill_up(0);
    let mut create = Command::new(env!("CARGO_BIN_EXE_runtraced"));
    create.args(["keys", "create", "--name", "late"]);
    let created = create.env("DATABASE_URL", cluster.url()).output().unwrap();
    assert!(created.status.success());
    wait_until("it is not told", async || said(&daemon, UNKEPT) == 1).await;
    machine.felt(Machine::refused).await;
    assert_eq!(keys(&file), "[]");
    cluster.stop_immediate().await;
    machine.give_room();
    wait_until("the key is not kept", async || {
        keys(&file).contains("sha256")
    })
    .await;
    assert_eq!(said(&daemon, UNKEPT), 1);
    cluster.start().await;
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    sqlx::raw_sql("UPDATE ingest_keys SET max_events_per_second = 7")
        .execute(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
    wait_until("the rate is not kept", async || {
        keys(&file).contains("\"max_events_per_second\":7")
    })
    .await;
    daemon.finish().await;
}
