//! Drops whole months, in the layout by month: where all runs of a month are to be deleted, the
//! partitions go at once, and then the rows of the runs one after another.

use std::time::Instant;

use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::counts::RowCounts;
use super::delete::{DoomedRun, PAGE_RUNS, count_runs, is_in_the_way, limit_waits, lock_doomed};
use super::pace::ReapPace;
use crate::store::TraceLayout;

/// Runs that one transaction marks.
const MARKED_RUNS: usize = 500;

/// Which runs are to be deleted, for whole months.
#[derive(Clone, Copy, Debug)]
pub(super) struct MonthRetention<'a> {
    /// How long runs are kept that no rule is about; `None`: for ever.
    pub keep: Option<&'a str>,
    /// Whether `retention_rules` count.
    pub with_rules: bool,
}

/// Drops the months of which nothing is to be kept, and calls `done` after each with the rows that
/// went. The rows of their runs stay, marked as gone.
///
/// # Errors
/// If the database fails. What was dropped stays dropped.
pub(super) async fn drop_months(
    conn: &mut PgConnection,
    retention: MonthRetention<'_>,
    pace: &ReapPace<'_>,
    mut done: impl FnMut(RowCounts),
) -> Result<(), sqlx::Error> {
    if TraceLayout::find(conn).await? == TraceLayout::Plain {
        return Ok(());
    }
    let months: Vec<i32> =
        sqlx::query_scalar("SELECT bucket FROM public.agent_months WHERE bucket > 0 ORDER BY 1")
            .fetch_all(&mut *conn)
            .await?;
    for month in months {
        if !is_all_due(conn, month, retention, pace).await? {
            continue;
        }
        let rows = mark_runs(conn, month, retention, pace).await?;
        let begun = Instant::now();
        let dropped = sqlx::query_scalar("SELECT public.drop_month($1)")
            .bind(month)
            .fetch_one(&mut *conn)
            .await;
        pace.rest(begun).await;
        match dropped {
            Ok(true) => done(rows),
            // A run of it is kept after all, or the month is not over. What is marked goes run
            // by run.
            Ok(false) => {}
            Err(error) if is_in_the_way(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether all runs of a month are to be deleted.
async fn is_all_due(
    conn: &mut PgConnection,
    month: i32,
    retention: MonthRetention<'_>,
    pace: &ReapPace<'_>,
) -> Result<bool, sqlx::Error> {
    let mut after = Uuid::nil();
    loop {
        let begun = Instant::now();
        let page = month_page(conn, month, after, retention).await?;
        if page.iter().any(|(_, since)| since.is_none()) {
            return Ok(false);
        }
        let Some((last, _)) = page.last() else {
            return Ok(true);
        };
        after = *last;
        pace.rest(begun).await;
    }
}

/// Marks the runs of a month as gone, except those that somebody works on or waits for. Returns
/// how many rows go with the partitions.
async fn mark_runs(
    conn: &mut PgConnection,
    month: i32,
    retention: MonthRetention<'_>,
    pace: &ReapPace<'_>,
) -> Result<RowCounts, sqlx::Error> {
    let (mut after, mut rows) = (Uuid::nil(), RowCounts::default());
    loop {
        let page = month_page(conn, month, after, retention).await?;
        let Some((last, _)) = page.last() else {
            return Ok(rows);
        };
        after = *last;
        let due = page.into_iter().filter(|(_, since)| since.is_some());
        let due: Vec<DoomedRun> = due
            .map(|(id, unchanged_since)| DoomedRun {
                id,
                unchanged_since,
            })
            .collect();
        for runs in due.chunks(MARKED_RUNS) {
            let begun = Instant::now();
            let counted = mark(conn, runs).await?;
            rows += RowCounts {
                steps: counted.steps,
                contents: counted.contents,
                messages: counted.messages,
                token_counts: counted.token_counts,
                ..RowCounts::default()
            };
            pace.rest(begun).await;
        }
    }
}

/// Marks runs, and counts the rows below them.
async fn mark(conn: &mut PgConnection, runs: &[DoomedRun]) -> Result<RowCounts, sqlx::Error> {
    let mut tx = conn.begin().await?;
    limit_waits(&mut tx).await?;
    let locked = lock_doomed(&mut tx, runs).await?;
    // The second look sees what was committed before it had the locks.
    let marked = lock_doomed(&mut tx, &locked).await?;
    let ids: Vec<Uuid> = marked.iter().map(|run| run.id).collect();
    sqlx::query("UPDATE agent_runs SET gone_at = now() WHERE id = ANY ($1)")
        .bind(&ids)
        .execute(&mut *tx)
        .await?;
    let rows = count_runs(&mut tx, &ids).await?;
    tx.commit().await?;
    Ok(rows)
}

/// The next runs of a month, with the time since which each must not have changed; `None`: it is
/// kept.
async fn month_page(
    conn: &mut PgConnection,
    month: i32,
    after: Uuid,
    retention: MonthRetention<'_>,
) -> Result<Vec<(Uuid, Option<String>)>, sqlx::Error> {
    sqlx::query_as(include_str!("month_runs.sql"))
        .bind(month)
        .bind(after)
        .bind(PAGE_RUNS)
        .bind(retention.keep)
        .bind(retention.with_rules)
        .fetch_all(conn)
        .await
}
