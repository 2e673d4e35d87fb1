//! What the rows of runs tell, and the same from sums that are kept.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// Each part: what is kept, and the same from the rows of the runs, between `$1` and `$2`.
const PARTS: [(&str, &str); 8] = [
    (
        "SELECT s.at, sum(s.runs), sum(s.running), sum(s.failed), sum(s.tokens_input), sum(s.ms), sum(s.calls), sum(s.unpriced_calls),
           round(sum(s.cost_usd), 9), sum((SELECT sum(n) FROM unnest(s.counts) AS n))
         FROM run_sums_between($1::timestamptz, $2::timestamptz, 'points', false) AS s GROUP BY s.at",
        "SELECT quarter_hour(r.started_at) AS at, count(*), count(*) FILTER (WHERE r.status = 'running'),
           count(*) FILTER (WHERE r.status = 'failed'), coalesce(sum(r.total_tokens_input), 0), coalesce(sum(w.ms), 0),
           sum(c.calls), sum(c.unpriced_calls), round(sum(c.cost_usd), 9), nullif(count(r.duration_ms), 0)
         FROM run AS r
         JOIN run_costs AS c ON c.run_id = r.id
         LEFT JOIN LATERAL (
           SELECT sum(ms_between(a.created_at, coalesce(a.decided_at, least(a.expires_at, now()), now()))) AS ms
           FROM approvals AS a WHERE a.run_id = r.id
         ) AS w ON true
         GROUP BY 1",
    ),
    (
        "SELECT s.agent_id, sum(s.runs), sum(s.running), sum(s.failed), sum(s.tokens_input), sum(s.tokens_output), sum(s.ms)
         FROM run_sums_between($1::timestamptz, $2::timestamptz, 'runs', true) AS s GROUP BY s.agent_id",
        "SELECT r.agent_id, count(*), count(*) FILTER (WHERE r.status = 'running'), count(*) FILTER (WHERE r.status = 'failed'),
           coalesce(sum(r.total_tokens_input), 0), coalesce(sum(r.total_tokens_output), 0), coalesce(sum(w.ms), 0)
         FROM run AS r
         LEFT JOIN LATERAL (
           SELECT sum(ms_between(a.created_at, coalesce(a.decided_at, least(a.expires_at, now()), now()))) AS ms
           FROM approvals AS a WHERE a.run_id = r.id
         ) AS w ON true
         GROUP BY r.agent_id",
    ),
    (
        "SELECT b.bin, sum(b.n) FROM run_sums_between($1::timestamptz, $2::timestamptz, 'runs', true) AS s,
           unnest(s.bins, s.counts) AS b (bin, n) GROUP BY b.bin",
        "SELECT duration_bin(r.duration_ms) AS bin, count(*) FROM run AS r WHERE r.duration_ms IS NOT NULL GROUP BY 1",
    ),
    (
        "SELECT b.bin, sum(b.n) FROM run_sums_between($1::timestamptz, $2::timestamptz, 'runs', true) AS s,
           unnest(s.wait_bins, s.wait_counts) AS b (bin, n) GROUP BY b.bin",
        "SELECT duration_bin(w.ms::bigint) AS bin, count(*) FROM (
           SELECT sum(ms_between(a.created_at, coalesce(a.decided_at, least(a.expires_at, now()), now()))) AS ms
           FROM run AS r JOIN approvals AS a ON a.run_id = r.id GROUP BY r.id
         ) AS w GROUP BY 1",
    ),
    (
        "SELECT s.agent_id, s.name, sum(s.runs), sum(s.calls), sum(s.unpriced_calls), sum(s.tokens_input), sum(s.tokens_output),
           sum(s.tokens_cache_read), round(sum(s.cost_usd), 9), max(s.last_at)
         FROM run_sums_between($1::timestamptz, $2::timestamptz, 'calls', true) AS s GROUP BY s.agent_id, s.name",
        "SELECT r.agent_id, c.model, count(DISTINCT r.id), count(*), count(*) FILTER (WHERE c.cost_usd IS NULL), coalesce(sum(c.input), 0),
           coalesce(sum(c.output), 0), coalesce(sum(c.cache_read), 0), round(sum(c.cost_usd), 9),
           max(c.created_at) FILTER (WHERE c.cost_usd IS NULL)
         FROM run AS r JOIN agent_token_costs AS c ON c.run_id = r.id GROUP BY r.agent_id, c.model",
    ),
    (
        "SELECT s.session_id, s.customer_id, s.name, sum(s.runs), sum(s.calls), sum(s.unpriced_calls), round(sum(s.cost_usd), 9),
           round(sum(s.cost_reported_usd), 9)
         FROM run_sums_between($1::timestamptz, $2::timestamptz, 'accounts', true) AS s GROUP BY s.session_id, s.customer_id, s.name",
        "SELECT r.session_id, r.customer_id, r.metadata ->> 'user', count(*), sum(c.calls), sum(c.unpriced_calls),
           round(sum(c.cost_usd), 9), round(sum(c.cost_reported_usd), 9)
         FROM run AS r JOIN run_costs AS c ON c.run_id = r.id GROUP BY 1, 2, 3",
    ),
    (
        "SELECT s.name, sum(s.calls), sum(s.failed), sum(s.ms), (
           SELECT sum(n) FROM run_sums_between($1::timestamptz, $2::timestamptz, 'tools', true) AS t, unnest(t.counts) AS n
           WHERE t.name IS NOT DISTINCT FROM s.name)
         FROM run_sums_between($1::timestamptz, $2::timestamptz, 'tools', true) AS s GROUP BY s.name",
        "SELECT t.name, count(*), count(*) FILTER (WHERE t.status = 'failed'), coalesce(sum(t.duration_ms), 0),
           nullif(count(t.duration_ms), 0)
         FROM run AS r JOIN agent_steps AS t ON t.run_id = r.id AND t.step_type = 'tool_call' GROUP BY t.name",
    ),
    (
        "SELECT s.name, sum(s.runs), max(s.last_at) FROM run_sums_between($1::timestamptz, $2::timestamptz, 'errors', true) AS s
         GROUP BY s.name",
        "SELECT left(r.error, 300), count(*), max(r.started_at) FROM run AS r WHERE r.status = 'failed' GROUP BY 1",
    ),
];

/// Filters that sums are kept for: arguments of `run_sums_between`, and the same as conditions.
pub const FILTERS: [(&str, &str); 6] = [
    ("", ""),
    (
        ", agents => ARRAY['a', 'b', 'zz']",
        " AND agent_id IN ('a', 'b', 'zz')",
    ),
    (", statuses => ARRAY['failed']", " AND status = 'failed'"),
    (
        ", statuses => ARRAY['running', 'completed']",
        " AND status IN ('running', 'completed')",
    ),
    (", model => 'a'", CALLS_A),
    (
        ", agents => ARRAY['a', 'é'], model => 'a', statuses => ARRAY['failed', 'completed']",
        CALLS_A_AND_ENDED,
    ),
];
const CALLS_A: &str = " AND (EXISTS (SELECT FROM agent_steps AS t WHERE t.run_id = agent_runs.id AND t.model = 'a')
   OR EXISTS (SELECT FROM agent_token_counts AS t WHERE t.run_id = agent_runs.id AND t.model = 'a'))";
const CALLS_A_AND_ENDED: &str = " AND agent_id IN ('a', 'é') AND status <> 'running'
   AND (EXISTS (SELECT FROM agent_steps AS t WHERE t.run_id = agent_runs.id AND t.model = 'a')
   OR EXISTS (SELECT FROM agent_token_counts AS t WHERE t.run_id = agent_runs.id AND t.model = 'a'))";

/// Windows, from wide to narrow: at the ends of quarters, between them, within one.
const WINDOWS: [(&str, &str); 5] = [
    ("-infinity", "infinity"),
    ("1990-01-01", "2027-01-01"),
    ("2025-12-31 23:52:07", "2026-01-01 00:00:03.5"),
    ("2026-01-01 00:00:00", "2026-01-01 00:15:00"),
    ("2026-01-01 00:00:01.5", "2026-01-01 00:00:05"),
];

/// The rows of a query, sorted.
async fn rows(conn: &mut PgConnection, query: &str, window: (&str, &str)) -> Vec<String> {
    let query = format!("SELECT row_to_json(q, false)::text FROM ({query}) AS q");
    // Columns have other names on both sides.
    let query = format!(
        "SELECT (SELECT string_agg(coalesce(e.value, 'none'), '|' ORDER BY e.at) FROM json_each_text(row::json)
         WITH ORDINALITY AS e (key, value, at)) FROM ({query}) AS q (row)"
    );
    let mut rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query))
        .bind(window.0)
        .bind(window.1)
        .fetch_all(conn)
        .await
        .unwrap();
    rows.sort();
    rows
}

/// Makes a transaction one of a reader with these claims.
pub async fn read_as(tx: &mut PgConnection, claims: &str) {
    sqlx::query("SELECT set_config('request.jwt.claims', $1, true), set_config('role', 'runtraced_reader', true)")
        .bind(claims)
        .execute(tx)
        .await
        .unwrap();
}

/// Compares all parts over the runs of a filter at one moment, as a reader; `None`: as the owner. Returns how many rows
/// there were.
pub async fn compare(
    conn: &mut PgConnection,
    claims: Option<&str>,
    (arguments, condition): (&str, &str),
    about: &str,
) -> usize {
    let mut compared = 0;
    let mut tx = conn
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ")
        .await
        .unwrap();
    if let Some(claims) = claims {
        read_as(&mut tx, claims).await;
    }
    for window in WINDOWS {
        for (kept, told) in PARTS {
            let no_agents = kept.contains("'points'") && arguments.contains("agents");
            if no_agents || kept.contains("'accounts'") && arguments.contains("model") {
                continue;
            }
            let told = format!(
                "WITH run AS MATERIALIZED (SELECT * FROM agent_runs
                   WHERE started_at >= $1::timestamptz AND started_at < $2::timestamptz{condition}) {told}"
            );
            let kept = kept
                .replace("', true)", &format!("', true{arguments})"))
                .replace("', false)", &format!("', false{arguments})"));
            let (kept, told) = (
                rows(&mut tx, &kept, window).await,
                rows(&mut tx, &told, window).await,
            );
            assert_eq!(kept, told, "{about}, {claims:?}, {window:?}{arguments}");
            compared += kept.len();
        }
    }
    tx.rollback().await.unwrap();
    compared
}
