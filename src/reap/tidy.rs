//! Deletes what belongs to no run and is kept no longer: sessions, dead letters, tombstones, and
//! rows of the ledger.

use std::time::Instant;

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::counts::{ReapCounts, RowCounts};
use super::delete::is_in_the_way;
use super::pace::ReapPace;

/// Rows of one statement.
const ROWS: i64 = 1_000;

/// Tidies up. `session` is where the last look at sessions ended. Returns where this one ended.
///
/// # Errors
/// If the database fails. What was deleted stays deleted.
pub(super) async fn tidy(
    conn: &mut PgConnection,
    keep: Option<&str>,
    session: Uuid,
    counts: &ReapCounts,
    pace: &ReapPace<'_>,
) -> Result<Uuid, sqlx::Error> {
    let begun = Instant::now();
    let session = idle_sessions(conn, keep, session, counts).await?;
    pace.rest(begun).await;
    for (statement, is_letters) in [
        (include_str!("old_dead_letters.sql"), true),
        (include_str!("old_tombstones.sql"), false),
    ] {
        loop {
            let begun = Instant::now();
            let deleted = sqlx::query(statement)
                .bind(keep)
                .bind(ROWS)
                .execute(&mut *conn)
                .await?
                .rows_affected();
            if is_letters {
                counts.add(RowCounts {
                    dead_letters: deleted,
                    ..RowCounts::default()
                });
            }
            pace.rest(begun).await;
            if deleted < ROWS.unsigned_abs() {
                break;
            }
        }
    }
    sqlx::query(include_str!("old_ledger.sql"))
        .execute(conn)
        .await?;
    Ok(session)
}

/// Deletes the sessions without runs among the next ones. Returns where it stopped.
async fn idle_sessions(
    conn: &mut PgConnection,
    keep: Option<&str>,
    after: Uuid,
    counts: &ReapCounts,
) -> Result<Uuid, sqlx::Error> {
    let rows = sqlx::query(include_str!("idle_sessions.sql"))
        .bind(keep)
        .bind(after)
        .bind(ROWS)
        .fetch_all(&mut *conn)
        .await?;
    let Some(last) = rows.last() else {
        return Ok(Uuid::nil());
    };
    let end = last.try_get("id")?;
    let mut due: Vec<Uuid> = Vec::new();
    for row in &rows {
        if row.try_get("due")? {
            due.push(row.try_get("id")?);
        }
    }
    match delete_sessions(conn, &due).await {
        Ok(deleted) => counts.add(deleted),
        // A session is in use again.
        Err(error) if is_in_the_way(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(end)
}

/// Deletes sessions that have no runs, with their messages and approvals.
pub(super) async fn delete_sessions(
    conn: &mut PgConnection,
    sessions: &[Uuid],
) -> Result<RowCounts, sqlx::Error> {
    if sessions.is_empty() {
        return Ok(RowCounts::default());
    }
    let row = sqlx::query(include_str!("delete_sessions.sql"))
        .bind(sessions)
        .fetch_one(conn)
        .await?;
    Ok(RowCounts::read(&row))
}
