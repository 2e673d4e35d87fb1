//! One run.

use sqlx::PgConnection;
use uuid::Uuid;

use super::InspectError;

/// The run as the database draws it, its time axis `cells` wide: the lines of
/// the function `run_waterfall`, so that there is one drawing only.
///
/// # Errors
/// [`InspectError`] as the database gives it.
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

/// The run as JSON: `run` is its row of `run_summary` (null: no such run),
/// `timeline` its rows of `run_timeline` in order.
///
/// # Errors
/// [`InspectError`] as the database gives it.
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
