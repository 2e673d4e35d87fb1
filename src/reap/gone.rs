//! Runs whose deletion has begun, and those that belong to what was erased.

use sqlx::PgConnection;
use uuid::Uuid;

use super::counts::RowCounts;
use super::delete::{DoomedRun, PAGE_RUNS, count_runs, delete_runs};
use super::pace::ReapPace;
use crate::store::TraceLayout;

/// Which runs are meant. `None`: any.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RunConditions<'a> {
    pub status: Option<&'a str>,
    pub agent: Option<&'a str>,
    /// All that runs of the customer may have in its place.
    pub customers: Option<&'a [String]>,
}

/// Deletes these runs, or only counts their rows. Returns how many there were.
///
/// # Errors
/// If the database fails. What was deleted stays deleted.
pub(super) async fn delete_gone(
    conn: &mut PgConnection,
    layout: TraceLayout,
    which: RunConditions<'_>,
    dry_run: bool,
    pace: &ReapPace<'_>,
    mut done: impl FnMut(RowCounts),
) -> Result<u64, sqlx::Error> {
    let (mut after, mut found) = (Uuid::nil(), 0);
    loop {
        let runs = gone_runs(conn, which, after).await?;
        let Some(last) = runs.last() else {
            return Ok(found);
        };
        after = *last;
        found += runs.len() as u64;
        if dry_run {
            done(count_runs(conn, &runs).await?);
            continue;
        }
        let runs: Vec<DoomedRun> = runs.into_iter().map(DoomedRun::anyway).collect();
        delete_runs(conn, layout, &runs, pace, &mut done).await?;
    }
}

/// The next of these runs.
pub(super) async fn gone_runs(
    conn: &mut PgConnection,
    which: RunConditions<'_>,
    after: Uuid,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar(include_str!("gone_runs.sql"))
        .bind(after)
        .bind(PAGE_RUNS)
        .bind(which.status)
        .bind(which.agent)
        .bind(which.customers)
        .fetch_all(conn)
        .await
}
