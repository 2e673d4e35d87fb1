//! Sums over a window of time: runs, durations, tokens, costs, tools, errors.

use super::counted_runs::CountedRuns;
use super::sql_text::SqlText;
use super::sums::{self, SumsPart, sums};

/// The most rows of each list.
pub const STATS_ROWS: usize = 50;
/// The most points of a series.
const POINTS: usize = 2_000;

/// The statements of the statistics of a window. A list that has a row more than [`STATS_ROWS`] has more.
#[derive(Clone, Debug)]
pub struct StatsStatements {
    /// One row of JSON: `totals`, `series`, `agents`, `models`, and which of the lists have `more`.
    pub runs: SqlText,
    /// A row per tool.
    pub tools: SqlText,
    /// A row per error.
    pub errors: SqlText,
}

/// The points of a series whose runs are read for the rest too.
const POINTS_OF_RUNS: &str = "(
    SELECT r.* FROM run AS r
    UNION ALL
    SELECT u.owner, u.part, u.at, NULL, NULL, NULL, NULL, 0, 0, 0, u.calls, u.unpriced_calls, 0, 0, 0, 0,
      u.cost_usd, NULL, NULL, NULL, NULL, NULL, NULL, NULL, u.called, u.status
    FROM used AS u
  )";

/// Sums by time and in all, over `point AS s`; by agent and by model, over `run AS s` and `used AS u`.
const SUMMED: &str = "
), total AS MATERIALIZED (
  SELECT CASE grouping(s.point) WHEN 1 THEN 'all' ELSE 'point' END AS kind, s.point AS at, NULL::text AS agent_id, {SUMS},
    sum(s.cost_usd) AS cost_usd, coalesce(sum(s.unpriced_calls), 0) AS unpriced_calls
  FROM point AS s
  GROUP BY GROUPING SETS ((), (s.point))
  UNION ALL
  SELECT 'agent', NULL, s.agent_id, {SUMS}, max(c.cost_usd), coalesce(max(c.unpriced_calls), 0)
  FROM run AS s
  LEFT JOIN (
    SELECT u.agent_id, sum(u.cost_usd) AS cost_usd, sum(u.unpriced_calls) AS unpriced_calls
    FROM used AS u
    GROUP BY u.agent_id
  ) AS c ON c.agent_id = s.agent_id
  GROUP BY s.agent_id
), bin AS MATERIALIZED (
  SELECT CASE grouping(s.point) WHEN 1 THEN 'all' ELSE 'point' END AS kind, s.point AS at, NULL::text AS agent_id, {BINS}
  FROM point AS s
  CROSS JOIN LATERAL {BINS_OF}
  GROUP BY GROUPING SETS ((b.wait, b.bin), (s.point, b.wait, b.bin))
  UNION ALL
  SELECT 'agent', NULL, s.agent_id, {BINS}
  FROM run AS s
  CROSS JOIN LATERAL {BINS_OF}
  GROUP BY s.agent_id, b.wait, b.bin
), ranked AS (
  SELECT b.*, sum(b.n) OVER (PARTITION BY b.kind, b.at, b.agent_id, b.wait ORDER BY b.bin) AS up_to,
    sum(b.n) OVER (PARTITION BY b.kind, b.at, b.agent_id, b.wait) AS of
  FROM bin AS b
), rank AS MATERIALIZED (
  SELECT k.kind, k.at, k.agent_id,
    public.bin_duration(min(k.bin) FILTER (WHERE NOT k.wait AND k.up_to >= 0.5 * k.of)) AS p50_ms,
    public.bin_duration(min(k.bin) FILTER (WHERE NOT k.wait AND k.up_to >= 0.95 * k.of)) AS p95_ms,
    public.bin_duration(min(k.bin) FILTER (WHERE NOT k.wait AND k.up_to >= 0.99 * k.of)) AS p99_ms,
    public.bin_duration(min(k.bin) FILTER (WHERE k.wait AND k.up_to >= 0.5 * k.of)) AS wait_p50_ms,
    public.bin_duration(min(k.bin) FILTER (WHERE k.wait AND k.up_to >= 0.95 * k.of)) AS wait_p95_ms,
    public.bin_duration(min(k.bin) FILTER (WHERE k.wait AND k.up_to >= 0.99 * k.of)) AS wait_p99_ms
  FROM ranked AS k
  GROUP BY k.kind, k.at, k.agent_id
), part AS MATERIALIZED (
  SELECT t.*, k.p50_ms, k.p95_ms, k.p99_ms, k.wait_p50_ms, k.wait_p95_ms, k.wait_p99_ms
  FROM total AS t
  LEFT JOIN rank AS k ON k.kind = t.kind AND coalesce(k.at, 'infinity') = coalesce(t.at, 'infinity')
    AND coalesce(k.agent_id, '') = coalesce(t.agent_id, '')
), model AS MATERIALIZED (
  SELECT u.name AS model, sum(u.calls) AS calls, sum(u.tokens_input) AS tokens_input, sum(u.tokens_output) AS tokens_output,
    sum(u.tokens_cache_read) AS tokens_cache_read, sum(u.cost_usd) AS cost_usd, sum(u.unpriced_calls) AS unpriced_calls
  FROM used AS u
  GROUP BY u.name
)
SELECT
  (SELECT to_jsonb(p) - '{kind,at,agent_id}'::text[] FROM part AS p WHERE p.kind = 'all') AS totals,
  (SELECT coalesce(jsonb_agg(to_jsonb(p) - '{kind,agent_id}'::text[] ORDER BY p.at), '[]')
   FROM (SELECT * FROM part WHERE kind = 'point' ORDER BY at LIMIT {POINTS}) AS p) AS series,
  (SELECT coalesce(jsonb_agg(to_jsonb(p) - '{kind,at}'::text[] ORDER BY p.runs DESC, p.agent_id), '[]')
   FROM (SELECT * FROM part WHERE kind = 'agent' ORDER BY runs DESC, agent_id LIMIT {ROWS}) AS p) AS agents,
  (SELECT coalesce(jsonb_agg(to_jsonb(m) ORDER BY m.calls DESC, m.model), '[]')
   FROM (SELECT * FROM model ORDER BY calls DESC, model LIMIT {ROWS}) AS m) AS models,
  jsonb_build_object(
    'series', (SELECT count(*) > {POINTS} FROM part WHERE kind = 'point'),
    'agents', (SELECT count(*) > {ROWS} FROM part WHERE kind = 'agent'),
    'models', (SELECT count(*) > {ROWS} FROM model)) AS more";

/// Columns of `total` over rows of `run_sums AS s`.
const SUMS: &str = "coalesce(sum(s.runs), 0) AS runs, coalesce(sum(s.failed), 0) AS failed,
    coalesce(sum(s.running), 0) AS running, coalesce(sum(s.tokens_input), 0) AS tokens_input,
    coalesce(sum(s.tokens_output), 0) AS tokens_output, coalesce(sum(s.ms), 0) AS waiting_ms";

/// Columns of `bin` over [`BINS_OF`].
const BINS: &str = "b.wait, b.bin, sum(b.n) AS n";

/// The histograms of a row of `run_sums AS s`.
const BINS_OF: &str = "(
    SELECT false AS wait, d.bin, d.n FROM unnest(s.bins, s.counts) AS d (bin, n)
    UNION ALL
    SELECT true, w.bin, w.n FROM unnest(s.wait_bins, s.wait_counts) AS w (bin, n)
  ) AS b";

/// Tools, over `tool AS t`.
const TOOLS: &str = "
), bin AS (
  SELECT t.name, b.bin, sum(b.n) AS n
  FROM tool AS t
  CROSS JOIN LATERAL unnest(t.bins, t.counts) AS b (bin, n)
  GROUP BY t.name, b.bin
), ranked AS (
  SELECT b.*, sum(b.n) OVER (PARTITION BY b.name ORDER BY b.bin) AS up_to, sum(b.n) OVER (PARTITION BY b.name) AS of
  FROM bin AS b
), rank AS MATERIALIZED (
  SELECT k.name,
    public.bin_duration(min(k.bin) FILTER (WHERE k.up_to >= 0.5 * k.of)) AS p50_ms,
    public.bin_duration(min(k.bin) FILTER (WHERE k.up_to >= 0.95 * k.of)) AS p95_ms
  FROM ranked AS k
  GROUP BY k.name
)
SELECT t.name, sum(t.calls) AS calls, sum(t.failed) AS failed, max(k.p50_ms) AS p50_ms, max(k.p95_ms) AS p95_ms,
  sum(t.ms) AS total_ms
FROM tool AS t
LEFT JOIN rank AS k ON coalesce(k.name, '') = coalesce(t.name, '') AND (k.name IS NULL) = (t.name IS NULL)
GROUP BY t.name
ORDER BY sum(t.ms) DESC, t.name
LIMIT {MORE}";

/// The parts of `run_sums` that statistics need.
pub const STATS_PARTS: [&str; 4] = ["runs", "calls", "tools", "errors"];

/// Whether there are points. Where there are none, agents and calls by time make them.
fn points(counted: &CountedRuns, bucket_s: u64) -> (bool, Option<u64>) {
    let has_points = counted.has_points();
    (has_points, (!has_points).then_some(bucket_s))
}

/// The sums that [`stats_statements`] needs of other servers.
#[must_use]
pub fn stats_sums(counted: &CountedRuns, bucket_s: u64) -> Vec<SumsPart> {
    let (has_points, by_time) = points(counted, bucket_s);
    let part = |part, width_s| SumsPart {
        part,
        width_s,
        by: None,
    };
    let mut parts = vec![
        part("runs", by_time),
        part("calls", by_time),
        part("tools", None),
        part("errors", None),
    ];
    if has_points {
        parts.push(part(sums::POINTS, Some(bucket_s)));
    }
    parts
}

/// Statements over runs, in buckets of `bucket_s` seconds.
#[must_use]
pub fn stats_statements(counted: &CountedRuns, bucket_s: u64) -> StatsStatements {
    let rows = |sql: &str| {
        sql.replace("{SUMS}", SUMS)
            .replace("{BINS}", BINS)
            .replace("{BINS_OF}", BINS_OF)
            .replace("{ROWS}", &STATS_ROWS.to_string())
            .replace("{MORE}", &(STATS_ROWS + 1).to_string())
            .replace("{POINTS}", &POINTS.to_string())
    };
    let (has_points, by_time) = points(counted, bucket_s);
    let mut runs = SqlText::new("WITH run AS MATERIALIZED (\n  SELECT s.* FROM ");
    runs.append(&sums("runs", counted, by_time))
        .push(" AS s\n), used AS MATERIALIZED (\n  SELECT s.* FROM ")
        .append(&sums("calls", counted, by_time))
        .push(&format!(
            " AS s\n), point AS MATERIALIZED (\n  \
             SELECT date_bin('{bucket_s} seconds', s.at, '1970-01-01 00:00+00') AS point, s.*\n  FROM "
        ));
    match has_points {
        true => runs.append(&sums(sums::POINTS, counted, Some(bucket_s))),
        false => runs.push(POINTS_OF_RUNS),
    };
    runs.push(" AS s").push(&rows(SUMMED));
    let mut tools = SqlText::new("WITH tool AS MATERIALIZED (\n  SELECT s.* FROM ");
    tools
        .append(&sums("tools", counted, None))
        .push(" AS s")
        .push(&rows(TOOLS));
    let mut errors = SqlText::new(
        "SELECT s.name AS error, sum(s.runs) AS runs, max(s.last_at) AS last_at,\n  \
         (array_agg(s.last_run_id ORDER BY s.last_at DESC, s.last_run_id))[1] AS last_run_id\nFROM ",
    );
    errors.append(&sums("errors", counted, None)).push(&rows(
        " AS s\nGROUP BY s.name\nORDER BY max(s.last_at) DESC, s.name\nLIMIT {MORE}",
    ));
    StatsStatements {
        runs,
        tools,
        errors,
    }
}
