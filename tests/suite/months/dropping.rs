//! How months go.

use serde_json::json;
use uuid::Uuid;

use super::{PAST, move_to_past};
use crate::retention::kept::FLAGS;
use crate::retention::rows::{
    age, asked, below, ended_run, orphans, run_sql, send_run, there, wait_for_reaped, wait_for_runs,
};
use crate::support::daemon::Daemon;
use crate::support::events::{message, new_id};
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::tables::{count, row};

/// Scenario: a month whose runs are all old, with a message without a run; an old run of this month; a young one. Prune runs. Then late
/// events of a run of that month come.
/// Guarantees: the partitions are gone and all old runs with everything below them, all of it is reported, and what is young stays. The
/// message stays too. Late events are ignored.
#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_old_runs_goes_at_once() {
    let database = pg::database_by_month().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let mut old = Vec::new();
    for _ in 0..3 {
        old.push(send_run(&daemon, None, "a").await);
    }
    let session = new_id();
    daemon
        .submit(vec![message(3, None, Some(session), new_id())])
        .await;
    move_to_past(&mut conn, &old).await;
    let alone = "UPDATE agent_messages SET bucket = 202601 WHERE run_id IS NULL";
    run_sql(&mut conn, alone).await;
    // It came once more since.
    let again = "INSERT INTO agent_messages (id, session_id, role, content, created_at, bucket)
                 SELECT id, session_id, role, content, created_at, 0 FROM agent_messages WHERE run_id IS NULL";
    run_sql(&mut conn, again).await;
    let (here, young) = (
        send_run(&daemon, None, "a").await,
        send_run(&daemon, None, "a").await,
    );
    old.push(here);
    age(&mut conn, &old, 100).await;
    // An earlier attempt got so far.
    let marked = format!(
        "UPDATE agent_runs SET gone_at = now() WHERE id = '{}'",
        old[0]
    );
    run_sql(&mut conn, &marked).await;
    let (code, said) = runtraced(&["prune", "--older-than", "30d", "--json"], database.url()).await;
    assert_eq!(code, 0, "{said}");
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    for (table, rows) in [
        ("agent_runs", 4),
        ("agent_steps", 8),
        ("agent_messages", 4),
        ("agent_token_counts", 4),
        ("agent_scores", 4),
    ] {
        assert_eq!(said[table], json!(rows), "{said}");
    }
    assert_eq!(months(&mut conn).await, 0);
    for run in &old {
        assert_eq!(orphans(&mut conn, *run).await, 0);
    }
    assert_eq!(there(&mut conn, &[young]).await, [young]);
    let left = "SELECT session_id, bucket FROM agent_messages WHERE run_id IS NULL";
    assert_eq!(
        row(&mut conn, left).await,
        json!({"session_id": session, "bucket": 0})
    );
    let events = below(old[0], None);
    let sent = events.len();
    assert_eq!(daemon.submit(events).await.refused.len(), sent);
    assert_eq!(there(&mut conn, &old).await, [] as [Uuid; 0]);
    daemon.finish().await;
}

/// Whether the partitions of [`PAST`] are there.
async fn months(conn: &mut sqlx::PgConnection) -> i64 {
    sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM agent_months WHERE bucket = $1)
              + (SELECT count(*) FROM pg_namespace WHERE nspname = 'runtraced_2026_01')",
    )
    .bind(PAST)
    .fetch_one(conn)
    .await
    .unwrap()
}

/// Scenario: a past month with old runs, of which one waits for an approval; another database where a rule keeps one of them. A daemon
/// deletes what is old.
/// Guarantees: the others go, and the month stays with what is kept. When nothing is to be kept, it goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_month_stays_for_what_is_kept() {
    let database = pg::database_by_month().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let old = [
        send_run(&daemon, None, "a").await,
        send_run(&daemon, None, "a").await,
    ];
    let (waits, kept) = (new_id(), new_id());
    let mut events = ended_run(waits, None, "a");
    events.push(asked(waits));
    events.extend(ended_run(kept, None, "b"));
    daemon.submit(events).await;
    daemon.finish().await;
    let all = [old[0], old[1], waits, kept];
    move_to_past(&mut conn, &all).await;
    age(&mut conn, &all, 100).await;
    run_sql(
        &mut conn,
        "INSERT INTO retention_rules (agent_id, keep) VALUES ('b', NULL)",
    )
    .await;
    let daemons = [Daemon::with_args(database.url(), &FLAGS).await];
    wait_for_runs(&mut conn, &all, &[waits, kept]).await;
    assert_eq!(months(&mut conn).await, 2);
    run_sql(&mut conn, "DELETE FROM retention_rules").await;
    wait_for_runs(&mut conn, &all, &[waits]).await;
    assert_eq!(months(&mut conn).await, 2);
    assert_eq!(count(&mut conn, "agent_steps").await, 2);
    run_sql(
        &mut conn,
        "UPDATE approvals SET status = 'approved', decided_at = now() - interval '99 days'",
    )
    .await;
    wait_for_runs(&mut conn, &all, &[]).await;
    for _ in 0..1_500 {
        if months(&mut conn).await == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(months(&mut conn).await, 0);
    wait_for_reaped(&daemons, "agent_steps", 8).await;
    let [daemon] = daemons;
    daemon.finish().await;
}

/// Two runs that have ended and not changed for long. No daemon is connected.
async fn two_old_runs(database: &pg::TestDatabase) -> (sqlx::PgConnection, [Uuid; 2]) {
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let runs = [
        send_run(&daemon, None, "a").await,
        send_run(&daemon, None, "a").await,
    ];
    daemon.finish().await;
    age(&mut conn, &runs, 100).await;
    (conn, runs)
}

/// Scenario: a past month with old runs, to one of which a table of the product refers.
/// Guarantees: prune says which, and that run stays whole. The other goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_month_stays_for_references_of_the_product() {
    let database = pg::database_by_month().await;
    let (mut conn, runs) = two_old_runs(&database).await;
    move_to_past(&mut conn, &runs).await;
    run_sql(
        &mut conn,
        &format!(
            "CREATE TABLE notes (run uuid REFERENCES agent_runs); INSERT INTO notes VALUES ('{}')",
            runs[0]
        ),
    )
    .await;
    let (code, said) = runtraced(&["prune", "--older-than", "30d"], database.url()).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("notes"), "{said}");
    assert_eq!(there(&mut conn, &runs).await, [runs[0]]);
    assert_eq!(months(&mut conn).await, 2);
    let left = "SELECT count(*) AS steps, count(r.gone_at) AS gone FROM agent_steps s JOIN agent_runs r ON r.id = s.run_id";
    assert_eq!(row(&mut conn, left).await, json!({"steps": 2, "gone": 0}));
}

/// Scenario: a view of the product's reads the partition of one past month; all runs of that month and of another are old.
/// Guarantees: the other month goes, and the runs of the first one by one.
#[tokio::test(flavor = "multi_thread")]
async fn a_month_that_cannot_go_holds_up_no_other() {
    let database = pg::database_by_month().await;
    let (mut conn, runs) = two_old_runs(&database).await;
    move_to_past(&mut conn, &runs[..1]).await;
    run_sql(
        &mut conn,
        &format!(
            "SELECT make_month('2026-02-01');
             SET session_replication_role = replica;
             UPDATE agent_runs SET bucket = 202602 WHERE id = '{0}';
             UPDATE agent_steps SET bucket = 202602 WHERE run_id = '{0}';
             UPDATE agent_messages SET bucket = 202602 WHERE run_id = '{0}';
             UPDATE agent_token_counts SET bucket = 202602 WHERE run_id = '{0}';
             SET session_replication_role = origin;
             CREATE VIEW of_one_month AS SELECT id FROM runtraced_2026_01.agent_steps",
            runs[1]
        ),
    )
    .await;
    let (code, said) = runtraced(&["prune", "--older-than", "30d"], database.url()).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(there(&mut conn, &runs).await, [] as [Uuid; 0]);
    let left = "SELECT array_agg(bucket) @> ARRAY[202601] AS january, array_agg(bucket) @> ARRAY[202602] AS february
                FROM agent_months";
    assert_eq!(
        row(&mut conn, left).await,
        json!({"january": true, "february": false})
    );
    assert_eq!(count(&mut conn, "agent_steps").await, 0);
}

/// Scenario: the function that drops a month is called for the first partition, for this month, for the next, for one that never was,
/// and for one with a run that is not marked as gone.
/// Guarantees: it drops none of them.
#[tokio::test(flavor = "multi_thread")]
async fn no_month_goes_that_is_needed() {
    let database = pg::database_by_month().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let run = send_run(&daemon, None, "a").await;
    move_to_past(&mut conn, &[run]).await;
    daemon.finish().await;
    let buckets: Vec<i32> = sqlx::query_scalar("SELECT bucket FROM agent_months ORDER BY 1")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert_eq!(buckets.len(), 4);
    for bucket in buckets.into_iter().chain([209_901, -1]) {
        let dropped: bool = sqlx::query_scalar("SELECT drop_month($1)")
            .bind(bucket)
            .fetch_one(&mut conn)
            .await
            .unwrap();
        assert!(!dropped, "{bucket}");
    }
    assert_eq!(count(&mut conn, "agent_months").await, 4);
    assert_eq!(count(&mut conn, "agent_steps").await, 2);
}
