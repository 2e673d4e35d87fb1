//! One run.

use sqlx::PgConnection;
use uuid::Uuid;

use super::InspectError;

/// The run as the database draws it, `width` columns wide: the text of the
/// function `run_waterfall`, so that there is one drawing only.
///
/// # Errors
/// [`InspectError`] as the database gives it.
pub async fn waterfall(
    connection: &mut PgConnection,
    run: Uuid,
    width: i32,
) -> Result<Vec<String>, InspectError> {
    let lines = sqlx::query_scalar("SELECT line FROM run_waterfall($1, $2) AS line")
        .bind(run)
        .bind(width)
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
