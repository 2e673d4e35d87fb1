//! Spooled events in the ledger and the metrics.

use runtraced::proto::{Durability, Event};
use sqlx::{Connection as _, PgConnection};

use super::{SpoolDir, daemon, metric, replayed, settled, spawn};
use crate::support::events::{message, new_id, run_started, step};
use crate::support::pg;
use crate::support::product::{poisoned_step, refuse_poison};
use crate::support::tables::{count, value};

/// Per daemon in the order of their start: received, committed, duplicate, refused, spooled,
/// dead-lettered, in flight.
async fn ledger(conn: &mut PgConnection) -> Vec<Vec<i64>> {
    let query =
        "SELECT ARRAY[received, committed, duplicate, refused, spooled, dead_lettered, in_flight]
                 FROM ingest_reconciliation ORDER BY instance";
    sqlx::query_scalar(query).fetch_all(conn).await.unwrap()
}

/// Scenario: 5 events are committed; Postgres goes; 4 good ones are spooled, one of which is there
/// already, one that names another run's row, and one that Postgres does not take; it comes back.
/// Guarantees: the acks said SPOOLED; while away the metrics count 6 as spooled; after the replay 3
/// are committed, 1 is a duplicate, and the two that were acked and cannot be stored are dead
/// letters, with their codes.
#[tokio::test(flavor = "multi_thread")]
async fn each_spooled_event_is_counted_exactly_and_kept() {
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    let daemon = daemon(cluster.url(), &dir, &[]).await;
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    refuse_poison(&mut conn).await;
    conn.close().await.unwrap();
    let (run, kept) = (new_id(), new_id());
    let there: Vec<Event> = (0..4).map(|_| step(1, 2, run, new_id())).collect();
    let first = vec![message(1, Some(run), None, kept)];
    daemon.submit([there.clone(), first].concat()).await;
    cluster.stop_immediate().await;
    let spooled = vec![
        run_started(0, run),
        step(1, 2, run, new_id()),
        step(1, 2, run, new_id()),
        there[0].clone(),
        message(1, Some(pg::beside(run)), None, kept),
        poisoned_step(),
    ];
    let response = daemon.client().await.submit(spooled).await.unwrap();
    assert_eq!(response.durability(), Durability::Spooled);
    let outcome = response.outcome.unwrap();
    assert_eq!(
        (outcome.spooled, outcome.committed, outcome.refused.len()),
        (6, 0, 0)
    );
    assert_eq!(settled(&daemon, "spooled").await, 6);
    assert_eq!(metric(&daemon, "runtraced_events_received_total").await, 11);

    cluster.start().await;
    replayed(&daemon).await;
    daemon.check_counts().await;
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    assert_eq!(ledger(&mut conn).await, [[11, 8, 1, 0, 0, 2, 0]]);
    let codes = "SELECT jsonb_agg(code ORDER BY code) FROM ingest_dead_letters";
    assert_eq!(
        value(&mut conn, codes).await,
        serde_json::json!(["23514", "id_conflict"])
    );
    assert_eq!(count(&mut conn, "agent_steps").await, 6);
    conn.close().await.unwrap();
    daemon.finish().await;
}

/// Scenario: a daemon commits 2 events, spools 3, ends while Postgres is away; the next replays them
/// and takes 1 more.
/// Guarantees: over both every event is received once; nothing is spooled or in flight in the end.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_next_daemon_takes_over_counts_once() {
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    let mut first = daemon(cluster.url(), &dir, &[]).await;
    let steps = |count| (0..count).map(|_| step(1, 2, new_id(), new_id())).collect();
    first.submit(steps(2)).await;
    cluster.stop_immediate().await;
    let client = first.client().await;
    assert_eq!(
        client
            .submit(steps(3))
            .await
            .unwrap()
            .outcome
            .unwrap()
            .spooled,
        3
    );
    drop(client);
    assert!(first.terminate().await.success(), "{}", first.logs());

    let second = spawn(cluster.url(), &dir, &[]).await;
    assert_eq!(settled(&second, "spooled").await, 3);
    assert_eq!(metric(&second, "runtraced_events_received_total").await, 3);
    cluster.start().await;
    second.wait_ready().await;
    replayed(&second).await;
    second.submit(steps(1)).await;
    second.check_counts().await;
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    assert_eq!(
        ledger(&mut conn).await,
        [[2, 2, 0, 0, 0, 0, 0], [4, 4, 0, 0, 0, 0, 0]]
    );
    conn.close().await.unwrap();
    second.finish().await;
}

/// Scenario: as before, but the first daemon had written to the ledger that 3 are spooled.
/// Guarantees: they leave its row when the next daemon counts them.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_as_spooled_leaves_the_old_row() {
    let database = pg::database().await;
    let dir = SpoolDir::new();
    let mut first = daemon(database.url(), &dir, &[]).await;
    let mut conn = database.connect().await;
    // Only what is replayed fails: the spool fills while the ledger can be written.
    let lock = "BEGIN; LOCK TABLE agent_runs IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut conn).await.unwrap();
    let steps: Vec<Event> = (0..3).map(|_| step(1, 2, new_id(), new_id())).collect();
    let client = first.client().await;
    assert_eq!(
        client.submit(steps).await.unwrap().outcome.unwrap().spooled,
        3
    );
    drop(client);
    let mut other = database.connect().await;
    super::wait_until("the ledger does not show it", async || {
        ledger(&mut other).await == [[3, 0, 0, 0, 3, 0, 0]]
    })
    .await;
    first.expect_warnings("still open at the drain deadline");
    first.kill();
    sqlx::raw_sql("COMMIT").execute(&mut conn).await.unwrap();

    let second = daemon(database.url(), &dir, &[]).await;
    replayed(&second).await;
    second.check_counts().await;
    assert_eq!(
        ledger(&mut conn).await,
        [[0, 0, 0, 0, 0, 0, 0], [3, 3, 0, 0, 0, 0, 0]]
    );
    second.finish().await;
}
