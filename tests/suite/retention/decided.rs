//! What ends the wait of a run, and what is locked.

use std::time::Duration;

use runtraced::store::MIGRATIONS;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::time::sleep;

use super::kept::FLAGS;
use super::rows::{age, asked, ended_run, orphans, run_sql, send_run, there, wait_for_runs};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::tables::count;

/// Scenario: two runs have not changed for 100 days, and an approval of each waits. One is decided in the database now; one has
/// expired now; one of a third run was decided long ago.
/// Guarantees: from the decision on, the runs are kept for as long as any; only the third one goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_a_change() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let all = [(); 3].map(|()| new_id());
    for run in all {
        let mut events = ended_run(run, None, "a");
        events.push(asked(run));
        daemon.submit(events).await;
    }
    age(&mut conn, &all, 100).await;
    let [decided, expired, long_ago] = all;
    run_sql(
        &mut conn,
        &format!(
            "UPDATE approvals SET status = 'approved', decided_at = now() WHERE run_id = '{decided}';
             UPDATE approvals SET status = 'expired', expires_at = now() WHERE run_id = '{expired}';
             UPDATE approvals SET status = 'rejected', decided_at = now() - interval '95 days' WHERE run_id = '{long_ago}'"
        ),
    )
    .await;
    daemon.finish().await;
    let daemon = Daemon::with_args(database.url(), &FLAGS).await;
    wait_for_runs(&mut conn, &all, &[decided, expired]).await;
    let (code, said) = runtraced(&["prune", "--older-than", "30d"], database.url()).await;
    assert_eq!(code, 0, "{said}");
    sleep(Duration::from_millis(500)).await;
    assert_eq!(there(&mut conn, &all).await, [decided, expired]);
    run_sql(
        &mut conn,
        "UPDATE approvals SET decided_at = now() - interval '91 days', expires_at = NULL",
    )
    .await;
    wait_for_runs(&mut conn, &all, &[]).await;
    daemon.finish().await;
}

/// Scenario: the deletion of a run was interrupted; the run is young, goes on and waits for an approval.
/// Guarantees: prune and the daemon finish it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_is_finished() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let half_gone = "UPDATE agent_runs SET gone_at = now(), status = 'running'";
    let run = send_run(&daemon, None, "a").await;
    daemon.submit(vec![asked(run)]).await;
    run_sql(&mut conn, half_gone).await;
    let (code, said) = runtraced(&["prune", "--older-than", "30d"], database.url()).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(orphans(&mut conn, run).await, 0);
    let run = send_run(&daemon, None, "a").await;
    run_sql(&mut conn, half_gone).await;
    daemon.finish().await;
    let daemon = Daemon::with_args(database.url(), &FLAGS).await;
    wait_for_runs(&mut conn, &[run], &[]).await;
    daemon.finish().await;
}

/// Scenario: the deletion of one of two runs was interrupted; then the migration is undone.
/// Guarantees: nothing is left of that run, and all of the other one.
#[tokio::test(flavor = "multi_thread")]
async fn down_finishes_what_was_begun() {
    let database = pg::plain_database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (begun, whole) = (
        send_run(&daemon, None, "a").await,
        send_run(&daemon, None, "a").await,
    );
    daemon.submit(vec![asked(begun)]).await;
    daemon.finish().await;
    let before = orphans(&mut conn, whole).await;
    run_sql(
        &mut conn,
        &format!("UPDATE agent_runs SET gone_at = now() WHERE id = '{begun}'"),
    )
    .await;
    MIGRATIONS.undo(&mut conn, 41).await.unwrap();
    // All tables are there again to count in.
    MIGRATIONS.run(&mut conn).await.unwrap();
    assert_eq!(orphans(&mut conn, begun).await, 0);
    assert_eq!(orphans(&mut conn, whole).await, before);
}

/// Scenario: somebody has locked one of two old runs: for longer than prune tries, then for half a second.
/// Guarantees: the first prune takes the other one, says that one stays, and exits with 1; the second one waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn prune_says_what_is_locked() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let locked = send_run(&daemon, None, "a").await;
    let free = send_run(&daemon, None, "a").await;
    age(&mut conn, &[locked, free], 60).await;
    let mut other = database.connect().await;
    let table = pg::table_of("agent_runs", locked);
    let lock = format!("SELECT FROM {table} WHERE id = $1 FOR UPDATE");
    let prune = ["prune", "--older-than", "30d"];
    let mut held = other.begin().await.unwrap();
    sqlx::query(AssertSqlSafe(lock.clone()))
        .bind(locked)
        .execute(&mut *held)
        .await
        .unwrap();
    let (code, said) = runtraced(&prune, database.url()).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("that stay: 1"), "{said}");
    assert_eq!(there(&mut conn, &[locked, free]).await, [locked]);
    held.rollback().await.unwrap();
    let mut held = other.begin().await.unwrap();
    sqlx::query(AssertSqlSafe(lock))
        .bind(locked)
        .execute(&mut *held)
        .await
        .unwrap();
    let ((code, said), ()) = tokio::join!(runtraced(&prune, database.url()), async {
        sleep(Duration::from_millis(500)).await;
        held.rollback().await.unwrap();
    });
    assert_eq!(code, 0, "{said}");
    assert_eq!(orphans(&mut conn, locked).await, 0);
    daemon.finish().await;
}

/// Scenario: a rule keeps failed runs for 200 days, and another one all runs of a customer for 300. There are tombstones of 301 and
/// of 250 days ago, and dead letters of 100 days ago, of the customer and of nobody.
/// Guarantees: tombstones stay for as long as the longest rule says, and dead letters for as long as that of their customer.
#[tokio::test(flavor = "multi_thread")]
async fn rules_hold_for_what_is_about_no_run() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let customer = new_id();
    run_sql(
        &mut conn,
        &format!(
            "INSERT INTO retention_rules (status, customer_id, keep) VALUES
               ('failed', NULL, '200 days'), (NULL, '{customer}', '300 days');
             INSERT INTO ingest_tombstones (id, at) VALUES
               (gen_random_uuid(), now() - interval '301 days'), (gen_random_uuid(), now() - interval '250 days');
             INSERT INTO ingest_dead_letters (source, code, reason, payload, received_at, tenant_id) VALUES
               ('test', 'x', 'x', '{{}}', now() - interval '100 days', '{customer}'),
               ('test', 'x', 'x', '{{}}', now() - interval '100 days', NULL)"
        ),
    )
    .await;
    let daemon = Daemon::with_args(database.url(), &FLAGS).await;
    crate::support::tables::eventually(
        &mut conn,
        "SELECT (SELECT count(*) FROM ingest_dead_letters) AS letters, (SELECT count(*) FROM ingest_tombstones) AS graves",
        serde_json::json!({"letters": 1, "graves": 1}),
    )
    .await;
    sleep(Duration::from_millis(500)).await;
    let theirs = format!("ingest_dead_letters WHERE tenant_id = '{customer}'");
    assert_eq!(count(&mut conn, &theirs).await, 1);
    let younger = "ingest_tombstones WHERE at > now() - interval '251 days'";
    assert_eq!(count(&mut conn, younger).await, 1);
    daemon.finish().await;
}
