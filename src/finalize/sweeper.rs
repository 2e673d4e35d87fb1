//! The sweeper. Any number of daemons may sweep one database: each skips rows that
//! another daemon has locked.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::{self, Session, SessionUse};

/// Rows per transaction of a sweep. Few, so that the row locks do not delay writers.
const SWEEP_ROWS: i64 = 500;

/// What the sweeper has closed since the daemon started.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct SweepCounts {
    pub runs_abandoned: AtomicU64,
    pub approvals_expired: AtomicU64,
}

/// Sweeps periodically until `stop`. It does not log that the database is away: the
/// writers do.
pub async fn sweep_forever(
    database: PgConnectOptions,
    interval: Duration,
    time_limit: Duration,
    counts: &SweepCounts,
    stop: CancellationToken,
) {
    let write = SessionUse::Write;
    let mut session = Session::new(database, "runtraced", write, time_limit, || ());
    loop {
        tokio::select! {
            () = sleep(interval) => {}
            () = stop.cancelled() => return,
        }
        let sweep = async {
            let swept = sweep_all(session.acquire().await?.conn(), counts).await;
            session.release(swept.as_ref().err());
            swept
        };
        match timeout(time_limit, sweep).await {
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

async fn sweep_all(conn: &mut PgConnection, counts: &SweepCounts) -> Result<(), sqlx::Error> {
    while sweep_once(conn, counts).await? {}
    Ok(())
}

/// Sweeps once. Returns whether there may be more to do at once.
///
/// # Errors
/// When the database refuses a statement. Earlier transactions of the sweep stay.
pub async fn sweep_once(
    conn: &mut PgConnection,
    counts: &SweepCounts,
) -> Result<bool, sqlx::Error> {
    let late = settle_aliases(conn).await?;
    let mut tx = conn.begin().await?;
    let rooted: Vec<Uuid> = sqlx::query_scalar(include_str!("rooted_runs.sql"))
        .bind(SWEEP_ROWS)
        .fetch_all(&mut *tx)
        .await?;
    store::settle_bridged_runs(&mut tx, &rooted).await?;
    let runs: Vec<Uuid> = sqlx::query_scalar(include_str!("abandon_runs.sql"))
        .bind(SWEEP_ROWS)
        .fetch_all(&mut *tx)
        .await?;
    if !runs.is_empty() {
        store::settle_closed_runs(&mut tx, &runs).await?;
    }
    tx.commit().await?;
    counts.runs_abandoned.fetch_add(runs.len() as u64, Relaxed);
    let expired = sqlx::query(include_str!("expire_approvals.sql"))
        .bind(SWEEP_ROWS)
        .execute(&mut *conn)
        .await?
        .rows_affected();
    counts.approvals_expired.fetch_add(expired, Relaxed);
    let full = |rows: u64| rows >= SWEEP_ROWS.unsigned_abs();
    let settled = [late, rooted.len() as u64, runs.len() as u64, expired];
    Ok(settled.into_iter().any(full))
}

/// Settles aliases that arrived before their run, and drops aliases whose run never
/// arrived. Returns the larger of the two row counts.
async fn settle_aliases(conn: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let mut tx = conn.begin().await?;
    let runs: Vec<Uuid> = sqlx::query_scalar(include_str!("late_runs.sql"))
        .bind(SWEEP_ROWS)
        .fetch_all(&mut *tx)
        .await?;
    if !runs.is_empty() {
        store::settle_bridged_runs(&mut tx, &runs).await?;
        sqlx::query(include_str!("seen_aliases.sql"))
            .bind(&runs)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    let dropped = sqlx::query(include_str!("drop_aliases.sql"))
        .bind(SWEEP_ROWS)
        .execute(&mut *conn)
        .await?
        .rows_affected();
    Ok(dropped.max(runs.len() as u64))
}
