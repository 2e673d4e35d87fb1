//! Deletes what belongs to no run and is kept no longer: sessions, dead letters, tombstones, and
//! rows of the ledger.

use std::time::Instant;

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::counts::{ReapCounts, RowCounts};
use super::pace::ReapPace;
use super::sessions::{DoomedSession, SessionScope, delete_sessions};

/// Rows of one statement.
const ROWS: i64 = 1_000;

/// Tidies up. `session` is where the last look at sessions ended.
///
/// # Errors
/// If the database fails. What was deleted stays deleted.
pub(super) async fn tidy(
    conn: &mut PgConnection,
    keep: Option<&str>,
    session: &mut Uuid,
    counts: &ReapCounts,
    pace: &ReapPace<'_>,
) -> Result<(), sqlx::Error> {
    idle_sessions(conn, keep, session, counts, pace).await?;
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
    Ok(())
}

/// Deletes the sessions without runs among the next ones.
async fn idle_sessions(
    conn: &mut PgConnection,
    keep: Option<&str>,
    after: &mut Uuid,
    counts: &ReapCounts,
    pace: &ReapPace<'_>,
) -> Result<(), sqlx::Error> {
    let begun = Instant::now();
    let rows = sqlx::query(include_str!("idle_sessions.sql"))
        .bind(keep)
        .bind(*after)
        .bind(ROWS)
        .fetch_all(&mut *conn)
        .await?;
    pace.rest(begun).await;
    // If these cannot be deleted, the next round looks at others.
    *after = match rows.last() {
        Some(last) => last.try_get("id")?,
        None => Uuid::nil(),
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
    let count = |rows| counts.add(rows);
    delete_sessions(conn, &due, SessionScope::All, pace, count).await
}
