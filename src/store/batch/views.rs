//! Calls that several steps describe: which step shows the call.
//!
//! A framework, the client below it and the server that it calls may each have a span of one
//! call. Only the spans of a whole run tell. So this is decided when the run has ended, and
//! again with every later event: first the rows are restored to what their own events
//! reported, then the events are merged, then the views are decided anew. The result depends
//! on the rows alone.

mod decide;
mod nested;
mod tool_name;

use std::collections::{HashMap, HashSet};

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use self::decide::{CallTie, CallView, TieKind, ViewedCount, decide};
use self::nested::{PartAbove, nested_calls};
use super::runs::settle_runs;

/// Restores the rows of runs to what their own events reported. Returns the runs that
/// changed. Of `large` runs only the steps and token counts in `rows` are restored. The runs
/// must be locked.
pub async fn forget(
    conn: &mut PgConnection,
    runs: &[Uuid],
    rows: &[Uuid],
    large: &[Uuid],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    if runs.is_empty() && large.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = sqlx::query(include_str!("../sql/forget_views.sql"))
        .bind(runs)
        .bind(rows)
        .bind(large)
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Shows the calls of final runs once. Returns the runs with several views of one call. The
/// runs must be locked, and nothing of them shown.
pub async fn show(conn: &mut PgConnection, runs: &[Uuid]) -> Result<HashSet<Uuid>, sqlx::Error> {
    if runs.is_empty() {
        return Ok(HashSet::new());
    }
    let ties = find_ties(conn, runs).await?;
    if ties.is_empty() {
        return Ok(HashSet::new());
    }
    let calls = read(conn, &ties, runs).await?;
    let shown = decide(&calls, &ties);
    let changed = shown.steps();
    let runs_of: HashMap<Uuid, Uuid> = calls.iter().map(|call| (call.id, call.run)).collect();
    let runs: HashSet<Uuid> = changed.filter_map(|id| runs_of.get(&id).copied()).collect();
    if runs.is_empty() {
        return Ok(runs);
    }
    let filled = &shown.filled;
    let column = |value: fn(&decide::FilledCall) -> Option<Uuid>| -> Vec<Option<Uuid>> {
        filled.iter().map(value).collect()
    };
    sqlx::query(include_str!("../sql/show_views.sql"))
        .bind(&shown.hidden)
        .bind(column(|call| Some(call.id)))
        .bind(column(|call| call.model_of))
        .bind(column(|call| call.input_of))
        .bind(column(|call| call.output_of))
        .bind(column(|call| call.failure_of))
        .bind(&shown.counted_twice)
        .bind(runs.iter().copied().collect::<Vec<_>>())
        .execute(conn)
        .await?;
    Ok(runs)
}

async fn find_ties(conn: &mut PgConnection, runs: &[Uuid]) -> Result<Vec<CallTie>, sqlx::Error> {
    let rows = sqlx::query(include_str!("../sql/find_views.sql"))
        .bind(runs)
        .fetch_all(conn)
        .await?;
    let (mut parts, mut ties) = (HashMap::new(), Vec::new());
    for row in &rows {
        let id = row.try_get("id")?;
        let kind = match row.try_get("tie")? {
            "above" => {
                let class = row.try_get("class")?;
                let above = row.try_get("other")?;
                parts.insert(id, PartAbove { class, above });
                continue;
            }
            "within" => TieKind::Within,
            _ => TieKind::Same,
        };
        ties.push(CallTie {
            call: id,
            other: row.try_get("other")?,
            kind,
        });
    }
    ties.extend(nested_calls(&parts));
    Ok(ties)
}

async fn read(
    conn: &mut PgConnection,
    ties: &[CallTie],
    runs: &[Uuid],
) -> Result<Vec<CallView>, sqlx::Error> {
    let mut ids: Vec<Uuid> = ties.iter().flat_map(|tie| [tie.call, tie.other]).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut counts = read_counts(conn, runs).await?;
    let rows = sqlx::query(include_str!("../sql/read_views.sql"))
        .bind(ids)
        .bind(runs)
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let status: &str = row.try_get("status")?;
            let id = row.try_get("id")?;
            Ok(CallView {
                id,
                run: row.try_get("run_id")?,
                is_tool: row.try_get::<&str, _>("step_type")? == "tool_call",
                name: row.try_get("name")?,
                view: row.try_get("view")?,
                started_at: row.try_get("started_at")?,
                failed: status == "failed",
                completed: status == "completed",
                has_input: row.try_get("has_input")?,
                has_output: row.try_get("has_output")?,
                has_model: row.try_get("has_model")?,
                count: counts.remove(&id),
            })
        })
        .collect()
}

/// The token counts of runs, by step.
async fn read_counts(
    conn: &mut PgConnection,
    runs: &[Uuid],
) -> Result<HashMap<Uuid, ViewedCount>, sqlx::Error> {
    let rows = sqlx::query(include_str!("../sql/read_view_counts.sql"))
        .bind(runs)
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let count = ViewedCount {
                id: row.try_get("id")?,
                parts: row.try_get("parts")?,
                tokens: row.try_get("tokens")?,
            };
            Ok((row.try_get("step_id")?, count))
        })
        .collect()
}

/// Shows the calls of runs that were just closed, and makes their rows exact. The runs must
/// be locked.
///
/// # Errors
/// If the database fails.
pub async fn settle_closed_runs(conn: &mut PgConnection, runs: &[Uuid]) -> Result<(), sqlx::Error> {
    show(conn, runs).await?;
    settle_runs(conn, runs).await
}
