//! What the writers' statements read, as the tables grow under a session.

use std::time::Duration;

use runtraced::proto::Event;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_started, step};
use crate::support::pg;
use crate::support::tables::count;

const STEPS: u64 = 5_000;
/// What the indexes by time say of the table's pages is about so many at once.
const PAGES_OF_A_RANGE: i64 = 32;

fn steps(run: Uuid, count: u64) -> Vec<Event> {
    (0..count).map(|_| step(10, 20, run, new_id())).collect()
}

/// Scenario: a session's statements are planned while the tables are empty; then
/// a run of 5,000 steps comes, twice.
/// Expected: repeated steps are found by their ids, not each among all of its run:
/// that would be 25 million rows.
#[tokio::test]
async fn plans_of_an_empty_database_do_not_outlive_it() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--writers", "1"]).await;
    let run = new_id();
    let first = steps(run, 1);
    daemon.submit(vec![run_started(0, run)]).await;
    // A plan is kept from the sixth execution on.
    for _ in 0..8 {
        daemon.submit(first.clone()).await;
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    let many = steps(run, STEPS);
    assert_eq!(daemon.submit(many.clone()).await.committed, STEPS);
    for _ in 0..2 {
        assert_eq!(daemon.submit(many.clone()).await.duplicate, STEPS);
    }
    // What a session read is counted when it ends, at the latest.
    daemon.finish().await;
    let connection = &mut database.connect().await;
    let read = "(SELECT idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'agent_steps') AS s (n) WHERE n > 200000";
    assert_eq!(count(connection, read).await, 0);
}

/// Scenario: ten weeks of steps and token counts, in the order of their time, a few of them late.
/// Guarantees: a question about one week reads that week's pages and a few ranges of pages more.
#[tokio::test]
async fn a_question_about_a_week_reads_that_week() {
    let database = pg::database().await;
    let connection = &mut database.connect().await;
    for statement in TEN_WEEKS {
        sqlx::raw_sql(statement)
            .execute(&mut *connection)
            .await
            .unwrap();
    }
    for (table, question) in [
        (
            "agent_steps",
            "SELECT name, count(*) FROM agent_steps
             WHERE created_at >= '2026-02-01' AND created_at < '2026-02-08' AND step_type = 'tool_call' AND status = 'failed'
             GROUP BY name",
        ),
        (
            "agent_token_counts",
            "SELECT model, sum(input) FROM agent_token_counts
             WHERE created_at >= '2026-02-01' AND created_at < '2026-02-08'
             GROUP BY model",
        ),
    ] {
        let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {question}");
        let plan: serde_json::Value = sqlx::query_scalar(AssertSqlSafe(explain))
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        let of_plan = |name: &str| plan[0]["Plan"][name].as_i64().unwrap();
        let read = of_plan("Shared Hit Blocks") + of_plan("Shared Read Blocks");
        let pages = "SELECT sum(pg_relation_size(c.oid))::bigint / current_setting('block_size')::bigint
                     FROM pg_class c WHERE c.relname = $1";
        let pages: i64 = sqlx::query_scalar(pages)
            .bind(table)
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        // Late rows add a day to the week, and its ends lie within ranges.
        let week = pages * 8 / 70 + 3 * PAGES_OF_A_RANGE;
        assert!(pages > 2 * week, "{table}: {pages} pages are too few");
        assert!(read < week, "{table}: {read} of {pages} pages\n{plan}");
    }
}

/// 50,000 steps and as many token counts from January to March; every 1,000th is a day late.
const TEN_WEEKS: [&str; 4] = [
    "INSERT INTO agent_runs (id, agent_id, agent_type, status, started_at)
     VALUES ('00000000-0000-0000-0000-000000000001', 'a', 'assistant', 'completed', '2026-01-01')",
    "INSERT INTO agent_steps (id, run_id, step_type, name, status, created_at)
     SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'tool_call', 'search',
            CASE WHEN n % 50 = 0 THEN 'failed' ELSE 'completed' END,
            timestamptz '2026-01-01' + n * INTERVAL '121 seconds' - CASE WHEN n % 1000 = 0 THEN INTERVAL '1 day' ELSE '0' END
     FROM generate_series(1, 50000) AS n",
    "INSERT INTO agent_token_counts (id, run_id, model, input, output, created_at)
     SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'gpt-5', 1, 1,
            timestamptz '2026-01-01' + n * INTERVAL '121 seconds' - CASE WHEN n % 1000 = 0 THEN INTERVAL '1 day' ELSE '0' END
     FROM generate_series(1, 50000) AS n",
    "VACUUM ANALYZE agent_steps, agent_token_counts",
];
