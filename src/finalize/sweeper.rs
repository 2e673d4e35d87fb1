//! The sweeper. Any number of daemons may sweep one database: each skips rows that
//! another daemon has locked.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::large_runs::{LOCKED_LIMIT, PostponedRuns, is_of_runs};
use crate::own_spans::OwnSpans;
use crate::store::{self, Session, TraceLayout, TracePlace};

/// Rows per transaction of a sweep. Few, so that the row locks do not delay writers.
const SWEEP_ROWS: i64 = 500;

/// To find the places with something to do, it looks at so many rows of each kind. Where there are
/// more, the others wait for the next sweep.
const DUE_ROWS: i64 = 1_000;

/// How often it looks whether the months to come have their partitions.
const MONTHS_INTERVAL: Duration = Duration::from_secs(3_600);
/// And when others hold the locks. Whoever comes after it waits too while it waits.
const MONTHS_RETRY: Duration = Duration::from_secs(60);

/// What the sweeper has closed since the daemon started.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct SweepCounts {
    pub runs_abandoned: AtomicU64,
    pub approvals_expired: AtomicU64,
}

/// How a sweeper works.
#[derive(Debug)]
pub struct SweepSettings {
    /// The time between two sweeps.
    pub interval: Duration,
    /// The longest time of a sweep.
    pub time_limit: Duration,
    /// Tells of sweeps.
    pub own_spans: OwnSpans,
}

/// Sweeps periodically until `stop`. It does not log that the database is away: the
/// writers do.
pub async fn sweep_forever(
    session: &Mutex<Session>,
    settings: &SweepSettings,
    counts: &SweepCounts,
    stop: CancellationToken,
) {
    let mut sweeper = Sweeper::default();
    let time_limit = settings.time_limit;
    loop {
        tokio::select! {
            () = sleep(settings.interval) => {}
            () = stop.cancelled() => return,
        }
        let mut session = session.lock().await;
        let span = settings.own_spans.work("sweep");
        let sweep = async {
            let mut open = session.acquire().await?;
            let swept = sweeper.sweep_all(open.conn(), counts, time_limit).await;
            session.release(swept.as_ref().err());
            swept
        };
        let swept = timeout(time_limit, sweep).await;
        span.end(match &swept {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(store::sqlstate(error)),
            Err(_) => Some("timed_out".to_owned()),
        });
        match swept {
            Ok(Ok(())) => {}
            Ok(Err(error)) if !store::is_outage(&error) => {
                // ERROR: until a person helps, abandoned runs stay open.
                tracing::error!(error = %store::reason(&error), "the sweep failed");
            }
            Ok(Err(error)) => {
                tracing::debug!(error = %store::reason(&error), "the sweep is postponed");
            }
            Err(_) => {
                session.give_up().await;
                tracing::debug!("the sweep timed out; postponed");
            }
        }
    }
}

/// Limits the statements of a transaction.
pub(super) async fn limit_statements(
    conn: &mut PgConnection,
    limit: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('statement_timeout', $1, true)")
        .bind(limit.as_millis().to_string())
        .execute(conn)
        .await?;
    Ok(())
}

/// What a sweeper remembers.
#[derive(Debug, Default)]
pub struct Sweeper {
    postponed: PostponedRuns,
    /// The place that was last. The next sweep begins behind it: not each has time for all places.
    last: Option<TracePlace>,
    /// When it looks next whether the months to come have their partitions.
    prepare_at: Option<Instant>,
}

impl Sweeper {
    async fn sweep_all(
        &mut self,
        conn: &mut PgConnection,
        counts: &SweepCounts,
        limit: Duration,
    ) -> Result<(), sqlx::Error> {
        let (started, limit) = (Instant::now(), limit / 4);
        let places = self.due_places(conn).await?;
        // Half of the time is for all places, and half for their last statements, which may be slow.
        for (index, place) in places.iter().enumerate() {
            let left = (2 * limit).saturating_sub(started.elapsed());
            if left.is_zero() {
                break;
            }
            let places_left = places.len() - index;
            let share = left / u32::try_from(2 * places_left).unwrap_or(u32::MAX);
            self.last = Some(*place);
            place
                .within(conn, async |conn| {
                    self.sweep_place(conn, counts, share, limit).await
                })
                .await?;
        }
        self.prepare_months(conn).await
    }

    /// The places where there is something to do, from the one behind the last on.
    async fn due_places(&self, conn: &mut PgConnection) -> Result<Vec<TracePlace>, sqlx::Error> {
        let layout = TraceLayout::find(conn).await?;
        let places = layout.places();
        if places == [TracePlace::Whole] {
            return Ok(places);
        }
        let due: Vec<Option<Uuid>> = sqlx::query_scalar(include_str!("due.sql"))
            .bind(DUE_ROWS)
            .fetch_all(conn)
            .await?;
        let due = due.into_iter().map(Option::unwrap_or_default);
        let due: BTreeSet<TracePlace> = due.map(|id| layout.place_of(id)).collect();
        let (before, behind): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|place| Some(*place) <= self.last);
        Ok([behind, before].concat())
    }

    /// Sweeps where the session is led. Both parts of it take about `share`.
    async fn sweep_place(
        &mut self,
        conn: &mut PgConnection,
        counts: &SweepCounts,
        share: Duration,
        limit: Duration,
    ) -> Result<(), sqlx::Error> {
        let started = Instant::now();
        while sweep_once(conn, counts).await? && started.elapsed() < share {}
        self.postponed.settle_due(conn, counts, share, limit).await
    }

    /// Makes the partitions of this month and the next, in the layout by month.
    async fn prepare_months(&mut self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.prepare_at.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        match store::prepare_months(conn).await {
            // Writers go first. Until then, new runs belong to the latest month that is there.
            Err(error) if store::is_conflict(&error) || store::is_lock_timeout(&error) => {
                self.prepare_at = Some(Instant::now() + MONTHS_RETRY);
                Ok(())
            }
            prepared => {
                self.prepare_at = Some(Instant::now() + MONTHS_INTERVAL);
                prepared
            }
        }
    }
}

/// Sweeps once. Returns whether there may be more to do at once.
///
/// # Errors
/// When the database refuses a statement. Earlier transactions of the sweep stay.
async fn sweep_once(conn: &mut PgConnection, counts: &SweepCounts) -> Result<bool, sqlx::Error> {
    let expired = expire_approvals(conn, counts).await?;
    let dropped = drop_aliases(conn).await?;
    let late = settle_group(conn, SweptRuns::Late, counts).await?;
    let silent = settle_group(conn, SweptRuns::Silent, counts).await?;
    let full = |rows: u64| rows >= SWEEP_ROWS.unsigned_abs();
    Ok([expired, dropped, late, silent].into_iter().any(full))
}

async fn expire_approvals(
    conn: &mut PgConnection,
    counts: &SweepCounts,
) -> Result<u64, sqlx::Error> {
    let expired = sqlx::query(include_str!("expire_approvals.sql"))
        .bind(SWEEP_ROWS)
        .execute(conn)
        .await?
        .rows_affected();
    counts.approvals_expired.fetch_add(expired, Relaxed);
    Ok(expired)
}

/// Drops aliases whose run never arrived.
async fn drop_aliases(conn: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let dropped = sqlx::query(include_str!("drop_aliases.sql"))
        .bind(SWEEP_ROWS)
        .execute(conn)
        .await?;
    Ok(dropped.rows_affected())
}

/// Which runs a group is of.
#[derive(Clone, Copy, Debug)]
enum SweptRuns {
    /// Some of their aliases arrived before them.
    Late,
    /// They were silent for too long.
    Silent,
}

/// Settles a group of runs in one transaction, and leaves the large ones for later. If the
/// transaction fails because of a run, all of them are left for later. Returns their number.
async fn settle_group(
    conn: &mut PgConnection,
    which: SweptRuns,
    counts: &SweepCounts,
) -> Result<u64, sqlx::Error> {
    let mut runs = Vec::new();
    let settled = match which {
        SweptRuns::Late => settle_late(conn, &mut runs).await,
        SweptRuns::Silent => settle_silent(conn, &mut runs, counts).await,
    };
    match settled {
        Err(error) if is_of_runs(&error) => {
            for run in &runs {
                store::postpone(conn, &[*run]).await?;
            }
        }
        settled => settled?,
    }
    Ok(runs.len() as u64)
}

/// Settles runs whose aliases arrived before them. Adds them to `runs`.
async fn settle_late(conn: &mut PgConnection, runs: &mut Vec<Uuid>) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin().await?;
    limit_statements(&mut tx, LOCKED_LIMIT).await?;
    *runs = sqlx::query_scalar(include_str!("late_runs.sql"))
        .bind(SWEEP_ROWS)
        .fetch_all(&mut *tx)
        .await?;
    if runs.is_empty() {
        return Ok(());
    }
    let few = postpone_large(&mut tx, runs).await?;
    store::settle_bridged_runs(&mut tx, &few).await?;
    sqlx::query(include_str!("seen_aliases.sql"))
        .bind(&few)
        .bind(None::<i64>)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// Ends silent runs. Adds them to `runs`.
async fn settle_silent(
    conn: &mut PgConnection,
    runs: &mut Vec<Uuid>,
    counts: &SweepCounts,
) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin().await?;
    limit_statements(&mut tx, LOCKED_LIMIT).await?;
    let silent: Vec<(Uuid, bool)> = sqlx::query_as(include_str!("silent_runs.sql"))
        .bind(SWEEP_ROWS)
        .fetch_all(&mut *tx)
        .await?;
    runs.extend(silent.iter().map(|(run, _)| *run));
    let few = postpone_large(&mut tx, runs).await?;
    let rooted = silent
        .iter()
        .filter(|(run, rooted)| *rooted && few.contains(run));
    let rooted: Vec<Uuid> = rooted.map(|(run, _)| *run).collect();
    store::settle_bridged_runs(&mut tx, &rooted).await?;
    let closed: Vec<Uuid> = sqlx::query_scalar(include_str!("abandon_runs.sql"))
        .bind(&few)
        .fetch_all(&mut *tx)
        .await?;
    if !closed.is_empty() {
        store::settle_closed_runs(&mut tx, &closed).await?;
    }
    tx.commit().await?;
    counts
        .runs_abandoned
        .fetch_add(closed.len() as u64, Relaxed);
    Ok(())
}

/// Leaves the large ones of some locked runs for later. Returns the others.
async fn postpone_large(conn: &mut PgConnection, runs: &[Uuid]) -> Result<Vec<Uuid>, sqlx::Error> {
    let few = store::few_rows(conn, runs).await?;
    let (few, large): (Vec<Uuid>, Vec<Uuid>) = runs.iter().partition(|run| few.contains(run));
    store::postpone(conn, &large).await?;
    Ok(few)
}
