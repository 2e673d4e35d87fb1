//! Sums runs up in the background, so that statistics need not read every row below them.
//!
//! The database does the work (`fill_run_sums`, `fill_run_sums_days`); this module decides how much, and when. Nothing depends
//! on it but how long statistics take: what is not summed up is read from the runs themselves.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::sweeper::limit_statements;
use crate::store::{self, Session};

/// About so many runs are summed up in one transaction: a fraction of a second of work.
const RUNS: i64 = 3_000;
/// A quarter of an hour with more runs is left to those who read it: it would take seconds. Where the
/// database is slow, the limit is lower.
const DENSEST: i64 = 20_000;
/// The lowest limit.
const LEAST_DENSEST: i64 = 500;
/// A time in which runs still change is left alone for so long. It would change again.
const QUIET_S: f64 = 10.0;
/// How long to wait if there is nothing to do.
const IDLE: Duration = Duration::from_secs(5);
/// After work, wait so many times as long as it took: it takes a twentieth of one processor's time.
const REST: u32 = 19;
/// How long one transaction may take, and so how long the sweeper waits for it.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// Sums up until `stop`, in the session of the sweeper.
pub async fn sum_up_forever(session: &Mutex<Session>, stop: CancellationToken) {
    let (mut wait, mut densest) = (IDLE, DENSEST);
    loop {
        tokio::select! {
            () = sleep(wait) => {}
            () = stop.cancelled() => return,
        }
        let mut session = session.lock().await;
        let begun = Instant::now();
        let round = async {
            let done = fill(session.acquire().await?.conn(), densest).await;
            session.release(done.as_ref().err());
            done
        };
        let (done, slow) = match timeout(TIME_LIMIT, round).await {
            Ok(Ok(done)) => (done, false),
            Ok(Err(error)) => {
                tracing::debug!(error = %store::reason(&error), "runs are not summed up");
                (0, store::is_timeout(&error))
            }
            Err(_) => {
                session.give_up().await;
                (0, true)
            }
        };
        // Perhaps the first quarter takes too long. The others do not wait for it.
        densest = match slow {
            true => (densest / 2).max(LEAST_DENSEST),
            false => (densest * 2).min(DENSEST),
        };
        let rest = begun.elapsed() * REST;
        wait = if done > 0 { rest } else { rest.max(IDLE) };
    }
}

/// Sums up some runs, or a day if there are no runs to do. Returns 0 if there was nothing to do.
async fn fill(conn: &mut PgConnection, densest: i64) -> Result<i64, sqlx::Error> {
    let mut tx = conn.begin().await?;
    limit_statements(&mut tx, TIME_LIMIT / 2).await?;
    let fill = "SELECT public.fill_run_sums($1, $2, make_interval(secs => $3))";
    let mut done = sqlx::query_scalar(fill)
        .bind(RUNS)
        .bind(densest)
        .bind(QUIET_S)
        .fetch_one(&mut *tx)
        .await?;
    if done == 0 {
        done = sqlx::query_scalar("SELECT public.fill_run_sums_days()")
            .fetch_one(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(done)
}
