//! What the views over the slots do, and what the tables below them.

use serde_json::json;
use sqlx::Connection as _;

use super::{database, runs_apart, slot_of};
use crate::retention::rows::{ended_run, run_sql};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::pg;
use crate::support::tables::{content, value};

/// Scenario: the same runs come to a database with slots and to one without, in batches of several runs, twice.
/// Guarantees: the rows are equal, and each is in the slot of its run.
#[tokio::test(flavor = "multi_thread")]
async fn the_rows_are_those_of_one_slot() {
    let (slotted, mut conn) = database().await;
    let plain = pg::plain_database().await;
    let mut plain_conn = plain.connect().await;
    let daemons = [
        Daemon::start(slotted.url()).await,
        Daemon::start(plain.url()).await,
    ];
    let session = new_id();
    let runs: Vec<_> = (0..40).map(|_| new_id()).collect();
    let events: Vec<_> = runs
        .iter()
        .flat_map(|run| ended_run(*run, Some(session), "a"))
        .collect();
    for daemon in &daemons {
        for batch in events.chunks(17) {
            let outcome = daemon.submit(batch.to_vec()).await;
            assert_eq!(outcome.committed, batch.len() as u64, "{outcome:?}");
        }
        let again = daemon.submit(events.clone()).await;
        assert_eq!(again.duplicate, events.len() as u64, "{again:?}");
    }
    let found = content(&mut conn, &runs, &[session]).await;
    assert_eq!(found, content(&mut plain_conn, &runs, &[session]).await);
    assert_eq!(found.len(), 1 + 40 * 7);
    for run in runs {
        let slot = slot_of(&mut conn, run).await;
        let own = format!(
            "SELECT count(*) FROM runtraced_{:0>2}.agent_steps WHERE run_id = '{run}'",
            slot.to_string()
        );
        assert_eq!(value(&mut conn, &own).await, json!(2));
    }
    for daemon in daemons {
        daemon.finish().await;
    }
}

/// Scenario: a person inserts, updates, moves and deletes rows through the views.
/// Guarantees: defaults, RETURNING, generated columns and counts of rows are those of tables.
#[tokio::test(flavor = "multi_thread")]
async fn views_are_written_as_tables_are() {
    let (_database, mut conn) = database().await;
    let inserted: (bool, i64, bool) = sqlx::query_as(
        "INSERT INTO agent_runs (agent_id, agent_type, started_at, ended_at)
         VALUES ('a', 'b', '2026-01-01 00:00+00', '2026-01-01 00:00:05+00')
         RETURNING id IS NOT NULL, duration_ms, changed_at IS NOT NULL",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_eq!(inserted, (true, 5_000, true));
    let [one, other] = runs_apart(&mut conn).await;
    for run in [one, other] {
        run_sql(
            &mut conn,
            &format!(
                "INSERT INTO agent_runs (id, agent_id, agent_type) VALUES ('{run}', 'a', 'b')"
            ),
        )
        .await;
    }
    run_sql(
        &mut conn,
        &format!("INSERT INTO agent_messages (run_id, content) VALUES ('{one}', 'hi')"),
    )
    .await;
    let edited = sqlx::query(
        "UPDATE agent_messages SET content = 'ho', tool_calls = '{\"n\": 1.0}' WHERE content = 'hi'",
    );
    assert_eq!(edited.execute(&mut conn).await.unwrap().rows_affected(), 1);
    // Only the text tells these from each other.
    let edited = sqlx::query("UPDATE agent_messages SET tool_calls = '{\"n\": 1.00}'");
    assert_eq!(edited.execute(&mut conn).await.unwrap().rows_affected(), 1);
    assert_eq!(
        value(&mut conn, "SELECT tool_calls::text FROM agent_messages").await,
        json!("{\"n\": 1.00}")
    );
    let moved = format!("UPDATE agent_messages SET run_id = '{other}'");
    let moved = sqlx::query(sqlx::AssertSqlSafe(moved));
    assert_eq!(moved.execute(&mut conn).await.unwrap().rows_affected(), 1);
    let slot = slot_of(&mut conn, other).await;
    let there = format!(
        "SELECT content FROM runtraced_{:0>2}.agent_messages",
        slot.to_string()
    );
    assert_eq!(value(&mut conn, &there).await, json!("ho"));
    let deleted = sqlx::query("DELETE FROM agent_messages WHERE content = 'ho'");
    assert_eq!(deleted.execute(&mut conn).await.unwrap().rows_affected(), 1);
    let lost =
        sqlx::query("INSERT INTO agent_steps (run_id, name) VALUES (gen_random_uuid(), 'x')")
            .execute(&mut conn)
            .await
            .unwrap_err();
    assert_eq!(
        lost.as_database_error().unwrap().code().as_deref(),
        Some("23503")
    );
    // A row cannot be put into the tables of another slot.
    let astray = format!(
        "INSERT INTO runtraced_{:0>2}.agent_runs (id, agent_id, agent_type) VALUES ('{other}', 'a', 'b')",
        slot_of(&mut conn, one).await.to_string()
    );
    let astray = sqlx::query(sqlx::AssertSqlSafe(astray))
        .execute(&mut conn)
        .await
        .unwrap_err();
    assert_eq!(
        astray.as_database_error().unwrap().constraint(),
        Some("runtraced_slot")
    );
}

/// Scenario: two people update one row through a view, and one waits for the other.
/// Guarantees: the second one fails, and may repeat what it asked; no change is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_somebody_else_is_not_lost() {
    let (database, mut conn) = database().await;
    let mut other = database.connect().await;
    run_sql(
        &mut conn,
        "INSERT INTO agent_runs (agent_id, agent_type) VALUES ('a', 'b')",
    )
    .await;
    let mut tx = conn.begin().await.unwrap();
    run_sql(
        &mut tx,
        "UPDATE agent_runs SET name = 'one' WHERE name IS NULL",
    )
    .await;
    let waiting = tokio::spawn(async move {
        sqlx::query("UPDATE agent_runs SET name = 'two' WHERE name IS NULL")
            .execute(&mut other)
            .await
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    tx.commit().await.unwrap();
    let failed = waiting.await.unwrap().unwrap_err();
    assert_eq!(
        failed.as_database_error().unwrap().code().as_deref(),
        Some("40001")
    );
    assert_eq!(
        value(&mut conn, "SELECT name FROM agent_runs").await,
        json!("one")
    );
}

/// Scenario: somebody makes functions with the names of those that copy rights, and other types. The owner grants something.
/// Guarantees: none of them is called.
#[tokio::test(flavor = "multi_thread")]
async fn functions_of_others_are_not_called_for_rights() {
    let (_database, mut conn) = database().await;
    run_sql(
        &mut conn,
        "CREATE FUNCTION share_as(regclass, oid) RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE ''called''; END';
         CREATE FUNCTION rights_on(oid) RETURNS TABLE (what text, col name, grantee oid, is_grantable boolean)
           LANGUAGE plpgsql AS 'BEGIN RAISE ''called''; END';
         CREATE FUNCTION share_slot(name) RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE ''called''; END';
         GRANT SELECT ON agent_steps TO PUBLIC",
    )
    .await;
    let owner = "SELECT p.proowner = c.relowner FROM pg_proc p, pg_class c
                 WHERE p.proname = 'follow_grants' AND c.oid = 'runtraced_00.agent_runs'::regclass";
    assert_eq!(value(&mut conn, owner).await, json!(true));
}

/// Scenario: the owner grants a right on a view, and revokes it.
/// Guarantees: the tables of all slots and their schemas follow.
#[tokio::test(flavor = "multi_thread")]
async fn rights_follow_those_on_the_views() {
    let (_database, mut conn) = database().await;
    let open = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                CROSS JOIN LATERAL aclexplode(c.relacl) a
                WHERE n.nspname ~ '^runtraced_' AND a.grantee = 0 AND has_schema_privilege('pg_monitor', n.oid, 'USAGE')";
    assert_eq!(value(&mut conn, open).await, json!(0));
    run_sql(&mut conn, "GRANT SELECT ON agent_steps TO PUBLIC").await;
    assert_eq!(value(&mut conn, open).await, json!(4));
    run_sql(&mut conn, "REVOKE SELECT ON agent_steps FROM PUBLIC").await;
    assert_eq!(value(&mut conn, open).await, json!(0));
    let usage = "SELECT count(*) FROM pg_namespace n WHERE n.nspname ~ '^runtraced_' AND has_schema_privilege('pg_monitor', n.oid, 'USAGE')";
    assert_eq!(value(&mut conn, usage).await, json!(0));
}

/// Scenario: a program that does not know slots looks at the write epoch.
/// Guarantees: it is not that of any version without slots.
#[tokio::test(flavor = "multi_thread")]
async fn versions_that_do_not_know_slots_stay_away() {
    let (_database, mut conn) = database().await;
    assert_eq!(
        value(&mut conn, "SELECT ingest_write_epoch()").await,
        json!(10_000 + runtraced::store::WRITE_EPOCH)
    );
}
