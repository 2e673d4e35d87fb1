//! One run without its payloads: what a page needs to draw it.

use serde::Serialize;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::run_list::{COLUMNS, TABLES, TAGS};
use super::sql_text::SqlText;

/// Longer errors of steps are cut.
const ERROR_CHARS: usize = 200;
/// Runs beside a run that are listed.
const NEAR_RUNS: usize = 100;

/// A step, message or approval of a run without its payload.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)] // the columns of `run_timeline`
pub struct SkeletonRow {
    pub item: String,
    pub id: Uuid,
    /// The step that it is part of.
    pub parent_id: Option<Uuid>,
    pub offset: Option<i64>,
    pub duration: Option<i64>,
    pub kind: Option<String>,
    pub name: Option<String>,
    pub model: Option<String>,
    pub status: Option<String>,
    /// Stored bytes of the input or the message.
    #[serde(rename = "in")]
    pub input_bytes: i64,
    /// Stored bytes of the output.
    #[serde(rename = "out")]
    pub output_bytes: i64,
    pub error: Option<String>,
    pub flags: Vec<String>,
    /// Input, output, read from a cache, reasoning, and US dollars.
    pub tokens: Option<StepTokens>,
}

/// Tokens of a step: input, output, read from a cache, reasoning, and US dollars.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepTokens(
    pub Option<i64>,
    pub Option<i64>,
    pub Option<i64>,
    pub Option<i64>,
    pub Option<f64>,
);

/// The statement whose rows are the skeleton of a run.
#[must_use]
pub fn skeleton_statement(run: Uuid) -> SqlText {
    let mut sql = SqlText::new(
        "SELECT t.item, t.id, t.parent_step_id, t.step_id, t.offset_ms, t.duration_ms, t.kind, \
         left(t.name, 200) AS name, t.model, t.status,\n  \
         (coalesce(pg_column_size(t.input), 0) + coalesce(pg_column_size(t.content), 0))::bigint AS input_bytes,\n  \
         coalesce(pg_column_size(t.output), 0)::bigint AS output_bytes,\n  ",
    );
    sql.push(&format!(
        "left(t.error, {ERROR_CHARS}) AS error, t.flags,\n  \
         used.input, used.output, used.cache_read, used.reasoning, used.cost_usd\n\
         FROM run_timeline AS t\n\
         LEFT JOIN (\n  \
           SELECT c.step_id, sum(c.input) AS input, sum(c.output) AS output, sum(c.cache_read) AS cache_read,\n    \
                  sum(c.reasoning) AS reasoning, sum(c.cost_usd)::double precision AS cost_usd\n  \
           FROM agent_token_costs AS c\n  \
           WHERE c.run_id = "
    ))
    .bind(&run.to_string(), "uuid")
    .push("\n  GROUP BY c.step_id\n) AS used ON t.item = 'step' AND used.step_id = t.id\nWHERE t.run_id = ")
    .bind(&run.to_string(), "uuid")
    .push(" AND t.item <> 'tokens'\nORDER BY t.position");
    sql
}

/// The rows of a run in order.
///
/// # Errors
/// If the statement fails.
pub async fn skeleton_rows(
    conn: &mut PgConnection,
    run: Uuid,
) -> Result<Vec<SkeletonRow>, sqlx::Error> {
    let rows = skeleton_statement(run).rows(conn).await?;
    rows.iter()
        .map(|row| {
            let item: String = row.try_get("item")?;
            let parent = match item.as_str() {
                "step" => "parent_step_id",
                _ => "step_id",
            };
            let tokens = StepTokens(
                row.try_get("input")?,
                row.try_get("output")?,
                row.try_get("cache_read")?,
                row.try_get("reasoning")?,
                row.try_get("cost_usd")?,
            );
            let flags: Vec<String> = row.try_get("flags")?;
            // A step that is its own ancestor stands beside the others, as in the view.
            let in_cycle = flags.iter().any(|flag| flag == "parent_cycle");
            let is_known = tokens.0.or(tokens.1).or(tokens.2).or(tokens.3).is_some();
            Ok(SkeletonRow {
                parent_id: if in_cycle { None } else { row.try_get(parent)? },
                item,
                id: row.try_get("id")?,
                offset: row.try_get("offset_ms")?,
                duration: row.try_get("duration_ms")?,
                kind: row.try_get("kind")?,
                name: row.try_get("name")?,
                model: row.try_get("model")?,
                status: row.try_get("status")?,
                input_bytes: row.try_get("input_bytes")?,
                output_bytes: row.try_get("output_bytes")?,
                error: row.try_get("error")?,
                flags,
                tokens: is_known.then_some(tokens),
            })
        })
        .collect()
}

/// Digests of the inputs and outputs of a run's steps, to tell whether they are the same.
///
/// # Errors
/// If the statement fails.
pub async fn step_digests(
    conn: &mut PgConnection,
    run: Uuid,
) -> Result<Vec<(Uuid, Option<String>, Option<String>)>, sqlx::Error> {
    let query = "SELECT id, md5(input::text), md5(output::text) FROM agent_steps WHERE run_id = $1";
    sqlx::query_as(query).bind(run).fetch_all(conn).await
}

/// What surrounds the rows of a run, as JSON.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct RunHead {
    pub run: String,
    pub session: Option<String>,
    pub parent: Option<String>,
    pub children: Vec<String>,
    pub siblings: Vec<String>,
}

/// The head of a run; `None`: there is no such run, or the reader may not see it.
///
/// # Errors
/// If a statement fails.
pub async fn run_head(conn: &mut PgConnection, run: Uuid) -> Result<Option<RunHead>, sqlx::Error> {
    let Some(row) = run_row(conn, run).await? else {
        return Ok(None);
    };
    let id = run.to_string();
    let of_run = |column: &str| {
        let mut sql = SqlText::new(&format!(
            "(SELECT o.{column} FROM agent_runs AS o WHERE o.id = "
        ));
        sql.bind(&id, "uuid").push(")");
        sql
    };
    let mut session = SqlText::new(
        "SELECT s.id AS session_id, s.title, s.user_id, s.customer_id, s.external_id \
         FROM agent_sessions AS s WHERE s.id = ",
    );
    session.append(&of_run("session_id"));
    let near = |condition: &str, value: &SqlText| {
        let mut sql = SqlText::new(NEAR);
        sql.push(condition).append(value).push(" AND r.id <> ");
        sql.bind(&id, "uuid")
            .push(&format!(" ORDER BY r.started_at, r.id LIMIT {NEAR_RUNS}"));
        sql
    };
    let mut this = SqlText::default();
    this.bind(&id, "uuid");
    let parent = near("r.id = ", &of_run("parent_run_id"));
    Ok(Some(RunHead {
        run: row,
        session: session.json_row(conn).await?,
        parent: parent.json_row(conn).await?,
        children: near("r.parent_run_id = ", &this).json_rows(conn).await?,
        siblings: near("r.parent_run_id = ", &of_run("parent_run_id"))
            .json_rows(conn)
            .await?,
    }))
}

/// Selects runs beside others.
pub(super) const NEAR: &str = "SELECT r.id AS run_id, r.agent_id, r.name, r.status, r.started_at, r.duration_ms \
     FROM agent_runs AS r WHERE ";

/// A run as in the list, with its metadata and the sizes of its texts.
///
/// # Errors
/// If the statement fails.
pub async fn run_row(conn: &mut PgConnection, run: Uuid) -> Result<Option<String>, sqlx::Error> {
    let mut sql = SqlText::new(&format!(
        "SELECT {COLUMNS}{TAGS} AS tags, s.flags, r.metadata, \
         coalesce(length(r.input), 0) AS input_chars, coalesce(length(r.output), 0) AS output_chars{TABLES}\nWHERE s.run_id = "
    ));
    sql.bind(&run.to_string(), "uuid");
    sql.json_row(conn).await
}
