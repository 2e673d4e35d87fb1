//! What the runs of a window cost. The view `agent_token_costs` looks each call up; here all calls
//! are joined with prices at once, which takes a tenth of the time and comes to the same.

use sqlx::PgConnection;

use super::run_search::RunSearch;
use super::sql_text::SqlText;

/// Rows of the list of models without a price.
const UNPRICED_ROWS: usize = 50;

/// Behind `run`: what was used of each model at each price, by `{KEYS}` of the runs. Tokens are
/// added up before they are multiplied.
const USED: &str = "
), band AS MATERIALIZED (
  SELECT b.*, row_number() OVER () AS number FROM price_bands AS b
), counted AS MATERIALIZED (
  SELECT {KEYS}, u.model, b.number, count(*) AS calls, sum(u.input) AS input, sum(u.output) AS output,
    sum(u.cache_read) AS cache_read, sum(u.cache_write) AS cache_write,
    sum(greatest(u.input - u.cache_read - u.cache_write, 0)) AS fresh,
    sum(greatest(u.output - u.reasoning, 0)) AS plain, sum(least(u.reasoning, u.output)) AS reasoning,
    max(c.created_at) AS last_at
  FROM run AS r
  JOIN agent_token_counts AS c ON c.run_id = r.id AND NOT c.rollup
  CROSS JOIN LATERAL (
    SELECT coalesce(c.model, (SELECT s.model FROM agent_steps AS s WHERE s.id = c.step_id)) AS model,
      coalesce(c.input, 0)::bigint AS input, coalesce(c.output, 0)::bigint AS output,
      coalesce(c.cache_read, 0)::bigint AS cache_read, coalesce(c.cache_write, 0)::bigint AS cache_write,
      coalesce(c.reasoning, 0)::bigint AS reasoning
  ) AS u
  LEFT JOIN band AS b ON b.model = CASE WHEN u.model IN (SELECT public.models_with_keys())
      THEN public.price_key(u.model, c.step_id) ELSE u.model END
    AND b.valid_from <= c.created_at AND c.created_at < b.valid_until
    AND b.above_input_tokens < greatest(u.input, 1) AND greatest(u.input, 1) <= b.up_to_input_tokens
    -- Where only one of the two has a price, a call that used the other has none.
    AND (b.input IS NOT NULL OR u.input = 0) AND (b.output IS NOT NULL OR u.output = 0)
    AND num_nonnulls(c.input, c.output, c.cache_read, c.cache_write, c.reasoning) > 0
  GROUP BY {KEYS}, u.model, b.number
), used AS MATERIALIZED (
  SELECT c.*, CASE WHEN c.number IS NOT NULL THEN (
    c.fresh * coalesce(b.input, 0) + c.cache_read * coalesce(b.cache_read, 0)
    + c.cache_write * coalesce(b.cache_write, 0)
    + c.plain * coalesce(b.output, 0) + c.reasoning * coalesce(b.reasoning, 0)
  ) / 1000000 END AS cost_usd
  FROM counted AS c
  LEFT JOIN band AS b ON b.number = c.number
)";

/// What the sources reported, and sums by `{KEY}`.
const SUMMED: &str = ", reported AS MATERIALIZED (
  -- A step reports what it cost in all, however many token counts it has.
  SELECT DISTINCT ON (s.id) r.key, coalesce(c.model, s.model) AS model, public.reported_cost(s.metadata) AS cost_usd
  FROM run AS r
  JOIN agent_steps AS s ON s.run_id = r.id AND s.metadata ?| ARRAY[
    'gen_ai.usage.cost', 'gen_ai.usage.total_cost', 'llm.cost.total', 'langfuse.observation.cost_details']
  JOIN agent_token_counts AS c ON c.step_id = s.id AND c.run_id = r.id AND NOT c.rollup
  ORDER BY s.id, c.id
), part AS (
  SELECT u.{KEY} AS key, 0 AS runs, u.calls, u.input, u.output, u.cache_read, u.cost_usd, NULL::numeric AS reported_usd
  FROM used AS u
  UNION ALL
  SELECT p.{KEY}, 0, 0, 0, 0, 0, NULL, p.cost_usd
  FROM reported AS p
  UNION ALL
  {RUNS}
)";
/// Runs with this key.
const RUNS_OF_KEY: &str =
    "SELECT r.key, count(*), 0, 0, 0, 0, NULL, NULL FROM run AS r GROUP BY r.key";
/// Runs that call this model.
const RUNS_OF_MODEL: &str =
    "SELECT u.model, count(DISTINCT u.key), 0, 0, 0, 0, NULL, NULL FROM used AS u GROUP BY u.model";

/// The runs of a window: `WITH run AS (`, and open.
pub(super) fn runs_of(columns: &str, filter: &RunSearch) -> SqlText {
    let mut sql = SqlText::new(&format!(
        "WITH run AS MATERIALIZED (\n  SELECT {columns}\n  FROM agent_runs AS r\n  WHERE r.started_at IS NOT NULL"
    ));
    sql.append(&filter.narrow(None))
        .append(&filter.conditions());
    sql
}

/// What was used, by these columns of `run`.
pub(super) fn used(keys: &str) -> String {
    USED.replace("{KEYS}", keys)
}

/// Settings of a transaction that adds up many rows. The planner takes all runs of a window for a
/// few, or for all there are; then merging reads a whole index in an order that the disk does not have.
///
/// # Errors
/// If the connection is broken.
pub async fn plan_sums(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let settings = "SET LOCAL enable_mergejoin = off; SET LOCAL random_page_cost = 1.1";
    sqlx::raw_sql(settings).execute(conn).await?;
    Ok(())
}

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

    /// The key, over `agent_runs AS r`.
    fn key(self) -> &'static str {
        match self {
            Self::Agent => "r.agent_id",
            // The model is one of the calls, not of the run.
            Self::Model => "r.id",
            Self::Session => "r.session_id::text",
            Self::Customer => "r.customer_id::text",
            Self::User => {
                "coalesce((SELECT s.user_id FROM agent_sessions AS s WHERE s.id = r.session_id)::text, \
                 r.metadata ->> 'user')"
            }
            Self::Day => "((r.started_at AT TIME ZONE 'UTC')::date)::text",
        }
    }
}

/// Costs of the runs of `filter`, summed by a key.
#[must_use]
pub fn cost_statement(by: CostBy, filter: &RunSearch) -> SqlText {
    let (key, runs) = match by {
        CostBy::Model => ("model", RUNS_OF_MODEL),
        _ => ("key", RUNS_OF_KEY),
    };
    let name = match by {
        CostBy::Session => "(SELECT s.title FROM agent_sessions AS s WHERE s.id = p.key::uuid)",
        _ => "NULL::text",
    };
    let order = match by {
        CostBy::Day => "p.key DESC",
        _ => "sum(p.cost_usd) DESC NULLS LAST, p.key",
    };
    let summed = SUMMED.replace("{KEY}", key).replace("{RUNS}", runs);
    let mut sql = runs_of(&format!("r.id, {} AS key", by.key()), filter);
    sql.push(&used("r.key")).push(&summed).push(&format!(
        "\nSELECT p.key, {name} AS name, sum(p.runs) AS runs, sum(p.calls) AS calls,\n  \
         sum(p.input) AS tokens_input, sum(p.output) AS tokens_output, sum(p.cache_read) AS tokens_cache_read,\n  \
         sum(p.cost_usd) AS cost_usd, sum(p.reported_usd) AS cost_reported_usd,\n  \
         coalesce(sum(p.calls) FILTER (WHERE p.cost_usd IS NULL), 0) AS unpriced_calls\n\
         FROM part AS p\nGROUP BY p.key\nHAVING sum(p.calls) > 0\nORDER BY {order}\nLIMIT 400"
    ));
    sql
}

/// Models without a price in the runs of `filter`.
#[must_use]
pub fn unpriced_statement(filter: &RunSearch) -> SqlText {
    let mut sql = runs_of("r.id, true AS key", filter);
    sql.push(&used("r.key")).push(&format!(
        "\nSELECT u.model, sum(u.calls) AS calls, max(u.last_at) AS last_at\nFROM used AS u\n\
         WHERE u.cost_usd IS NULL\nGROUP BY u.model\nORDER BY sum(u.calls) DESC, u.model\nLIMIT {UNPRICED_ROWS}"
    ));
    sql
}
