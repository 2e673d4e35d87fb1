//! The layout by month: how a database gets there, where rows go, and how a month goes.

mod converting;
mod dropping;
mod writing;

use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::retention::rows::run_sql;

/// A month that is over.
const PAST: i32 = 202_601;

/// Makes the partitions of [`PAST`] and brings runs with their rows there, as if they had come then.
async fn move_to_past(conn: &mut PgConnection, runs: &[Uuid]) {
    let made = "SELECT make_month('2026-01-01') WHERE NOT EXISTS (SELECT FROM agent_months WHERE bucket = 202601)";
    run_sql(conn, made).await;
    let mut tx = conn.begin().await.unwrap();
    // Without the checks of references: run and rows move one after the other.
    run_sql(&mut tx, "SET LOCAL session_replication_role = replica").await;
    for (table, column) in [
        ("agent_runs", "id"),
        ("agent_steps", "run_id"),
        ("agent_messages", "run_id"),
        ("agent_token_counts", "run_id"),
        ("agent_contents", "run_id"),
    ] {
        let update = format!("UPDATE {table} SET bucket = {PAST} WHERE {column} = ANY ($1)");
        sqlx::query(sqlx::AssertSqlSafe(update))
            .bind(runs)
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
}

/// The months of the rows below a run, each once; the first is that of the run.
async fn months_of(conn: &mut PgConnection, run: Uuid) -> Vec<i32> {
    sqlx::query_scalar(
        "WITH months AS (
             SELECT 0 AS place, bucket FROM agent_runs WHERE id = $1
             UNION SELECT 1, bucket FROM agent_steps WHERE run_id = $1
             UNION SELECT 1, bucket FROM agent_messages WHERE run_id = $1
             UNION SELECT 1, bucket FROM agent_token_counts WHERE run_id = $1)
         SELECT bucket FROM months GROUP BY bucket ORDER BY min(place), bucket",
    )
    .bind(run)
    .fetch_all(conn)
    .await
    .unwrap()
}

/// The month of today, as the database knows it.
async fn this_month(conn: &mut PgConnection) -> i32 {
    sqlx::query_scalar("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMM')::integer")
        .fetch_one(conn)
        .await
        .unwrap()
}
