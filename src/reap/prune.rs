//! Deletes old runs on demand.

use std::ops::AddAssign;
use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::sleep;
use uuid::Uuid;

use super::counts::RowCounts;
use super::customer::Customer;
use super::delete::{DoomedRun, DuePage, PAGE_RUNS, PageEnd, count_runs, delete_runs};
use super::gone::{RunConditions, delete_gone, gone_runs};
use super::held::{Held, HeldRows};
use super::months::{MonthRetention, drop_months};
use super::pace::ReapPace;
use super::scopes::sweep_all_scopes;
use super::tidy::{IdleSessions, delete_idle_sessions, forget_old_tombstones};
use crate::store::{TraceLayout, TracePlace};

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
    pub customer: Option<Customer>,
}

impl PruneFilter {
    fn means_all_runs(&self) -> bool {
        self.status.is_none() && self.agent.is_none() && self.customer.is_none()
    }

    fn conditions(&self) -> RunConditions<'_> {
        RunConditions {
            status: self.status.as_deref(),
            agent: self.agent.as_deref(),
            customers: self.customer.as_ref().map(Customer::names),
        }
    }
}

/// What was deleted.
#[derive(Clone, Debug, Default)]
pub struct PrunedRows {
    /// The rows that went.
    pub rows: RowCounts,
    /// Runs that should have gone, and that others had locked each time.
    pub busy: u64,
    /// Runs that should have gone, and that tables of the product refer to.
    pub held: Vec<HeldRows>,
    /// Scopes with contents that nothing may need, and that others had locked each time.
    pub unswept: u64,
}

impl AddAssign for PrunedRows {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.busy += other.busy;
        self.held.extend(other.held);
        self.unswept += other.unswept;
    }
}

/// How often to look for runs that were locked.
const PASSES: u32 = 10;
/// How long to wait in between.
const PAUSE: Duration = Duration::from_millis(200);

/// Deletes runs, or only counts what it would delete. Sessions that have no run and have not changed
/// for as long go too, unless only runs of a status or an agent are meant; they are not counted
/// before.
///
/// # Errors
/// If the database fails. What was deleted stays deleted.
pub async fn prune(
    conn: &mut PgConnection,
    filter: &PruneFilter,
    dry_run: bool,
    pace: &ReapPace<'_>,
) -> Result<PrunedRows, sqlx::Error> {
    let mut pruned = PrunedRows::default();
    let layout = TraceLayout::find(conn).await?;
    if !dry_run && filter.means_all_runs() {
        let keep = seconds(filter.older_than);
        let retention = MonthRetention {
            keep: Some(&keep),
            with_rules: false,
        };
        drop_months(conn, layout, retention, pace, |rows| pruned.rows += rows).await?;
    }
    for pass in 0..PASSES {
        if pass > 0 {
            sleep(PAUSE).await;
        }
        let before = pruned.rows.runs;
        let mut found = delete_gone(conn, layout, filter.conditions(), dry_run, pace, |rows| {
            pruned.rows += rows
        })
        .await?;
        found += look_once(conn, layout, filter, dry_run, pace, &mut pruned.rows).await?;
        pruned.busy = found.saturating_sub(pruned.rows.runs - before);
        if dry_run || pruned.busy == 0 {
            break;
        }
    }
    if !dry_run && pruned.busy > 0 {
        find_held(conn, layout, filter, &mut pruned).await?;
    }
    if !dry_run {
        pruned.unswept = sweep_all_scopes(conn, pace, |rows| pruned.rows += rows).await?;
    }
    if !dry_run && filter.status.is_none() && filter.agent.is_none() {
        prune_sessions(conn, layout, filter, pace, &mut pruned.rows).await?;
        forget_old_tombstones(conn, None, pace).await?;
    }
    Ok(pruned)
}

/// Finds out which of the runs that stay nobody has locked.
async fn find_held(
    conn: &mut PgConnection,
    layout: TraceLayout,
    filter: &PruneFilter,
    pruned: &mut PrunedRows,
) -> Result<(), sqlx::Error> {
    let gone = gone_runs(conn, filter.conditions(), Uuid::nil()).await?;
    let mut runs: Vec<DoomedRun> = gone.into_iter().map(DoomedRun::anyway).collect();
    for place in layout.places() {
        let old = old_runs(conn, place, filter, &PageEnd::default()).await?;
        runs.extend(old.due);
    }
    let held = Held::find(conn, layout, &runs, &[]).await?;
    pruned.rows += held.gone;
    pruned.busy = pruned.busy.saturating_sub(held.gone.runs);
    pruned.held = held.into_rows();
    let of_keys: u64 = pruned.held.iter().map(|held| held.rows).sum();
    pruned.busy = pruned.busy.saturating_sub(of_keys);
    Ok(())
}

/// Deletes the sessions that have no run and have not changed for as long.
async fn prune_sessions(
    conn: &mut PgConnection,
    layout: TraceLayout,
    filter: &PruneFilter,
    pace: &ReapPace<'_>,
    counts: &mut RowCounts,
) -> Result<(), sqlx::Error> {
    let keep = seconds(filter.older_than);
    let idle = IdleSessions {
        keep: Some(&keep),
        without_rules: true,
        customers: filter.conditions().customers,
    };
    let mut after = Uuid::nil();
    loop {
        delete_idle_sessions(conn, layout, idle, &mut after, pace, |rows| *counts += rows).await?;
        if after.is_nil() {
            return Ok(());
        }
    }
}

/// A time as Postgres reads it.
fn seconds(time: Duration) -> String {
    format!("{} seconds", time.as_secs())
}

/// Deletes what it finds, from the oldest run of each place on. Returns how many runs it found.
async fn look_once(
    conn: &mut PgConnection,
    layout: TraceLayout,
    filter: &PruneFilter,
    dry_run: bool,
    pace: &ReapPace<'_>,
    counts: &mut RowCounts,
) -> Result<u64, sqlx::Error> {
    let mut found = 0;
    for place in layout.places() {
        let mut after = PageEnd::default();
        loop {
            let page = old_runs(conn, place, filter, &after).await?;
            let Some(end) = page.end else { break };
            found += page.due.len() as u64;
            if dry_run {
                let runs: Vec<Uuid> = page.due.iter().map(|run| run.id).collect();
                *counts += count_runs(conn, &runs).await?;
            } else {
                delete_runs(conn, layout, &page.due, pace, |rows| *counts += rows).await?;
            }
            after = end;
        }
    }
    Ok(found)
}

/// The next runs of a place that meet the conditions.
async fn old_runs(
    conn: &mut PgConnection,
    place: TracePlace,
    filter: &PruneFilter,
    after: &PageEnd,
) -> Result<DuePage, sqlx::Error> {
    let which = filter.conditions();
    let read = place.within(conn, async |conn| {
        sqlx::query(include_str!("old_runs.sql"))
            .bind(seconds(filter.older_than))
            .bind(&after.at)
            .bind(after.id)
            .bind(PAGE_RUNS)
            .bind(which.status)
            .bind(which.agent)
            .bind(which.customers)
            .fetch_all(conn)
            .await
    });
    DuePage::read(&read.await?)
}
