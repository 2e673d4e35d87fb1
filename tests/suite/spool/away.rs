//! Postgres is stopped or frozen under load.

use std::time::{Duration, Instant};

use runtraced::proto::Durability;
use runtraced_client::{RetryPolicy, StreamOptions};
use sqlx::{Connection as _, PgConnection};

use super::{SpoolDir, daemon, metric, replayed, settled, wait_until};
use crate::support::events::{new_id, run_started};
use crate::support::load::Load;
use crate::support::pg;
use crate::support::tables::count;

/// Scenario: under load Postgres is stopped, comes back, is frozen, and thaws.
/// Guarantees: acks go on all the time, from the spool while it is away; /readyz stays 200; in
/// the end everything is there exactly once, the spool is empty and its files are gone, and the
/// counts add up.
#[tokio::test(flavor = "multi_thread")]
async fn agents_notice_nothing_but_spooled_acks() {
    let seed = u64::from(rand::random::<u32>());
    println!("RUNTRACED_TEST_SEED={seed}");
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    let daemon = daemon(cluster.url(), &dir, &["--spool-after", "0.5"]).await;
    for frozen in [false, true] {
        let retry = RetryPolicy::default();
        let load = Load::spooled_too(seed, &[daemon.grpc_url()], 4, retry).await;
        load.wait_for_acks(50).await;
        if frozen {
            cluster.sigstop();
        } else {
            cluster.stop_immediate().await;
        }
        let away = Instant::now();
        wait_until("nothing is spooled", async || load.oracle.spooled() > 200).await;
        assert!(away.elapsed() < Duration::from_secs(20));
        assert_eq!(daemon.get("/readyz").await.0, 200);
        assert_eq!(metric(&daemon, "runtraced_spooling").await, 1);
        assert!(settled(&daemon, "spooled").await > 0);
        if frozen {
            cluster.sigcont();
        } else {
            cluster.start().await;
        }
        let oracle = load.finish().await;
        replayed(&daemon).await;
        // On a busy machine a last slow answer closes the gate again, for a moment.
        wait_until("events go to Postgres again", async || {
            metric(&daemon, "runtraced_spooling").await == 0
        })
        .await;
        let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
        oracle.check_acked(&mut conn).await;
        oracle.check_all(&mut conn).await;
        conn.close().await.unwrap();
    }
    assert_eq!(metric(&daemon, "runtraced_spool_files").await, 0);
    assert_eq!(metric(&daemon, "runtraced_spool_used_bytes").await, 0);
    daemon.finish().await;
}

/// Scenario: while Postgres is away one stream asks for committed acks, another does not.
/// Guarantees: the other is acked from the spool at once; the first waits, and is acked as
/// committed when Postgres is back.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_committed_waits_for_postgres() {
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    let daemon = daemon(cluster.url(), &dir, &[]).await;
    cluster.stop_immediate().await;
    let client = daemon.client().await;
    let committed_only = StreamOptions {
        committed_only: true,
        ..StreamOptions::default()
    };
    let (told, mut acks) = tokio::sync::mpsc::channel(4);
    let mut patient = client.stream_observed(committed_only, move |settled| {
        told.try_send(settled.durability).unwrap();
    });
    patient
        .send(vec![run_started(0, new_id())], ())
        .await
        .unwrap();
    let spooled = client.submit(vec![run_started(0, new_id())]).await.unwrap();
    assert_eq!(spooled.durability(), Durability::Spooled);
    assert_eq!(spooled.outcome.unwrap().spooled, 1);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(acks.try_recv().is_err(), "acked while Postgres is away");

    cluster.start().await;
    assert_eq!(acks.recv().await, Some(Durability::Committed));
    patient.finish().await.unwrap();
    replayed(&daemon).await;
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    assert_eq!(count(&mut conn, "agent_runs").await, 2);
    conn.close().await.unwrap();
    daemon.finish().await;
}

/// Scenario: SIGTERM while Postgres is away, stopped or frozen, and batches come.
/// Guarantees: exit code 0 before the drain deadline; what was acked is in Postgres when the next
/// daemon has replayed it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_at_a_shutdown_is_spooled() {
    for frozen in [false, true] {
        let mut cluster = pg::own_cluster().await;
        let dir = SpoolDir::new();
        let args = ["--spool-after", "0.5", "--drain-timeout", "10"];
        let mut first = daemon(cluster.url(), &dir, &args).await;
        let load = Load::spooled_too(
            7,
            &[first.grpc_url()],
            4,
            RetryPolicy {
                give_up_after: Duration::from_secs(1),
                ..RetryPolicy::default()
            },
        )
        .await;
        load.wait_for_acks(20).await;
        if frozen {
            cluster.sigstop();
        } else {
            cluster.stop_immediate().await;
        }
        let begin = Instant::now();
        let status = first.terminate().await;
        assert!(status.success(), "{status}\n{}", first.logs());
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "{:?}",
            begin.elapsed()
        );
        first.check_logs();
        let oracle = load.given_up().await;
        if frozen {
            cluster.sigcont();
        } else {
            cluster.start().await;
        }
        let second = daemon(cluster.url(), &dir, &[]).await;
        replayed(&second).await;
        let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
        oracle.check_acked(&mut conn).await;
        conn.close().await.unwrap();
        second.finish().await;
    }
}
