//! Sums over a window of time: runs, durations, tokens, costs, tools, errors.

use super::run_search::{RunSearch, TimeBound, push_time};
use super::sql_text::SqlText;

/// Rows of each list.
const ROWS: usize = 50;
/// Runs from which the values of filters come.
const FACET_RUNS: usize = 2_000;

/// Sums of runs, over `agent_runs AS r` and [`COST_OF_RUN`].
const SUMS: &str = "count(*) AS runs,
  count(*) FILTER (WHERE r.status = 'failed') AS failed,
  count(*) FILTER (WHERE r.status = 'running') AS running,
  percentile_disc(0.5) WITHIN GROUP (ORDER BY r.duration_ms) AS p50_ms,
  percentile_disc(0.95) WITHIN GROUP (ORDER BY r.duration_ms) AS p95_ms,
  percentile_disc(0.99) WITHIN GROUP (ORDER BY r.duration_ms) AS p99_ms,
  coalesce(sum(r.total_tokens_input), 0) AS tokens_input,
  coalesce(sum(r.total_tokens_output), 0) AS tokens_output,
  sum(k.cost_usd) AS cost_usd,
  coalesce(sum(k.unpriced_calls), 0) AS unpriced_calls,
  coalesce(sum(w.waiting_ms), 0) AS waiting_ms";

/// What each run cost and how long it waited for people.
const PER_RUN: &str = "
CROSS JOIN LATERAL (
  SELECT sum(c.cost_usd) AS cost_usd, count(*) FILTER (WHERE c.cost_usd IS NULL) AS unpriced_calls
  FROM agent_token_costs AS c WHERE c.run_id = r.id
) AS k
CROSS JOIN LATERAL (
  SELECT sum(ms_between(a.created_at, coalesce(a.decided_at, least(a.expires_at, now()), now()))) AS waiting_ms
  FROM approvals AS a WHERE a.run_id = r.id
) AS w";

/// What a cost is summed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CostBy {
    Agent,
    Model,
    Session,
    Customer,
    User,
    Day,
}

impl CostBy {
    /// The key of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "agent" => Self::Agent,
            "model" => Self::Model,
            "session" => Self::Session,
            "customer" => Self::Customer,
            "user" => Self::User,
            "day" => Self::Day,
            _ => return None,
        })
    }

    /// The key, and a name for people.
    fn columns(self) -> (&'static str, &'static str) {
        match self {
            Self::Agent => ("r.agent_id", "NULL::text"),
            Self::Model => ("c.model", "NULL::text"),
            Self::Session => (
                "r.session_id::text",
                "(SELECT s.title FROM agent_sessions AS s WHERE s.id = min(r.session_id::text)::uuid)",
            ),
            Self::Customer => ("r.customer_id::text", "NULL::text"),
            Self::User => (
                "(SELECT s.user_id FROM agent_sessions AS s WHERE s.id = r.session_id)::text",
                "NULL::text",
            ),
            Self::Day => (
                "((r.started_at AT TIME ZONE 'UTC')::date)::text",
                "NULL::text",
            ),
        }
    }
}

/// The statements of the statistics of a window.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct StatsStatements {
    pub totals: SqlText,
    pub series: SqlText,
    pub agents: SqlText,
    pub models: SqlText,
    pub tools: SqlText,
    pub errors: SqlText,
}

fn window(filter: &RunSearch) -> SqlText {
    let mut sql = SqlText::new("\nWHERE r.started_at IS NOT NULL");
    sql.append(&filter.narrow(None))
        .append(&filter.conditions());
    sql
}

/// Statements over the runs of `filter`, in buckets of `bucket_s` seconds.
#[must_use]
pub fn stats_statements(filter: &RunSearch, bucket_s: u64) -> StatsStatements {
    let runs = |columns: &str, rest: &str| {
        let mut sql = SqlText::new(&format!(
            "SELECT {columns}{SUMS}\nFROM agent_runs AS r{PER_RUN}"
        ));
        sql.append(&window(filter)).push(rest);
        sql
    };
    let bucket =
        format!("date_bin('{bucket_s} seconds', r.started_at, 'epoch'::timestamptz) AS at, ");
    let of_runs = |select: &str, join: &str, rest: &str| {
        let mut sql = SqlText::new(&format!("SELECT {select}\nFROM agent_runs AS r{join}"));
        sql.append(&window(filter)).push(rest);
        sql
    };
    StatsStatements {
        totals: runs("", ""),
        series: runs(&bucket, "\nGROUP BY 1 ORDER BY 1 LIMIT 2000"),
        agents: runs(
            "r.agent_id, ",
            &format!("\nGROUP BY r.agent_id ORDER BY count(*) DESC LIMIT {ROWS}"),
        ),
        models: of_runs(
            "c.model, count(*) AS calls, coalesce(sum(c.input), 0) AS tokens_input, \
             coalesce(sum(c.output), 0) AS tokens_output, coalesce(sum(c.cache_read), 0) AS tokens_cache_read,\n  \
             sum(c.cost_usd) AS cost_usd, count(*) FILTER (WHERE c.cost_usd IS NULL) AS unpriced_calls",
            "\nJOIN agent_token_costs AS c ON c.run_id = r.id",
            &format!("\nGROUP BY c.model ORDER BY count(*) DESC LIMIT {ROWS}"),
        ),
        tools: of_runs(
            "t.name, count(*) AS calls, count(*) FILTER (WHERE t.status = 'failed') AS failed,\n  \
             percentile_disc(0.5) WITHIN GROUP (ORDER BY t.duration_ms) AS p50_ms,\n  \
             percentile_disc(0.95) WITHIN GROUP (ORDER BY t.duration_ms) AS p95_ms,\n  \
             coalesce(sum(t.duration_ms), 0) AS total_ms",
            "\nJOIN agent_steps AS t ON t.run_id = r.id AND t.step_type = 'tool_call'",
            &format!(
                "\nGROUP BY t.name ORDER BY coalesce(sum(t.duration_ms), 0) DESC LIMIT {ROWS}"
            ),
        ),
        errors: of_runs(
            "left(r.error, 300) AS error, count(*) AS runs, max(r.started_at) AS last_at,\n  \
             (array_agg(r.id ORDER BY r.started_at DESC))[1] AS last_run_id",
            "",
            &format!(
                " AND r.status = 'failed'\nGROUP BY left(r.error, 300) ORDER BY max(r.started_at) DESC LIMIT {ROWS}"
            ),
        ),
    }
}

/// Costs of the runs of `filter`, summed by a key.
#[must_use]
pub fn cost_statement(by: CostBy, filter: &RunSearch) -> SqlText {
    let (key, name) = by.columns();
    let order = match by {
        CostBy::Day => "1 DESC",
        _ => "sum(c.cost_usd) DESC NULLS LAST",
    };
    let mut sql = SqlText::new(&format!(
        "SELECT {key} AS key, {name} AS name, count(DISTINCT r.id) AS runs, count(*) AS calls,\n  \
         coalesce(sum(c.input), 0) AS tokens_input, coalesce(sum(c.output), 0) AS tokens_output,\n  \
         coalesce(sum(c.cache_read), 0) AS tokens_cache_read, sum(c.cost_usd) AS cost_usd,\n  \
         sum(c.cost_reported_usd) AS cost_reported_usd,\n  \
         count(*) FILTER (WHERE c.cost_usd IS NULL) AS unpriced_calls\n\
         FROM agent_runs AS r\nJOIN agent_token_costs AS c ON c.run_id = r.id"
    ));
    sql.append(&window(filter))
        .push(&format!("\nGROUP BY 1 ORDER BY {order} LIMIT 400"));
    sql
}

/// Models without a price in the runs since a time.
#[must_use]
pub fn unpriced_statement(since: Option<&TimeBound>) -> SqlText {
    let mut sql = SqlText::new(
        "SELECT c.model, count(*) AS calls, max(c.created_at) AS last_at\n\
         FROM agent_runs AS r\nJOIN agent_token_costs AS c ON c.run_id = r.id\nWHERE c.cost_usd IS NULL",
    );
    if let Some(since) = since {
        sql.push(" AND r.started_at >= ");
        push_time(&mut sql, since);
    }
    sql.push(&format!(
        "\nGROUP BY c.model ORDER BY count(*) DESC LIMIT {ROWS}"
    ));
    sql
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
