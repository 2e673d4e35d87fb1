//! Settles the runs that writers left to the sweeper, one after the other and bit by bit.
//!
//! Each transaction locks the run for a moment only: whoever sends a late event of the run waits
//! for it. A run that takes too long is tried again later, and delays no other run.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection, PgTransaction};
use uuid::Uuid;

use super::sweeper::{SweepCounts, limit_statements};
use crate::store::{self, RunSizes, postponed};

/// The most runs that are looked at together.
const RUNS: i64 = 200;
/// The most aliases whose mark is cleared at once. Those that remain are found again.
const SEEN_ALIASES: i64 = 5_000;
/// How long a statement may take while it holds the lock of a run. A writer that waits longer
/// than `--spool-after` takes the database for too slow.
pub(super) const LOCKED_LIMIT: Duration = Duration::from_millis(1_500);
/// The most runs that are remembered.
const MOST_REMEMBERED: usize = 10_000;
/// A failure is logged when it is no passing one.
const LOGGED_FAILURE: u32 = 3;
/// A run that fails waits a second, then twice as long each time, but no longer than ten minutes.
const LONGEST_WAIT: u32 = 600;

/// What is known of the runs that writers left.
#[derive(Debug, Default)]
pub(super) struct PostponedRuns {
    /// How often each run has failed in a row.
    failures: HashMap<Uuid, u32>,
    /// Runs that turned out to be large.
    large: HashSet<Uuid>,
}

impl PostponedRuns {
    /// Settles runs that are due where the session is led, until all are or `share` is over. One
    /// run alone may take `limit`.
    pub async fn settle_due(
        &mut self,
        conn: &mut PgConnection,
        counts: &SweepCounts,
        share: Duration,
        limit: Duration,
    ) -> Result<(), sqlx::Error> {
        let started = Instant::now();
        // Small runs first, many at once. One that fails is tried again alone.
        loop {
            match self.settle_small(conn).await {
                Ok(true) if started.elapsed() < share => {}
                Err(error) if !is_of_runs(&error) => return Err(error),
                _ => break,
            }
        }
        let due = "SELECT id FROM agent_runs WHERE settle_at <= now() ORDER BY settle_at LIMIT $1";
        let runs: Vec<Uuid> = sqlx::query_scalar(due)
            .bind(RUNS)
            .fetch_all(&mut *conn)
            .await?;
        for run in runs {
            if started.elapsed() >= share {
                break;
            }
            match settle(conn, run, counts, limit).await {
                Ok(()) => _ = self.failures.remove(&run),
                Err(error) if is_of_runs(&error) => self.postpone(conn, run, &error).await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Settles some small runs in one transaction. Returns whether there may be more.
    async fn settle_small(&mut self, conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
        if self.large.len() >= MOST_REMEMBERED {
            self.large.clear();
        }
        let large: Vec<Uuid> = self.large.iter().copied().collect();
        let mut tx = conn.begin().await?;
        limit_statements(&mut tx, LOCKED_LIMIT).await?;
        let due: Vec<Uuid> = sqlx::query_scalar(include_str!("due_runs.sql"))
            .bind(large)
            .bind(RUNS)
            .fetch_all(&mut *tx)
            .await?;
        let sizes = RunSizes::count(&mut tx, &due).await?;
        let few: Vec<Uuid> = sizes.few.into_iter().collect();
        postponed::settle_few(&mut tx, &few).await?;
        tx.commit().await?;
        // The first run at least was counted, so the next look finds fewer.
        self.large.extend(sizes.large);
        Ok(!due.is_empty())
    }

    async fn postpone(
        &mut self,
        conn: &mut PgConnection,
        run: Uuid,
        error: &sqlx::Error,
    ) -> Result<(), sqlx::Error> {
        if self.failures.len() >= MOST_REMEMBERED {
            self.failures.clear();
        }
        let failures = self.failures.entry(run).or_default();
        *failures += 1;
        if *failures == LOGGED_FAILURE {
            tracing::warn!(%run, error = %store::reason(error), "a run cannot be settled; it is tried again every ten minutes");
        }
        let seconds = 2_u32.saturating_pow(*failures - 1).min(LONGEST_WAIT);
        sqlx::query(
            "UPDATE agent_runs SET settle_at = now() + $2 * interval '1 second' WHERE id = $1",
        )
        .bind(run)
        .bind(f64::from(seconds))
        .execute(conn)
        .await?;
        Ok(())
    }
}

/// Whether the rows of a run are the cause, and not the state of the database.
pub(super) fn is_of_runs(error: &sqlx::Error) -> bool {
    let is_of_server = error.as_database_error().is_some();
    is_of_server && (store::is_timeout(error) || !store::is_outage(error))
}

/// Begins a transaction that holds the lock of a run. `None` if somebody else holds it.
async fn lock(
    conn: &mut PgConnection,
    run: Uuid,
) -> Result<Option<PgTransaction<'_>>, sqlx::Error> {
    let mut tx = conn.begin().await?;
    limit_statements(&mut tx, LOCKED_LIMIT).await?;
    let locked = sqlx::query("SELECT FROM agent_runs WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED")
        .bind(run)
        .fetch_optional(&mut *tx)
        .await?;
    Ok(locked.map(|_| tx))
}

/// Settles a run. If a writer is at work on it, the rest stays due.
async fn settle(
    conn: &mut PgConnection,
    run: Uuid,
    counts: &SweepCounts,
    limit: Duration,
) -> Result<(), sqlx::Error> {
    let due = "SELECT settle_at::text FROM agent_runs WHERE id = $1 AND settle_at <= now()";
    let due: Option<String> = sqlx::query_scalar(due)
        .bind(run)
        .fetch_optional(&mut *conn)
        .await?;
    let Some(due) = due else { return Ok(()) };
    let started = Instant::now();
    let steps = postponed::bridged_steps(conn, run).await?;
    for steps in steps.chunks(postponed::STEPS_AT_ONCE) {
        let Some(mut tx) = lock(conn, run).await? else {
            return Ok(());
        };
        postponed::move_bridged_steps(&mut tx, run, steps).await?;
        tx.commit().await?;
    }
    let Some(mut tx) = lock(conn, run).await? else {
        return Ok(());
    };
    postponed::end_by_roots(&mut tx, run).await?;
    sqlx::query(include_str!("seen_aliases.sql"))
        .bind([run])
        .bind(SEEN_ALIASES)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    abandon(conn, run, counts, limit).await?;
    let Some(mut tx) = lock(conn, run).await? else {
        return Ok(());
    };
    postponed::show_views(&mut tx, run).await?;
    tx.commit().await?;
    loop {
        let Some(mut tx) = lock(conn, run).await? else {
            return Ok(());
        };
        let more = postponed::align_some_steps(&mut tx, run).await?;
        tx.commit().await?;
        if !more {
            break;
        }
        if started.elapsed() >= limit {
            // The others have waited long enough.
            return postpone(conn, run).await;
        }
    }
    let mut tx = conn.begin().await?;
    limit_statements(&mut tx, limit).await?;
    postponed::sum_rows(&mut tx, run, &due).await?;
    tx.commit().await?;
    // A writer that has changed something since has set another time.
    sqlx::query(
        "UPDATE agent_runs SET settle_at = NULL WHERE id = $1 AND settle_at = $2::timestamptz",
    )
    .bind(run)
    .bind(due)
    .execute(conn)
    .await?;
    Ok(())
}

/// Goes on with a run after those that are due now.
async fn postpone(conn: &mut PgConnection, run: Uuid) -> Result<(), sqlx::Error> {
    store::postpone(conn, &[run]).await
}

/// Abandons the run if it was silent for too long.
async fn abandon(
    conn: &mut PgConnection,
    run: Uuid,
    counts: &SweepCounts,
    limit: Duration,
) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin().await?;
    limit_statements(&mut tx, limit).await?;
    let abandoned = sqlx::query(include_str!("abandon_runs.sql"))
        .bind([run])
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    counts
        .runs_abandoned
        .fetch_add(abandoned.rows_affected(), Relaxed);
    Ok(())
}
