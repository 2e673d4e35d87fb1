//! One run: its drawing, its rows as JSON, its texts in full.

use sqlx::PgConnection;
use uuid::Uuid;

use super::InspectError;

/// The run as the database draws it, its time axis `cells` wide: the lines of the function
/// `run_waterfall`.
///
/// # Errors
/// [`InspectError`] if the query fails.
pub async fn waterfall(
    connection: &mut PgConnection,
    run: Uuid,
    cells: i32,
) -> Result<Vec<String>, InspectError> {
    let lines = sqlx::query_scalar("SELECT run_waterfall($1, $2)")
        .bind(run)
        .bind(cells)
        .fetch_all(connection)
        .await?;
    Ok(lines)
}

/// The run as JSON: `run` is its row of `run_summary` (null: no such run), `timeline` its
/// rows of `run_timeline` in order.
///
/// # Errors
/// [`InspectError`] if the query fails.
pub async fn timeline_json(
    connection: &mut PgConnection,
    run: Uuid,
) -> Result<String, InspectError> {
    let json = sqlx::query_scalar(include_str!("sql/timeline.sql"))
        .bind(run)
        .fetch_one(connection)
        .await?;
    Ok(json)
}

/// The texts of a run, from `run_summary`, which describes each column.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct RunText {
    pub name: Option<String>,
    pub input: Option<String>,
    pub output: Option<String>,
    pub error: Option<String>,
}

from_row!(RunText {
    name,
    input,
    output,
    error,
});

/// The texts of a run, uncut.
///
/// # Errors
/// [`InspectError`] if the query fails or there is no such run.
pub async fn run_text(connection: &mut PgConnection, run: Uuid) -> Result<RunText, InspectError> {
    let query = "SELECT name, input, output, error FROM run_summary WHERE run_id = $1";
    Ok(sqlx::query_as(query)
        .bind(run)
        .fetch_one(connection)
        .await?)
}

/// A row of `run_timeline`, which describes each column. JSON is text: on one line if it is
/// short, else indented.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct TimelineItem {
    pub item: String,
    pub depth: i32,
    pub offset_ms: Option<i64>,
    pub duration_ms: Option<i64>,
    pub kind: Option<String>,
    pub name: Option<String>,
    pub status: Option<String>,
    pub model: Option<String>,
    pub error: Option<String>,
    pub tokens_input: Option<i64>,
    pub tokens_output: Option<i64>,
    pub tokens_cache_read: Option<i64>,
    pub tokens_cache_write: Option<i64>,
    pub tokens_reasoning: Option<i64>,
    pub input: Option<String>,
    pub output: Option<String>,
    pub content: Option<String>,
    pub thinking: Option<String>,
    pub tool_calls: Option<String>,
    pub score_value: Option<f64>,
    pub score_label: Option<String>,
    pub score_source: Option<String>,
    pub flags: Vec<String>,
}

from_row!(TimelineItem {
    item,
    depth,
    offset_ms,
    duration_ms,
    kind,
    name,
    status,
    model,
    error,
    tokens_input,
    tokens_output,
    tokens_cache_read,
    tokens_cache_write,
    tokens_reasoning,
    input,
    output,
    content,
    thinking,
    tool_calls,
    score_value,
    score_label,
    score_source,
    flags,
});

/// The rows of a run's timeline in order, with uncut texts. JSON of more than
/// `line_chars` characters is indented over several lines.
///
/// # Errors
/// [`InspectError`] if the query fails.
pub async fn timeline_items(
    connection: &mut PgConnection,
    run: Uuid,
    line_chars: i32,
) -> Result<Vec<TimelineItem>, InspectError> {
    Ok(sqlx::query_as(include_str!("sql/timeline_items.sql"))
        .bind(run)
        .bind(line_chars)
        .fetch_all(connection)
        .await?)
}
