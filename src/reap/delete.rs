//! Deletes given runs, a bounded number of rows in each transaction.

use std::collections::HashSet;
use std::time::Instant;

use sqlx::{Connection as _, PgConnection, Row as _};
use uuid::Uuid;

use super::counts::RowCounts;
use super::pace::ReapPace;
use crate::store::{self, RunSizes};

/// Runs that are looked at in one transaction.
const RUNS: usize = 200;
/// Of a large run, a transaction deletes so many rows of each table.
const SLICE_ROWS: i64 = 2_000;
/// How long to wait for a lock. Whoever holds it goes first.
const LOCK_TIMEOUT: &str = "200ms";

/// Deletes runs, and calls `done` after each transaction with what went. With `unchanged_since`,
/// it spares runs that have changed since, go on, or wait for somebody. Runs that somebody works
/// on at this moment stay.
///
/// # Errors
/// If the database fails. What was deleted stays deleted.
pub(super) async fn delete_runs(
    conn: &mut PgConnection,
    runs: &[Uuid],
    unchanged_since: Option<&str>,
    pace: &ReapPace<'_>,
    mut done: impl FnMut(RowCounts),
) -> Result<(), sqlx::Error> {
    for chunk in runs.chunks(RUNS) {
        let mut left = chunk.to_vec();
        while !left.is_empty() {
            let begun = Instant::now();
            match delete_some(conn, &left, unchanged_since).await {
                Ok((deleted, rest)) => {
                    left = rest;
                    done(deleted);
                }
                // Somebody else came first. The next round finds the runs again.
                Err(error) if is_in_the_way(&error) => {
                    tracing::debug!(error = %store::reason(&error), "runs are not deleted yet");
                    left.clear();
                }
                Err(error) => return Err(error),
            }
            pace.rest(begun).await;
        }
    }
    Ok(())
}

/// Deletes small runs whole, or else a part of the first large one. Returns what went and which
/// runs are left.
async fn delete_some(
    conn: &mut PgConnection,
    runs: &[Uuid],
    unchanged_since: Option<&str>,
) -> Result<(RowCounts, Vec<Uuid>), sqlx::Error> {
    let mut tx = conn.begin().await?;
    sqlx::query("SELECT set_config('lock_timeout', $1, true)")
        .bind(LOCK_TIMEOUT)
        .execute(&mut *tx)
        .await?;
    let mut left: Vec<Uuid> = sqlx::query_scalar(include_str!("lock_doomed.sql"))
        .bind(runs)
        .bind(unchanged_since)
        .fetch_all(&mut *tx)
        .await?;
    let sizes = RunSizes::count(&mut tx, &left).await?;
    let few: Vec<Uuid> = sizes.few.into_iter().collect();
    let first_large = left.iter().find(|run| sizes.large.contains(run)).copied();
    let (mut deleted, gone) = match (few.is_empty(), first_large) {
        (false, _) => (delete_rows(&mut tx, &few, None).await?, few),
        (true, Some(run)) => {
            let deleted = delete_slice(&mut tx, run).await?;
            let is_empty = deleted.most() < SLICE_ROWS.unsigned_abs();
            (deleted, is_empty.then_some(run).into_iter().collect())
        }
        (true, None) => (RowCounts::default(), Vec::new()),
    };
    let sessions: Vec<Option<Uuid>> =
        sqlx::query_scalar("DELETE FROM agent_runs WHERE id = ANY ($1) RETURNING session_id")
            .bind(&gone)
            .fetch_all(&mut *tx)
            .await?;
    tx.commit().await?;
    deleted.runs += sessions.len() as u64;
    deleted.sessions += delete_empty_sessions(conn, sessions).await?;
    let gone: HashSet<Uuid> = gone.into_iter().collect();
    left.retain(|run| !gone.contains(run));
    Ok((deleted, left))
}

/// Deletes a part of a large run. From now on, it is gone for everybody who writes.
async fn delete_slice(conn: &mut PgConnection, run: Uuid) -> Result<RowCounts, sqlx::Error> {
    sqlx::query("UPDATE agent_runs SET gone_at = now() WHERE id = $1 AND gone_at IS NULL")
        .bind(run)
        .execute(&mut *conn)
        .await?;
    delete_rows(conn, &[run], Some(SLICE_ROWS)).await
}

async fn delete_rows(
    conn: &mut PgConnection,
    runs: &[Uuid],
    most: Option<i64>,
) -> Result<RowCounts, sqlx::Error> {
    let row = sqlx::query(include_str!("delete_runs.sql"))
        .bind(runs)
        .bind(most)
        .fetch_one(conn)
        .await?;
    Ok(RowCounts::read(&row))
}

/// Deletes the sessions of deleted runs that have nothing left in them. That is a transaction of
/// its own: if a new run of the session comes at the same moment, only this is in vain.
async fn delete_empty_sessions(
    conn: &mut PgConnection,
    sessions: Vec<Option<Uuid>>,
) -> Result<u64, sqlx::Error> {
    let mut sessions: Vec<Uuid> = sessions.into_iter().flatten().collect();
    sessions.sort_unstable();
    sessions.dedup();
    if sessions.is_empty() {
        return Ok(0);
    }
    let deleted = sqlx::query(include_str!("delete_empty_sessions.sql"))
        .bind(sessions)
        .execute(conn)
        .await;
    match deleted {
        Ok(deleted) => Ok(deleted.rows_affected()),
        Err(error) if is_in_the_way(&error) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Whether somebody else worked on the same rows.
pub(super) fn is_in_the_way(error: &sqlx::Error) -> bool {
    // A new row refers to what was to be deleted.
    let is_referred_to = store::sqlstate(error) == "23503";
    is_referred_to || store::is_conflict(error) || store::is_lock_timeout(error)
}

/// Counts the rows of runs.
pub(super) async fn count_runs(
    conn: &mut PgConnection,
    runs: &[Uuid],
) -> Result<RowCounts, sqlx::Error> {
    let mut counts = RowCounts::default();
    for chunk in runs.chunks(RUNS) {
        let row = sqlx::query(include_str!("count_runs.sql"))
            .bind(chunk)
            .fetch_one(&mut *conn)
            .await?;
        counts += RowCounts::read(&row);
    }
    Ok(counts)
}

/// A page of runs that a statement looked at.
pub(super) struct DuePage {
    /// The runs to delete.
    pub due: Vec<Uuid>,
    /// Where the look ended; `None` if there is nothing behind it.
    pub end: Option<PageEnd>,
}

/// A place in the order of when runs last changed.
#[derive(Clone, Debug)]
pub(super) struct PageEnd {
    /// When the last run of the page last changed.
    pub at: String,
    /// That run.
    pub id: Uuid,
}

impl Default for PageEnd {
    /// Before all runs.
    fn default() -> Self {
        Self {
            at: "-infinity".to_owned(),
            id: Uuid::nil(),
        }
    }
}

/// Runs that one statement looks at.
pub(super) const PAGE_RUNS: i64 = 2_000;

impl DuePage {
    /// Reads the rows of `due_runs.sql` or `old_runs.sql`.
    pub fn read(rows: &[sqlx::postgres::PgRow]) -> Result<Self, sqlx::Error> {
        let mut page = Self {
            due: Vec::new(),
            end: None,
        };
        for row in rows {
            if row.try_get("due")? {
                page.due.push(row.try_get("id")?);
            }
        }
        if let Some(last) = rows.last() {
            page.end = Some(PageEnd {
                at: last.try_get("at")?,
                id: last.try_get("id")?,
            });
        }
        Ok(page)
    }
}
