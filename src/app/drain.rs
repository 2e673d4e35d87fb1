//! The phases of a shutdown, all under one deadline: take nothing more in,
//! settle handlers, empty the queues, stop the helpers.

use std::thread::JoinHandle;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::AppError;

/// After the drain deadline clients are told what was not settled; no longer than this.
const FINAL_RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Tokens that end the phases of a shutdown, in this order.
#[derive(Clone, Debug, Default)]
pub struct Phases {
    /// Take nothing more in.
    pub draining: CancellationToken,
    /// Cancelled by a writer thread that ends, which before draining is a fault.
    pub writer_ended: CancellationToken,
    /// Stop waiting for a database that is away.
    pub give_up: CancellationToken,
    /// Stop the helpers: sweeper, health.
    pub stop: CancellationToken,
}

/// Settles what was taken in: handlers, then queues, all before one deadline.
pub async fn drain(
    phases: &Phases,
    mut servers: JoinSet<Result<(), AppError>>,
    tasks: &TaskTracker,
    writers: Vec<JoinHandle<()>>,
    deadline: Instant,
) {
    phases.draining.cancel();
    tasks.close();
    let mut settled = timeout_at(deadline, wait_for_handlers(tasks, &mut servers)).await;
    if settled.is_err() {
        // The writers drop what they hold, so the handlers can still tell
        // their clients to send it again.
        phases.give_up.cancel();
        settled = timeout(
            FINAL_RESPONSE_TIMEOUT,
            wait_for_handlers(tasks, &mut servers),
        )
        .await;
    }
    if settled.is_err() {
        tracing::warn!("calls were still open at the drain deadline; they are cut");
        servers.abort_all();
        while servers.join_next().await.is_some() {}
    }
    // The handlers' senders are gone; the writers end when their queues are empty.
    let mut joined = tokio::task::spawn_blocking(move || {
        writers.into_iter().all(|writer| writer.join().is_ok())
    });
    let all_well = match timeout_at(deadline, &mut joined).await {
        Ok(joined) => joined,
        Err(_) => {
            phases.give_up.cancel();
            joined.await
        }
    };
    if !matches!(all_well, Ok(true)) {
        tracing::error!("a writer thread panicked");
    }
}

/// Waits until streams and calls have ended.
async fn wait_for_handlers(tasks: &TaskTracker, servers: &mut JoinSet<Result<(), AppError>>) {
    tasks.wait().await;
    while servers.join_next().await.is_some() {}
}
