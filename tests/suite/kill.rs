//! A crash of the daemon or of Postgres loses nothing that was acknowledged (promise 1).

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use runtraced_client::RetryPolicy;
use sqlx::{Connection as _, PgConnection};

use crate::support::daemon::{AWAY, Daemon};
use crate::support::load::Load;
use crate::support::pg::{self, OwnCluster};
use crate::support::stream::{deliver, lanes};

const KILLS: usize = 10;
const STREAMS: u64 = 4;

fn seeded() -> (u64, StdRng) {
    let seed = std::env::var("RUNTRACED_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| rand::random::<u32>().into());
    println!("RUNTRACED_TEST_SEED={seed}");
    (seed, StdRng::seed_from_u64(seed))
}

/// Everything is there exactly once when the load has ended.
async fn ends_well(load: Load, cluster: &OwnCluster, daemon: Daemon) {
    let oracle = load.finish().await;
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    oracle.check_acked(&mut conn).await;
    oracle.check_all(&mut conn).await;
    conn.close().await.unwrap();
    daemon.finish().await;
}

/// Scenario: the daemon is killed with SIGKILL ten times, each time at a random moment under
/// load; a new one is started and everything is sent again, in another order.
/// Guarantees: after each kill, before anything is sent again, the row of every acked event is in
/// Postgres; after the retry everything is there exactly once, with exact totals.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_the_daemon_loses_nothing_acked() {
    let (seed, mut rng) = seeded();
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let mut daemon = Daemon::start(database.url()).await;
    let (mut oracles, mut acked) = (Vec::new(), 0);
    for kill in 0..KILLS {
        // Who gives up too early only sends less.
        let patience = Duration::from_millis(200);
        let seed_of_load = seed + kill as u64;
        let load = Load::on_mortal(patience, seed_of_load, daemon.grpc_url(), STREAMS).await;
        let moment = Duration::from_millis(rng.random_range(20..600));
        tokio::time::sleep(moment).await;
        daemon.kill();
        let oracle = load.given_up().await;
        acked += oracle.acked();
        oracle.check_acked(&mut conn).await;

        daemon = Daemon::start(database.url()).await;
        oracle.check_acked(&mut conn).await;
        let mut batches = oracle.batches();
        batches.shuffle(&mut rng);
        let lanes = lanes(batches, STREAMS as usize);
        deliver(&[daemon.client().await], lanes).await;
        oracle.check_all(&mut conn).await;
        oracles.push(oracle);
    }
    assert!(acked > KILLS, "too few acks to prove anything: {acked}");
    // No later crash or retry has changed the runs of earlier rounds.
    for oracle in oracles {
        oracle.check_all(&mut conn).await;
    }
    daemon.finish().await;
}

/// Scenario: `pg_ctl stop -m immediate` three times under load, at random moments, with Postgres
/// away for a while each time; the daemon stays up and its clients do nothing.
/// Guarantees: what was acked survives the crash; /readyz says 503 while Postgres is away and 200
/// after it; acks go on by themselves; in the end everything is there exactly once.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_postgres_loses_nothing_acked() {
    let (seed, mut rng) = seeded();
    let mut cluster = pg::own_cluster().await;
    let mut daemon = Daemon::start(cluster.url()).await;
    daemon.expect_warnings(AWAY);
    let load = Load::start(seed, &[daemon.grpc_url()], STREAMS, RetryPolicy::default()).await;
    for _ in 0..3 {
        load.wait_for_acks(20).await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..300))).await;
        cluster.stop_immediate().await;
        daemon.wait_ready_state(false).await;
        assert_eq!(daemon.get("/livez").await.0, 200);
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..300))).await;
        cluster.start().await;
        let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
        load.oracle.check_acked(&mut conn).await;
        daemon.wait_ready().await;
        load.wait_for_acks(20).await;
    }
    ends_well(load, &cluster, daemon).await;
}

/// Scenario: under load Postgres is frozen for longer than --commit-timeout, and thaws.
/// Guarantees: nothing is acked meanwhile; /readyz says 503 and then 200; the transactions given
/// up, which Postgres may still commit, do no harm: everything is there exactly once.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_postgres_loses_nothing_acked() {
    let (seed, _) = seeded();
    let cluster = pg::own_cluster().await;
    let mut daemon = Daemon::with_args(cluster.url(), &["--commit-timeout", "1"]).await;
    daemon.expect_warnings(AWAY);
    let load = Load::start(seed, &[daemon.grpc_url()], STREAMS, RetryPolicy::default()).await;
    load.wait_for_acks(20).await;
    cluster.sigstop();
    // What was committed just before may still be acked.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (frozen, acked) = (Instant::now(), load.oracle.acked());
    daemon.wait_ready_state(false).await;
    tokio::time::sleep(Duration::from_millis(3_000).saturating_sub(frozen.elapsed())).await;
    assert_eq!(load.oracle.acked(), acked);
    cluster.sigcont();
    daemon.wait_ready().await;
    load.wait_for_acks(20).await;
    ends_well(load, &cluster, daemon).await;
}
