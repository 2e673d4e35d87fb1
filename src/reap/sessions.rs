//! Deletes given sessions, with what belongs to no run in them.

use std::time::Instant;

use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::counts::RowCounts;
use super::delete::{SLICE_ROWS, is_in_the_way, limit_waits};
use super::held::ForeignKey;
use super::is_canceled;
use super::pace::ReapPace;
use crate::store::{self, TraceLayout, TracePlace};

/// Sessions of one transaction.
const SESSIONS: usize = 50;

/// A session to delete.
#[derive(Clone, Debug)]
pub(super) struct DoomedSession {
    pub id: Uuid,
    /// It stays if it has changed since, or if anything in it belongs to a run or waits for
    /// somebody. `None`: all of it goes, but its runs.
    pub unchanged_since: Option<String>,
}

/// Which sessions may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionScope {
    /// Those in which nothing is left.
    Empty,
    /// Also those with messages and approvals.
    All,
}

/// Deletes sessions, and calls `done` after each transaction with what went. Sessions that somebody
/// works on, and those that still have a run, stay.
///
/// # Errors
/// If the database fails. What was deleted stays deleted.
pub(super) async fn delete_sessions(
    conn: &mut PgConnection,
    layout: TraceLayout,
    sessions: &[DoomedSession],
    scope: SessionScope,
    pace: &ReapPace<'_>,
    mut done: impl FnMut(RowCounts),
) -> Result<(), sqlx::Error> {
    for chunk in sessions.chunks(SESSIONS) {
        let mut rows = SLICE_ROWS;
        loop {
            let begun = Instant::now();
            let deleted = match delete_some(conn, layout, chunk, scope, rows).await {
                Ok(deleted) => deleted,
                Err(error) if is_canceled(&error) && rows > 1 => {
                    rows /= 2;
                    continue;
                }
                // Somebody else came first, or a row refers to a session that was not to be seen.
                // The next round finds the sessions again.
                Err(error) if is_in_the_way(&error) || store::sqlstate(&error) == "23503" => break,
                Err(error) => return Err(error),
            };
            done(deleted);
            pace.rest(begun).await;
            if deleted.messages.max(deleted.approvals) < rows.unsigned_abs() {
                break;
            }
        }
    }
    Ok(())
}

/// Tries to delete one session with all that is in it. Returns what went, and the foreign key that
/// does not let it go.
///
/// # Errors
/// If the database fails.
pub(super) async fn try_session(
    conn: &mut PgConnection,
    layout: TraceLayout,
    session: &DoomedSession,
) -> Result<(RowCounts, Option<ForeignKey>), sqlx::Error> {
    let alone = std::slice::from_ref(session);
    match delete_some(conn, layout, alone, SessionScope::All, SLICE_ROWS).await {
        Ok(deleted) => Ok((deleted, None)),
        Err(error) => match ForeignKey::of(&error) {
            None if !is_in_the_way(&error) && !is_canceled(&error) => Err(error),
            key => Ok((RowCounts::default(), key)),
        },
    }
}

/// Locks sessions, looks at them again, and deletes a bounded number of rows in them, and those
/// that are empty then. Nothing can come into a locked session.
async fn delete_some(
    conn: &mut PgConnection,
    layout: TraceLayout,
    sessions: &[DoomedSession],
    scope: SessionScope,
    rows: i64,
) -> Result<RowCounts, sqlx::Error> {
    let mut tx = conn.begin().await?;
    limit_waits(&mut tx).await?;
    let locked: Vec<Uuid> = sqlx::query_scalar(include_str!("lock_sessions.sql"))
        .bind(sessions.iter().map(|s| s.id).collect::<Vec<_>>())
        .fetch_all(&mut *tx)
        .await?;
    let locked: Vec<&DoomedSession> = sessions
        .iter()
        .filter(|session| locked.contains(&session.id))
        .collect();
    let since = locked.iter().map(|s| s.unchanged_since.as_deref());
    let idle: Vec<Uuid> = sqlx::query_scalar(include_str!("still_idle.sql"))
        .bind(locked.iter().map(|s| s.id).collect::<Vec<_>>())
        .bind(since.collect::<Vec<_>>())
        .bind(scope == SessionScope::Empty)
        .fetch_all(&mut *tx)
        .await?;
    let mut deleted = RowCounts::default();
    if !idle.is_empty() {
        // Nothing is left in the others.
        if scope == SessionScope::All {
            let is_erased = sessions.iter().all(|s| s.unchanged_since.is_none());
            deleted = delete_inside(&mut tx, layout, &idle, is_erased, rows).await?;
        }
        deleted.sessions = sqlx::query(include_str!("delete_sessions.sql"))
            .bind(&idle)
            .execute(&mut *tx)
            .await?
            .rows_affected();
    }
    tx.commit().await?;
    Ok(deleted)
}

/// Deletes messages and approvals of locked sessions in a transaction, and leaves it led to any
/// place. If so many rows of a table went, there may be more.
async fn delete_inside(
    conn: &mut PgConnection,
    layout: TraceLayout,
    sessions: &[Uuid],
    is_erased: bool,
    rows: i64,
) -> Result<RowCounts, sqlx::Error> {
    let mut deleted = RowCounts::default();
    for place in layout.places() {
        if place != TracePlace::Whole {
            place.enter_in_transaction(conn).await?;
        }
        let row = sqlx::query(include_str!("delete_in_sessions.sql"))
            .bind(sessions)
            .bind(is_erased)
            .bind(rows)
            .fetch_one(&mut *conn)
            .await?;
        deleted += RowCounts::read(&row);
        if deleted.most() >= rows.unsigned_abs() {
            break;
        }
    }
    Ok(deleted)
}
