//! Deletes what belongs to no run and is kept no longer: sessions, dead letters, tombstones, and
//! rows of the ledger.

use std::time::Instant;

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::counts::{ReapCounts, RowCounts};
use super::pace::ReapPace;
use super::sessions::{DoomedSession, SessionScope, delete_sessions};
use crate::store::TraceLayout;

/// Rows of one statement.
const ROWS: i64 = 1_000;

/// Pages of sessions that a round looks at. The next round goes on.
const PAGES: usize = 50;

/// Which sessions without runs go.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdleSessions<'a> {
    /// How long they are kept; `None`: for ever.
    pub keep: Option<&'a str>,
    /// Rules do not matter.
    pub without_rules: bool,
    /// Only those of this customer: all that they may have in its place.
    pub customers: Option<&'a [String]>,
}

/// Tidies up. `session` is where the last look at sessions ended.
///
/// # Errors
/// If the database fails. What was deleted stays deleted.
pub(super) async fn tidy(
    conn: &mut PgConnection,
    layout: TraceLayout,
    keep: Option<&str>,
    session: &mut Uuid,
    counts: &ReapCounts,
    pace: &ReapPace<'_>,
) -> Result<(), sqlx::Error> {
    let idle = IdleSessions {
        keep,
        without_rules: false,
        customers: None,
    };
    for _ in 0..PAGES {
        delete_idle_sessions(conn, layout, idle, session, pace, |rows| counts.add(rows)).await?;
        if session.is_nil() {
            break;
        }
    }
    let letters = include_str!("old_dead_letters.sql");
    delete_in_portions(conn, letters, keep, pace, |dead_letters| {
        counts.add(RowCounts {
            dead_letters,
            ..RowCounts::default()
        });
    })
    .await?;
    forget_old_tombstones(conn, keep, pace).await?;
    sqlx::query(include_str!("old_ledger.sql"))
        .execute(conn)
        .await?;
    Ok(())
}

/// Forgets which runs were deleted long ago.
///
/// # Errors
/// If the database fails.
pub(super) async fn forget_old_tombstones(
    conn: &mut PgConnection,
    keep: Option<&str>,
    pace: &ReapPace<'_>,
) -> Result<(), sqlx::Error> {
    delete_in_portions(conn, include_str!("old_tombstones.sql"), keep, pace, |_| ()).await
}

async fn delete_in_portions(
    conn: &mut PgConnection,
    statement: &'static str,
    keep: Option<&str>,
    pace: &ReapPace<'_>,
    mut done: impl FnMut(u64),
) -> Result<(), sqlx::Error> {
    loop {
        let begun = Instant::now();
        let deleted = sqlx::query(statement)
            .bind(keep)
            .bind(ROWS)
            .execute(&mut *conn)
            .await?
            .rows_affected();
        done(deleted);
        pace.rest(begun).await;
        if deleted < ROWS.unsigned_abs() {
            return Ok(());
        }
    }
}

/// Deletes the sessions without runs among the next ones. `after`: where the last look ended, and
/// then where this one did; nil if it was the last.
///
/// # Errors
/// If the database fails. What was deleted stays deleted.
pub(super) async fn delete_idle_sessions(
    conn: &mut PgConnection,
    layout: TraceLayout,
    which: IdleSessions<'_>,
    after: &mut Uuid,
    pace: &ReapPace<'_>,
    count: impl FnMut(RowCounts),
) -> Result<(), sqlx::Error> {
    let begun = Instant::now();
    let rows = sqlx::query(include_str!("idle_sessions.sql"))
        .bind(which.keep)
        .bind(*after)
        .bind(ROWS)
        .bind(which.without_rules)
        .bind(which.customers)
        .fetch_all(&mut *conn)
        .await?;
    pace.rest(begun).await;
    // If these cannot be deleted, the next round looks at others. A page that is not full was the
    // last: sessions that arrive meanwhile are no reason to go on.
    *after = match rows.last() {
        Some(last) if rows.len() == ROWS as usize => last.try_get("id")?,
        _ => Uuid::nil(),
    };
    let mut due = Vec::new();
    for row in &rows {
        if row.try_get("due")? {
            due.push(DoomedSession {
                id: row.try_get("id")?,
                unchanged_since: row.try_get("since")?,
            });
        }
    }
    delete_sessions(conn, layout, &due, SessionScope::All, pace, count).await
}
