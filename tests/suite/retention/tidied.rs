//! What belongs to no run: sessions, dead letters, tombstones, and rows of the ledger.

use super::kept::FLAGS;
use super::rows::run_sql;
use crate::support::daemon::Daemon;
use crate::support::events::{message, new_id};
use crate::support::pg;
use crate::support::tables::{count, eventually, row};

/// Scenario: sessions without a run: old with an old message, old with a new one, old with a pending approval, of a customer whose
/// traces are kept for ever, and new; dead letters and tombstones, old and new.
/// Guarantees: only what is old and kept no longer goes.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_old_goes() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let [old, talks, asks, for_ever, young] = [(); 5].map(|()| new_id());
    let customer = new_id();
    for session in [old, talks, asks, for_ever, young] {
        daemon
            .submit(vec![message(0, None, Some(session), new_id())])
            .await;
    }
    daemon.finish().await;
    run_sql(
        &mut conn,
        &format!(
            "INSERT INTO customers (id, name, arr) VALUES ('{customer}', 'c', 1);
             INSERT INTO retention_rules (customer_id, keep) VALUES ('{customer}', NULL);
             UPDATE agent_sessions SET changed_at = now() - interval '100 days' WHERE id <> '{young}';
             UPDATE agent_sessions SET customer_id = '{customer}' WHERE id = '{for_ever}';
             UPDATE agent_messages SET created_at = now() - interval '100 days' WHERE session_id <> '{talks}';
             UPDATE agent_messages SET created_at = now() WHERE session_id = '{talks}';
             INSERT INTO approvals (session_id, action_type, status, created_at) VALUES ('{asks}', 'x', 'pending', now() - interval '99 days');
             INSERT INTO ingest_dead_letters (source, code, reason, payload, received_at) VALUES
               ('test', 'x', 'x', '{{}}', now() - interval '91 days'), ('test', 'x', 'x', '{{}}', now() - interval '89 days');
             INSERT INTO ingest_tombstones (id, at) VALUES
               (gen_random_uuid(), now() - interval '91 days'), (gen_random_uuid(), now() - interval '89 days')"
        ),
    )
    .await;
    let daemon = Daemon::with_args(database.url(), &FLAGS).await;
    eventually(
        &mut conn,
        "SELECT (SELECT count(*) FROM agent_sessions) AS sessions, (SELECT count(*) FROM agent_messages) AS messages,
                (SELECT count(*) FROM ingest_dead_letters) AS letters, (SELECT count(*) FROM ingest_tombstones) AS graves",
        serde_json::json!({"sessions": 4, "messages": 4, "letters": 1, "graves": 1}),
    )
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(count(&mut conn, "agent_sessions").await, 4);
    let is_there = format!("agent_sessions WHERE id = '{old}'");
    assert_eq!(count(&mut conn, &is_there).await, 0);
    daemon.finish().await;
}

/// Scenario: rows of daemons that ended 100 days ago, twice; of one whose spool holds events; of one that ended 80 days ago.
/// Guarantees: the first become one row; all totals stay exact.
#[tokio::test(flavor = "multi_thread")]
async fn old_rows_of_the_ledger_are_added_up() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let old_rows = "INSERT INTO ingest_ledger (instance, shard, received, committed, duplicate, refused, spooled, dead_lettered, ignored, updated_at)
        SELECT i, s, 100, 50, 20, 10, 0, 5, 3, now() - interval '100 days'
        FROM (SELECT gen_random_uuid() AS i FROM generate_series(1, 3)) AS one, generate_series(0, 1) AS s";
    let sums = "SELECT sum(received) AS received, sum(committed) AS committed, sum(duplicate) AS duplicate, sum(refused) AS refused,
        sum(spooled) AS spooled, sum(dead_lettered) AS dead, sum(ignored) AS ignored, sum(in_flight) AS in_flight FROM ingest_reconciliation";
    run_sql(
        &mut conn,
        "INSERT INTO ingest_ledger (instance, shard, received, committed, spooled, updated_at) VALUES
           (gen_random_uuid(), 0, 9, 4, 5, now() - interval '100 days'), (gen_random_uuid(), 0, 7, 7, 0, now() - interval '80 days')",
    )
    .await;
    for _ in 0..2 {
        run_sql(&mut conn, old_rows).await;
        let want = row(&mut conn, sums).await;
        let daemon = Daemon::with_args(database.url(), &FLAGS).await;
        eventually(
            &mut conn,
            "SELECT count(*) FROM ingest_ledger WHERE updated_at < now() - interval '1 day'",
            serde_json::json!({"count": 3}),
        )
        .await;
        assert_eq!(row(&mut conn, sums).await, want);
        daemon.finish().await;
    }
}
