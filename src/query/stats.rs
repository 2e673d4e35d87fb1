//! Sums over a window of time: runs, durations, tokens, costs, tools, errors; values of filters.

use super::costs::{runs_of, used};
use super::run_search::RunSearch;
use super::sql_text::SqlText;

/// Rows of each list.
const ROWS: usize = 50;
/// Runs from which the values of filters come.
const FACET_RUNS: usize = 2_000;

/// The statements of the statistics of a window.
#[derive(Clone, Debug)]
pub struct StatsStatements {
    /// One row of JSON: `totals`, `series`, `agents` and `models`.
    pub runs: SqlText,
    /// A row per tool.
    pub tools: SqlText,
    /// A row per error.
    pub errors: SqlText,
}

/// What the sums of runs are, over `run AS r` and `waited AS w`.
const SUMS: &str = "count(*) AS runs,
    count(*) FILTER (WHERE r.status = 'failed') AS failed,
    count(*) FILTER (WHERE r.status = 'running') AS running,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY r.duration_ms) AS p50_ms,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY r.duration_ms) AS p95_ms,
    percentile_disc(0.99) WITHIN GROUP (ORDER BY r.duration_ms) AS p99_ms,
    coalesce(sum(r.total_tokens_input), 0) AS tokens_input,
    coalesce(sum(r.total_tokens_output), 0) AS tokens_output,
    coalesce(sum(w.ms), 0) AS waiting_ms,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY w.ms) AS wait_p50_ms,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY w.ms) AS wait_p95_ms,
    percentile_disc(0.99) WITHIN GROUP (ORDER BY w.ms) AS wait_p99_ms";

/// How long runs waited for people, and all sums by time, by agent, by model and in all. Each
/// table is read once.
const SUMMED: &str = ",
waited AS MATERIALIZED (
  SELECT a.run_id, sum(ms_between(a.created_at, coalesce(a.decided_at, least(a.expires_at, now()), now()))) AS ms
  FROM run AS r
  JOIN approvals AS a ON a.run_id = r.id
  GROUP BY a.run_id
), cost AS MATERIALIZED (
  SELECT u.at, u.agent_id, u.model, grouping(u.at, u.agent_id, u.model) AS missing,
    sum(u.calls) AS calls, sum(u.input) AS tokens_input, sum(u.output) AS tokens_output,
    sum(u.cache_read) AS tokens_cache_read, sum(u.cost_usd) AS cost_usd,
    coalesce(sum(u.calls) FILTER (WHERE u.cost_usd IS NULL), 0) AS unpriced_calls
  FROM used AS u
  GROUP BY GROUPING SETS ((), (u.at), (u.agent_id), (u.model))
), total AS MATERIALIZED (
  SELECT r.at, r.agent_id, grouping(r.at, r.agent_id) * 2 + 1 AS missing, {SUMS}
  FROM run AS r
  LEFT JOIN waited AS w ON w.run_id = r.id
  GROUP BY GROUPING SETS ((), (r.at), (r.agent_id))
), part AS MATERIALIZED (
  SELECT t.*, c.cost_usd, coalesce(c.unpriced_calls, 0) AS unpriced_calls
  FROM total AS t
  LEFT JOIN cost AS c ON c.missing = t.missing
    AND c.at IS NOT DISTINCT FROM t.at AND c.agent_id IS NOT DISTINCT FROM t.agent_id
)
SELECT
  (SELECT to_jsonb(p) - '{at,agent_id,missing}'::text[] FROM part AS p WHERE p.missing = 7) AS totals,
  (SELECT coalesce(jsonb_agg(to_jsonb(p) - '{agent_id,missing}'::text[] ORDER BY p.at), '[]')
   FROM (SELECT * FROM part WHERE missing = 3 ORDER BY at LIMIT 2000) AS p) AS series,
  (SELECT coalesce(jsonb_agg(to_jsonb(p) - '{at,missing}'::text[] ORDER BY p.runs DESC, p.agent_id), '[]')
   FROM (SELECT * FROM part WHERE missing = 5 ORDER BY runs DESC, agent_id LIMIT {ROWS}) AS p) AS agents,
  (SELECT coalesce(jsonb_agg(to_jsonb(c) - '{at,agent_id,missing}'::text[] ORDER BY c.calls DESC, c.model), '[]')
   FROM (SELECT * FROM cost WHERE missing = 6 ORDER BY calls DESC, model LIMIT {ROWS}) AS c) AS models";

/// Tools. Equal durations are counted together, so that no list of all calls is sorted.
const TOOLS: &str = "
), took AS MATERIALIZED (
  SELECT t.name, t.duration_ms AS ms, count(*) AS calls, count(*) FILTER (WHERE t.status = 'failed') AS failed
  FROM run AS r
  JOIN agent_steps AS t ON t.run_id = r.id AND t.step_type = 'tool_call'
  GROUP BY t.name, t.duration_ms
), ranked AS (
  SELECT k.*, sum(k.calls) OVER (PARTITION BY k.name, k.ms IS NULL ORDER BY k.ms) AS up_to,
    sum(k.calls) OVER (PARTITION BY k.name, k.ms IS NULL) AS of
  FROM took AS k
)
SELECT k.name, sum(k.calls) AS calls, sum(k.failed) AS failed,
  min(k.ms) FILTER (WHERE k.up_to >= 0.5 * k.of) AS p50_ms,
  min(k.ms) FILTER (WHERE k.up_to >= 0.95 * k.of) AS p95_ms,
  coalesce(sum(k.ms * k.calls), 0) AS total_ms
FROM ranked AS k
GROUP BY k.name
ORDER BY coalesce(sum(k.ms * k.calls), 0) DESC, k.name
LIMIT {ROWS}";

/// Statements over the runs of `filter`, in buckets of `bucket_s` seconds.
#[must_use]
pub fn stats_statements(filter: &RunSearch, bucket_s: u64) -> StatsStatements {
    let rows = |sql: &str| sql.replace("{ROWS}", &ROWS.to_string());
    let columns = format!(
        "r.id, r.agent_id, r.status, r.duration_ms, r.total_tokens_input, r.total_tokens_output,\n    \
         date_bin('{bucket_s} seconds', r.started_at, 'epoch'::timestamptz) AS at"
    );
    let mut runs = runs_of(&columns, filter);
    runs.push(&used("r.at, r.agent_id"))
        .push(&rows(&SUMMED.replace("{SUMS}", SUMS)));
    let mut tools = runs_of("r.id", filter);
    tools.push(&rows(TOOLS));
    let mut errors = runs_of("r.id, r.error, r.status, r.started_at", filter);
    errors.push(&rows(
        "\n)\nSELECT left(r.error, 300) AS error, count(*) AS runs, max(r.started_at) AS last_at,\n  \
         (array_agg(r.id ORDER BY r.started_at DESC))[1] AS last_run_id\nFROM run AS r\n\
         WHERE r.status = 'failed'\nGROUP BY left(r.error, 300)\nORDER BY max(r.started_at) DESC\nLIMIT {ROWS}",
    ));
    StatsStatements {
        runs,
        tools,
        errors,
    }
}

/// Values of filters in the latest runs.
#[must_use]
pub fn facets_statement() -> SqlText {
    let most = |select: &str, from: &str| {
        format!(
            "(SELECT coalesce(json_agg(v.value ORDER BY v.n DESC, v.value), '[]') FROM (\
             SELECT {select} AS value, count(*) AS n FROM latest AS r{from} \
             GROUP BY 1 HAVING {select} IS NOT NULL ORDER BY 2 DESC, 1 LIMIT {ROWS}) AS v)"
        )
    };
    let agents = most("r.agent_id", "");
    let models = most(
        "t.model",
        " JOIN agent_steps AS t ON t.run_id = r.id AND t.model IS NOT NULL",
    );
    let tools = most(
        "t.name",
        " JOIN agent_steps AS t ON t.run_id = r.id AND t.step_type = 'tool_call'",
    );
    let customers = most("r.customer_id", "");
    let tags = most(
        "t.tag",
        " CROSS JOIN LATERAL jsonb_array_elements_text(r.tags) AS t (tag)",
    );
    SqlText::new(&format!(
        "WITH latest AS MATERIALIZED (\n  SELECT r.id, r.agent_id, r.customer_id, {} AS tags\n  FROM agent_runs AS r\n  \
         WHERE r.started_at IS NOT NULL ORDER BY r.started_at DESC LIMIT {FACET_RUNS}\n)\n\
         SELECT {agents} AS agents,\n  {models} AS models,\n  {tools} AS tools,\n  {customers} AS customers,\n  {tags} AS tags",
        super::run_list::TAGS
    ))
}

/// Names of customers.
#[must_use]
pub fn customer_names_statement() -> SqlText {
    SqlText::new("SELECT c.id, c.name FROM customers AS c ORDER BY c.name LIMIT 1000")
}
