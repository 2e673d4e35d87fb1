//! One run without its payloads: what a page needs to draw it.

use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use tokio_stream::StreamExt as _;
use uuid::Uuid;

use super::run_list::{COLUMNS, TABLES, TAGS};
use super::sql_text::SqlText;

/// Longer errors of steps are cut.
const ERROR_CHARS: usize = 200;
/// Runs beside a run that are listed.
pub(super) const NEAR_RUNS: usize = 100;
/// Rows of the largest skeleton.
const MAX_ROWS: usize = 100_000;

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
    /// Stored bytes of the input or the message; of an input in `agent_contents`, those of the reference.
    #[serde(rename = "in")]
    pub input_bytes: i64,
    /// The same of the output.
    #[serde(rename = "out")]
    pub output_bytes: i64,
    pub error: Option<String>,
    pub flags: Vec<String>,
    /// Input, output, read from a cache, reasoning, and US dollars.
    pub tokens: Option<StepTokens>,
}

/// The rows of a run.
#[derive(Clone, Debug, Default)]
pub struct Skeleton {
    /// In order, the first 100,000.
    pub rows: Vec<SkeletonRow>,
    /// Whether the run has more.
    pub more: bool,
}

impl Skeleton {
    /// About how many bytes the rows take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let texts = |row: &SkeletonRow| {
            let flags: usize = row.flags.iter().map(|flag| flag.len() + 24).sum();
            let named = text(&row.kind) + text(&row.name) + text(&row.model);
            row.item.len() + named + text(&row.status) + text(&row.error) + flags
        };
        let fixed = self.rows.len() * size_of::<SkeletonRow>();
        fixed + self.rows.iter().map(texts).sum::<usize>()
    }
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

/// The statement whose rows are the skeleton of a run. The sizes of a step's values are those of its own row: the view would put
/// every value together.
fn skeleton_statement(run: Uuid) -> SqlText {
    let mut sql = SqlText::new(
        "SELECT t.item, t.id, t.parent_step_id, t.step_id, t.offset_ms, t.duration_ms, t.kind, \
         left(t.name, 200) AS name, t.model, t.status,\n  \
         (coalesce(CASE t.item WHEN 'step' THEN pg_column_size(s.input) ELSE pg_column_size(t.input) END, 0) \
         + coalesce(pg_column_size(t.content), 0))::bigint AS input_bytes,\n  \
         coalesce(pg_column_size(s.output), 0)::bigint AS output_bytes,\n  ",
    );
    sql.push(&format!(
        "left(t.error, {ERROR_CHARS}) AS error, t.flags,\n  \
         used.input, used.output, used.cache_read, used.reasoning, used.cost_usd\n\
         FROM run_timeline AS t\n\
         LEFT JOIN agent_steps AS s ON t.item = 'step' AND s.id = t.id AND s.run_id = t.run_id\n\
         LEFT JOIN (\n  \
           SELECT c.step_id, sum(c.input) AS input, sum(c.output) AS output, sum(c.cache_read) AS cache_read,\n    \
                  sum(c.reasoning) AS reasoning, sum(c.cost_usd)::double precision AS cost_usd\n  \
           FROM agent_token_costs AS c\n  \
           WHERE c.run_id = "
    ))
    .bind(&run.to_string(), "uuid")
    .push("\n  GROUP BY c.step_id\n) AS used ON t.item = 'step' AND used.step_id = t.id\nWHERE t.run_id = ")
    .bind(&run.to_string(), "uuid")
    .push(&format!(
        " AND t.item <> 'tokens'\nORDER BY t.position\nLIMIT {}",
        MAX_ROWS + 1
    ));
    sql
}

/// The rows of a run in order.
///
/// # Errors
/// If the statement fails.
pub async fn skeleton_rows(conn: &mut PgConnection, run: Uuid) -> Result<Skeleton, sqlx::Error> {
    let statement = skeleton_statement(run);
    let query = statement.query();
    let mut found = query.fetch(conn);
    let mut skeleton = Skeleton::default();
    while let Some(row) = found.next().await {
        if skeleton.rows.len() == MAX_ROWS {
            skeleton.more = true;
            break;
        }
        skeleton.rows.push(skeleton_row(&row?)?);
    }
    Ok(skeleton)
}

fn skeleton_row(row: &PgRow) -> Result<SkeletonRow, sqlx::Error> {
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
}

/// Digests of the inputs and outputs of a run's steps, to tell whether they are the same.
///
/// # Errors
/// If the statement fails.
pub async fn step_digests(
    conn: &mut PgConnection,
    run: Uuid,
) -> Result<Vec<(Uuid, Option<String>, Option<String>)>, sqlx::Error> {
    let query = "SELECT id, md5(content_value(run_id, input)::text), md5(content_value(run_id, output)::text)
                 FROM agent_steps WHERE run_id = $1";
    sqlx::query_as(query).bind(run).fetch_all(conn).await
}

/// What surrounds the rows of a run, as JSON.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct RunHead {
    pub run: String,
    pub session: Option<String>,
    pub parent: Option<String>,
    pub children: Vec<String>,
    pub siblings: Vec<String>,
    /// The numbers of the servers, from 1, that could not say what they have around the run.
    pub away: Vec<usize>,
}

impl RunHead {
    /// About how many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let near = self.children.iter().chain(&self.siblings);
        let one = self.session.iter().chain(&self.parent);
        self.run.len() + near.chain(one).map(|json| json.len() + 24).sum::<usize>()
    }
}

/// The statements of the head of a run.
struct HeadStatements {
    run: SqlText,
    session: SqlText,
    parent: SqlText,
    children: SqlText,
    siblings: SqlText,
}

fn head_statements(run: Uuid) -> HeadStatements {
    let id = run.to_string();
    let of_run = |column: &str| {
        let mut sql = SqlText::new(&format!(
            "(SELECT o.{column} FROM agent_runs AS o WHERE o.id = "
        ));
        sql.bind(&id, "uuid").push(")");
        sql
    };
    let near = |condition: &str, value: &SqlText| near_statement(run, condition, value);
    let mut this = SqlText::default();
    this.bind(&id, "uuid");
    HeadStatements {
        run: run_statement(run),
        session: head_session_statement(&of_run("session_id")),
        parent: near("r.id = ", &of_run("parent_run_id")),
        children: near("r.parent_run_id = ", &this),
        siblings: near("r.parent_run_id = ", &of_run("parent_run_id")),
    }
}

/// The session with an id, which is SQL.
pub(super) fn head_session_statement(id: &SqlText) -> SqlText {
    let mut sql = SqlText::new(
        "SELECT s.id AS session_id, s.title, s.user_id, s.customer_id, s.external_id \
         FROM agent_sessions AS s WHERE s.id = ",
    );
    sql.append(id);
    sql
}

/// The first runs of which a condition ends with a value that is SQL, but not this run.
pub(super) fn near_statement(run: Uuid, condition: &str, value: &SqlText) -> SqlText {
    let mut sql = SqlText::new(NEAR);
    sql.push(condition).append(value).push(" AND r.id <> ");
    sql.bind(&run.to_string(), "uuid")
        .push(&format!(" ORDER BY r.started_at, r.id LIMIT {NEAR_RUNS}"));
    sql
}

/// The queries of a run's head and rows, ready for psql.
#[must_use]
pub fn run_for_psql(run: Uuid) -> String {
    let head = head_statements(run);
    SqlText::all_for_psql(&[
        &skeleton_statement(run),
        &head.run,
        &head.session,
        &head.parent,
        &head.children,
        &head.siblings,
    ])
}

/// The head of a run; `None`: there is no such run, or the reader may not see it.
///
/// # Errors
/// If a statement fails.
pub async fn run_head(conn: &mut PgConnection, run: Uuid) -> Result<Option<RunHead>, sqlx::Error> {
    let statements = head_statements(run);
    let Some(row) = statements.run.json_row(conn).await? else {
        return Ok(None);
    };
    Ok(Some(RunHead {
        run: row,
        session: statements.session.json_row(conn).await?,
        parent: statements.parent.json_row(conn).await?,
        children: statements.children.json_rows(conn).await?,
        siblings: statements.siblings.json_rows(conn).await?,
        away: Vec::new(),
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
    run_statement(run).json_row(conn).await
}

fn run_statement(run: Uuid) -> SqlText {
    let mut sql = SqlText::new(&format!(
        "SELECT {COLUMNS}{TAGS} AS tags, s.flags, r.metadata, \
         coalesce(length(r.input), 0) AS input_chars, coalesce(length(r.output), 0) AS output_chars{TABLES}\nWHERE s.run_id = "
    ));
    sql.bind(&run.to_string(), "uuid");
    sql
}
