//! Sums over runs that no sums are kept of: as far back as can be counted in time, and no further.

use serde_json::Value;

use super::client::get;
use crate::support::daemon::Daemon;
use crate::support::pg;

/// Runs that call a tool, more than can be counted in a second.
const RUNS: &str = "
INSERT INTO agent_runs (id, agent_id, agent_type, status, started_at, ended_at, error)
SELECT md5(n::text)::uuid, 'agent ' || n % 3, 'x', CASE n % 4 WHEN 0 THEN 'failed' ELSE 'completed' END,
  t, t + INTERVAL '1 second', CASE n % 4 WHEN 0 THEN 'broke' END
FROM (SELECT n, timestamptz '2026-01-01' + n * INTERVAL '1 second' AS t FROM generate_series(1, 30000) AS n) AS q;
INSERT INTO agent_steps (id, run_id, step_type, name, status, created_at, model)
SELECT gen_random_uuid(), md5(n::text)::uuid, 'tool_call', 'tool ' || n % 2, 'completed', '2026-01-01', 'm' || n % 5
FROM generate_series(1, 30000) AS n;
ANALYZE";

fn runs_of(answer: &Value) -> i64 {
    answer["totals"]["runs"].as_i64().unwrap()
}

fn totals(answer: &Value) -> (i64, i64) {
    (
        runs_of(answer),
        answer["totals"]["failed"].as_i64().unwrap(),
    )
}

/// Scenario: 30,000 runs, and statistics and costs with filters that sums are kept for, and with others.
/// Guarantees: the first have everything; the others say how far back they were counted, have exactly the runs since
/// then, as their SQL and a window from there have, and go on when they are asked to.
#[tokio::test]
async fn what_no_sums_have_is_counted_as_far_as_time_allows() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    sqlx::raw_sql(RUNS).execute(&mut conn).await.unwrap();
    let window = "since=2025-12-31T00:00:00Z&until=2026-02-01T00:00:00Z";
    for (filter, runs, failed) in [
        ("agent=agent+1", 10_000, 2_500),
        ("agent=agent+1&agent=agent+2", 20_000, 5_000),
        ("status=failed", 7_500, 7_500),
        ("model=m1", 6_000, 1_500),
        ("model=m1&agent=agent+0&status=completed", 1_500, 0),
    ] {
        let answer = get(&daemon, &format!("/api/stats?{window}&{filter}"))
            .await
            .json();
        assert_eq!(answer["counted_back_to"], Value::Null, "{filter}");
        assert_eq!(totals(&answer), (runs, failed), "{filter}");
        let of_points = |name: &str| {
            let points = answer["series"].as_array().unwrap();
            points
                .iter()
                .map(|point| point[name].as_i64().unwrap())
                .sum::<i64>()
        };
        assert_eq!(
            (of_points("runs"), of_points("failed")),
            (runs, failed),
            "{filter}"
        );
        let tools = answer["tools"].as_array().unwrap();
        let calls: i64 = tools
            .iter()
            .map(|tool| tool["calls"].as_i64().unwrap())
            .sum();
        assert_eq!(calls, runs, "{filter}");
    }
    for path in [
        format!("/api/stats?{window}&tool=tool+0&tool=tool+1"),
        format!("/api/cost?by=agent&{window}&tool=tool+0&tool=tool+1"),
    ] {
        let some = get(&daemon, &path).await.json();
        let back_to = some["counted_back_to"].as_str().unwrap().to_owned();
        let counted = runs_of(&some);
        assert!((1..30_000).contains(&counted), "{counted}");
        let since: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM agent_runs WHERE started_at >= $1::timestamptz",
        )
        .bind(&back_to)
        .fetch_one(&mut conn)
        .await
        .unwrap();
        assert_eq!(counted, since, "{path}: {back_to}");
        let more = get(&daemon, &format!("{path}&wait=10s")).await.json();
        let further = runs_of(&more);
        assert!(further > counted, "{path}: {further} of {counted}");
    }
    let rare = get(
        &daemon,
        &format!("/api/stats?{window}&error=nothing+says+this"),
    )
    .await
    .json();
    assert_eq!(totals(&rare), (0, 0));
    daemon.finish().await;
}
