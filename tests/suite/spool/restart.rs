//! A daemon that ends leaves its spool to the next.

use std::process::Command;

use runtraced_client::RetryPolicy;
use sqlx::{Connection as _, PgConnection};

use super::{SpoolDir, daemon, replayed, settled, spawn, wait_until};
use crate::support::load::Load;
use crate::support::pg;

/// Scenario: Postgres is stopped under load, the daemon is killed with SIGKILL; the next one starts
/// while Postgres is still away, is killed too, and so is a third one amid its replay.
/// Guarantees: everything acked is in Postgres in the end, exactly once; the fourth daemon counts
/// what it found as received, and the ledger of all together has nothing spooled or in flight.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_daemon_spooled_is_replayed_by_the_next() {
    let seed = u64::from(rand::random::<u32>());
    println!("RUNTRACED_TEST_SEED={seed}");
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    let mut oracles = Vec::new();
    let mut away = false;
    for round in 0..2 {
        let next = spawn(cluster.url(), &dir, &[]).await;
        let load = Load::spooled_too(
            seed + round,
            &[next.grpc_url()],
            4,
            RetryPolicy {
                give_up_after: std::time::Duration::from_secs(3),
                ..RetryPolicy::default()
            },
        )
        .await;
        load.wait_for_acks(20).await;
        if !away {
            cluster.stop_immediate().await;
            away = true;
        }
        load.wait_for_acks(300).await;
        next.kill();
        oracles.push(load.given_up().await);
    }
    let third = spawn(cluster.url(), &dir, &[]).await;
    let found = settled(&third, "spooled").await;
    assert!(found > 1_000, "{found}");
    cluster.start().await;
    wait_until("it does not replay", async || {
        settled(&third, "committed").await + settled(&third, "duplicate").await > 0
    })
    .await;
    third.kill();

    let fourth = daemon(cluster.url(), &dir, &[]).await;
    replayed(&fourth).await;
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    for oracle in oracles {
        oracle.check_acked(&mut conn).await;
    }
    fourth.check_counts().await;
    let sums: (i64, i64) = sqlx::query_as(
        "SELECT sum(spooled)::bigint, min(in_flight)::bigint FROM ingest_reconciliation",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_eq!(sums, (0, 0));
    conn.close().await.unwrap();
    fourth.finish().await;
}

/// Scenario: a second daemon is started on the same folder.
/// Guarantees: it does not start, names the folder and what to do, and exits with 1; the first
/// goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_the_folder_is_refused() {
    let database = pg::database().await;
    let dir = SpoolDir::new();
    let first = daemon(database.url(), &dir, &[]).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtraced"));
    command
        .args([
            "serve",
            "--grpc-listen",
            "127.0.0.1:0",
            "--http-listen",
            "127.0.0.1:0",
        ])
        .arg("--spool-dir")
        .arg(dir.path())
        .env("DATABASE_URL", database.url());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("in use by another daemon"), "{said}");
    assert!(said.contains(dir.path().to_str().unwrap()), "{said}");
    assert!(said.contains("--spool-dir"), "{said}");
    first.finish().await;
}
