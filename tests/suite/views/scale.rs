//! The views over a million steps.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection};

use super::runs::{self, lines, run};
use crate::support::pg;

/// 5,000 runs of 200 steps, 100 messages and 100 token counts each.
const LOAD: &str = "
SET session_replication_role = replica;
SET synchronous_commit = off;
INSERT INTO agent_runs (id, agent_id, agent_type, status, started_at, ended_at)
  SELECT id(r), 'a', 'b', 'completed', at(r * 60), at(r * 60 + 2) FROM generate_series(1, 5000) AS r;
-- Steps of all runs mixed, as they come when many runs are live at once.
INSERT INTO agent_steps (id, run_id, parent_step_id, step_type, status, started_at, ended_at, created_at)
  SELECT id(1000000 + r * 200 + s), id(r), CASE WHEN s > 1 THEN id(1000000 + r * 200 + s / 4 + 1) END,
    'tool_call', 'completed', at(r * 60 + s * 0.01), at(r * 60 + s * 0.01 + 0.5), at(r * 60 + s * 0.01)
  FROM generate_series(1, 200) AS s CROSS JOIN generate_series(1, 5000) AS r;
INSERT INTO agent_messages (run_id, role, content, created_at)
  SELECT id(r), 'user', 'hi', at(r * 60 + s * 0.02) FROM generate_series(1, 100) AS s CROSS JOIN generate_series(1, 5000) AS r;
INSERT INTO agent_token_counts (run_id, step_id, input, output, created_at)
  SELECT id(r), id(1000000 + r * 200 + s * 2), 2, 1, at(r * 60 + s * 0.02)
  FROM generate_series(1, 100) AS s CROSS JOIN generate_series(1, 5000) AS r;
SET session_replication_role = origin;
";

const TIMELINE: &str = "SELECT * FROM run_timeline WHERE run_id = id(2345)";
const SUMMARY: &str = "SELECT * FROM run_summary WHERE run_id = id(2345)";
const LATEST: &str =
    "SELECT * FROM run_summary WHERE started_at IS NOT NULL ORDER BY started_at DESC LIMIT 20";
const WATERFALL: &str = "SELECT run_waterfall(id(2345))";

#[tokio::test]
async fn one_run_among_a_million_steps_is_read_through_indexes_in_under_20_ms() {
    let (_database, mut connection) = runs::plain_database().await;
    run(&mut connection, LOAD).await;
    pg::convert(&mut connection).await;
    // With the statistics that a table has before and after its first analyze.
    for prepare in ["SELECT 1", "VACUUM ANALYZE"] {
        run(&mut connection, prepare).await;
        let before = sequential_scans(&mut connection).await;
        for sql in [TIMELINE, SUMMARY, LATEST] {
            let explain = format!("EXPLAIN (ANALYZE, TIMING off) {sql}");
            let plan = lines(&mut connection, explain).await;
            for table in ["agent_steps", "agent_messages", "agent_token_counts"] {
                let scan = format!("Seq Scan on {table}");
                // Months that no run is of may be empty; nobody reads them.
                let reads =
                    |line: &String| line.contains(&scan) && !line.contains("never executed");
                assert!(!plan.iter().any(reads), "{plan:#?}");
            }
        }
        for (sql, rows) in [
            (TIMELINE, 400),
            (SUMMARY, 1),
            (LATEST, 20),
            (WATERFALL, 303),
        ] {
            let (took, found) = fastest(&mut connection, sql).await;
            assert_eq!(found, rows, "{sql}");
            println!("{prepare}: {took:?} {sql}");
            if sql == TIMELINE || sql == SUMMARY {
                assert!(took < Duration::from_millis(20), "{took:?} {sql}");
            }
        }
        // What functions do inside shows in no plan, but here.
        assert_eq!(sequential_scans(&mut connection).await, before);
    }
}

#[tokio::test]
async fn a_run_of_20_000_steps_is_read_in_time_linear_in_its_steps() {
    let (_database, mut connection) = runs::plain_database().await;
    // A tree, a chain, a ring; among many runs of one step, so that the
    // statistics say that runs are small.
    run(
        &mut connection,
        "SET session_replication_role = replica;
         INSERT INTO agent_runs (id, agent_id, agent_type, started_at, ended_at)
           SELECT id(r), 'a', 'b', at(0), at(300) FROM generate_series(1, 30000) AS r;
         INSERT INTO agent_steps (id, run_id, created_at) SELECT id(1000000 + r), id(r), at(0) FROM generate_series(4, 30000) AS r;
         INSERT INTO agent_steps (id, run_id, parent_step_id, created_at)
           SELECT id(r * 100000 + s), id(r), id(r * 100000 + CASE r WHEN 1 THEN s / 4 WHEN 2 THEN s - 1 ELSE s % 20000 + 1 END), at(s * 0.01)
           FROM generate_series(1, 20000) AS s CROSS JOIN generate_series(1, 3) AS r;
         ANALYZE agent_runs, agent_steps",
    )
    .await;
    pg::convert(&mut connection).await;
    for (id, depth) in [(1, 7), (2, 19_999), (3, 0)] {
        let start = Instant::now();
        let found = lines(
            &mut connection,
            format!(
                "SELECT concat_ws(' ', count(*), max(depth)) FROM run_timeline WHERE run_id = id({id})"
            ),
        )
        .await;
        assert_eq!(found, [format!("20000 {depth}")]);
        let drawn = lines(&mut connection, format!("SELECT run_waterfall(id({id}))")).await;
        assert_eq!(drawn.len(), 20_003);
        // Quadratic it takes half a minute and more.
        assert!(start.elapsed() < Duration::from_secs(15), "{id}");
    }
}

/// How often each table was read from end to end.
async fn sequential_scans(connection: &mut PgConnection) -> Vec<String> {
    run(connection, "SELECT pg_stat_force_next_flush()").await;
    lines(
        connection,
        "SELECT concat_ws(' ', relname, seq_scan) FROM pg_stat_user_tables
         WHERE relname IN ('agent_steps', 'agent_messages', 'agent_token_counts')
         ORDER BY 1",
    )
    .await
}

/// The least of many times, for other tests share the machine.
async fn fastest(connection: &mut PgConnection, sql: &str) -> (Duration, usize) {
    let mut least = Duration::MAX;
    let mut rows = 0;
    for _ in 0..25 {
        let start = Instant::now();
        let query = sqlx::query(AssertSqlSafe(sql.to_owned()));
        rows = query.fetch_all(&mut *connection).await.unwrap().len();
        least = least.min(start.elapsed());
    }
    (least, rows)
}
