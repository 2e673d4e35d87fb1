//! The content of tables, to compare and to count.

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

/// The tables that events are written to.
pub const AGENT_TABLES: [&str; 7] = [
    "agent_sessions",
    "agent_runs",
    "agent_steps",
    "agent_messages",
    "agent_token_counts",
    "approvals",
    "agent_scores",
];

/// Every row of the agent tables that belongs to these runs or sessions, whole
/// but for what tells of who wrote it when: `abandon_at`, `summed_by` and `settle_at`, which are
/// NULL in the end, `changed_at`, and whether and when an alias came before its run.
pub async fn content(conn: &mut PgConnection, runs: &[Uuid], sessions: &[Uuid]) -> Vec<String> {
    let mut rows = Vec::new();
    for (table, filter) in [
        ("agent_sessions", "t.id = ANY ($2)"),
        ("agent_runs", "t.id = ANY ($1)"),
        ("agent_steps", "t.run_id = ANY ($1)"),
        (
            "agent_messages",
            "t.run_id = ANY ($1) OR t.session_id = ANY ($2)",
        ),
        ("agent_token_counts", "t.run_id = ANY ($1)"),
        ("agent_scores", "t.run_id = ANY ($1)"),
        ("agent_step_aliases", "t.run_id = ANY ($1)"),
        (
            "approvals",
            "t.run_id = ANY ($1) OR t.session_id = ANY ($2)",
        ),
    ] {
        let query = format!(
            "SELECT '{table} ' || (to_jsonb(t) - '{{abandon_at,summed_by,settle_at,run_pending,changed_at,bucket}}'::text[] \
             - CASE '{table}' WHEN 'agent_step_aliases' THEN 'created_at' ELSE '' END)::text FROM {table} t \
             WHERE ({filter}) AND ($1::uuid[], $2::uuid[]) IS NOT NULL ORDER BY t.id, 1"
        );
        let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query))
            .bind(runs)
            .bind(sessions)
            .fetch_all(&mut *conn)
            .await
            .unwrap();
        rows.extend(found);
    }
    rows
}

/// One value of one row.
pub async fn value(conn: &mut PgConnection, query: &str) -> Value {
    let query = format!("SELECT to_jsonb(v) FROM ({query}) t (v)");
    sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_one(conn)
        .await
        .unwrap()
}

/// One row as a JSON object.
pub async fn row(conn: &mut PgConnection, query: &str) -> Value {
    let query = format!("SELECT to_jsonb(t) FROM ({query}) t");
    sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_one(conn)
        .await
        .unwrap()
}

/// The rows of a table.
pub async fn count(conn: &mut PgConnection, table: &str) -> i64 {
    let query = format!("SELECT count(*) FROM {table}");
    sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_one(conn)
        .await
        .unwrap()
}

/// Waits until a row, as a JSON object, is as wanted.
pub async fn eventually(conn: &mut PgConnection, query: &str, want: Value) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let got = row(conn, query).await;
        if got == want {
            return;
        }
        let late = std::time::Instant::now() > deadline;
        assert!(!late, "{query}\n got {got}\nwant {want}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
