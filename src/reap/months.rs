//! Drops whole months, in the layout by month: where all runs of a month are to be deleted, the
//! partitions go at once, and then the rows of the runs one after another.

use std::time::Instant;

use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::counts::RowCounts;
use super::delete::{
    DoomedRun, PAGE_RUNS, SLICE_ROWS, count_runs, is_in_the_way, limit_waits, lock_doomed,
};
use super::pace::ReapPace;
use crate::store::{TraceLayout, reason};

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
    layout: TraceLayout,
    retention: MonthRetention<'_>,
    pace: &ReapPace<'_>,
    mut done: impl FnMut(RowCounts),
) -> Result<(), sqlx::Error> {
    if layout != TraceLayout::ByMonth {
        return Ok(());
    }
    let months: Vec<i32> =
        sqlx::query_scalar("SELECT bucket FROM public.agent_months WHERE bucket > 0 ORDER BY 1")
            .fetch_all(&mut *conn)
            .await?;
    for month in months {
        // Also tells whether the role may delete at all.
        if !is_all_due(conn, month, retention, pace).await? {
            continue;
        }
        match drop_due(conn, month, retention, pace).await {
            Ok(rows) => done(rows.unwrap_or_default()),
            Err(error) if is_in_the_way(&error) => {}
            // Its runs go one by one, and the other months are not held up.
            Err(error @ sqlx::Error::Database(_)) => tracing::warn!(
                month,
                error = %reason(&error),
                "a month cannot be dropped; its runs are deleted one by one"
            ),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Drops a month of which all runs are due, and returns the rows that went. If a run is kept after
/// all, what is marked by then goes run by run.
async fn drop_due(
    conn: &mut PgConnection,
    month: i32,
    retention: MonthRetention<'_>,
    pace: &ReapPace<'_>,
) -> Result<Option<RowCounts>, sqlx::Error> {
    if !is_over(conn, month).await? {
        return Ok(None);
    }
    mark_runs(conn, month, retention, pace).await?;
    keep_messages(conn, month, pace).await?;
    let rows = count_rows(conn, month, pace).await?;
    let begun = Instant::now();
    let dropped: bool = sqlx::query_scalar("SELECT public.drop_month($1)")
        .bind(month)
        .fetch_one(&mut *conn)
        .await?;
    pace.rest(begun).await;
    Ok(dropped.then_some(rows))
}

/// Whether no new run can be of a month, and no table of the product holds a run of it.
async fn is_over(conn: &mut PgConnection, month: i32) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM public.agent_months WHERE bucket > $1 AND starts_at <= now())
            AND NOT public.is_month_held($1)",
    )
    .bind(month)
    .fetch_one(conn)
    .await
}

/// Moves messages without a run out of a month.
async fn keep_messages(
    conn: &mut PgConnection,
    month: i32,
    pace: &ReapPace<'_>,
) -> Result<(), sqlx::Error> {
    loop {
        let begun = Instant::now();
        let moved: i64 = sqlx::query_scalar(include_str!("keep_messages.sql"))
            .bind(month)
            .bind(SLICE_ROWS)
            .fetch_one(&mut *conn)
            .await?;
        if moved == 0 {
            return Ok(());
        }
        pace.rest(begun).await;
    }
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

/// How many rows go with the partitions, also of runs that were marked before.
async fn count_rows(
    conn: &mut PgConnection,
    month: i32,
    pace: &ReapPace<'_>,
) -> Result<RowCounts, sqlx::Error> {
    let (mut after, mut rows) = (Uuid::nil(), RowCounts::default());
    loop {
        let begun = Instant::now();
        let runs: Vec<Uuid> = sqlx::query_scalar(
            "SELECT id FROM agent_runs WHERE bucket = $1 AND id > $2 ORDER BY id LIMIT $3",
        )
        .bind(month)
        .bind(after)
        .bind(PAGE_RUNS)
        .fetch_all(&mut *conn)
        .await?;
        let Some(last) = runs.last() else {
            return Ok(rows);
        };
        after = *last;
        let counted = count_runs(conn, &runs).await?;
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

/// Marks the runs of a month as gone, except those that somebody works on or waits for.
async fn mark_runs(
    conn: &mut PgConnection,
    month: i32,
    retention: MonthRetention<'_>,
    pace: &ReapPace<'_>,
) -> Result<(), sqlx::Error> {
    let mut after = Uuid::nil();
    loop {
        let page = month_page(conn, month, after, retention).await?;
        let Some((last, _)) = page.last() else {
            return Ok(());
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
            mark(conn, runs).await?;
            pace.rest(begun).await;
        }
    }
}

/// Marks runs.
async fn mark(conn: &mut PgConnection, runs: &[DoomedRun]) -> Result<(), sqlx::Error> {
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
    tx.commit().await
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
