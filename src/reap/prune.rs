//! Deletes old runs on demand.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use super::counts::RowCounts;
use super::delete::{DuePage, PAGE_RUNS, PageEnd, count_runs, delete_runs};
use super::pace::ReapPace;

/// Which runs to delete: those that have ended and meet all conditions.
#[derive(Clone, Debug)]
pub struct PruneFilter {
    /// They have not changed for so long.
    pub older_than: Duration,
    /// `completed` or `failed`.
    pub status: Option<String>,
    /// The agent.
    pub agent: Option<String>,
    /// The customer that they belong to.
    pub customer: Option<Uuid>,
}

/// Deletes runs, or only counts what it would delete. Sessions that become empty go with the
/// runs; they are not counted before.
///
/// # Errors
/// If the database fails. What was deleted stays deleted.
pub async fn prune(
    conn: &mut PgConnection,
    filter: &PruneFilter,
    dry_run: bool,
    pace: &ReapPace<'_>,
) -> Result<RowCounts, sqlx::Error> {
    let mut counts = RowCounts::default();
    let mut place = PageEnd::default();
    loop {
        let rows = sqlx::query(include_str!("old_runs.sql"))
            .bind(format!("{} seconds", filter.older_than.as_secs()))
            .bind(&place.at)
            .bind(place.id)
            .bind(PAGE_RUNS)
            .bind(&filter.status)
            .bind(&filter.agent)
            .bind(filter.customer)
            .fetch_all(&mut *conn)
            .await?;
        let page = DuePage::read(&rows)?;
        let Some(end) = page.end else {
            return Ok(counts);
        };
        match dry_run {
            true => counts += count_runs(conn, &page.due).await?,
            false => {
                let count = |rows| counts += rows;
                delete_runs(conn, &page.due, Some(&end.at), pace, count).await?;
            }
        }
        place = end;
    }
}
