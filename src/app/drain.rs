//! The phases of a shutdown, under one deadline: stop accepting, finish the handlers,
//! empty the queues, stop the helpers.

use std::thread::JoinHandle;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::AppError;
use crate::own_spans::WorkSpan;

/// The time after the drain deadline in which handlers tell their clients what was not
/// settled.
const FINAL_RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Tokens that start the phases of a shutdown, in this order.
#[derive(Clone, Debug, Default)]
pub struct Phases {
    /// Accept nothing more.
    pub draining: CancellationToken,
    /// Cancelled by a writer thread that ends. Before draining, that is a fault.
    pub writer_ended: CancellationToken,
    /// Stop waiting for a database that is away.
    pub give_up: CancellationToken,
    /// Stop the helpers, such as the sweeper and the health checks.
    pub stop: CancellationToken,
}

/// Settles all admitted events before the deadline: first the handlers, then the queues.
pub async fn drain(
    phases: &Phases,
    mut servers: JoinSet<Result<(), AppError>>,
    tasks: &TaskTracker,
    writers: Vec<JoinHandle<()>>,
    deadline: Instant,
    span: &mut WorkSpan,
) {
    phases.draining.cancel();
    tasks.close();
    let mut settled = timeout_at(deadline, wait_for_handlers(tasks, &mut servers)).await;
    if settled.is_err() {
        // The writers drop their events, so that the handlers can still tell their
        // clients to send them again.
        phases.give_up.cancel();
        settled = timeout(
            FINAL_RESPONSE_TIMEOUT,
            wait_for_handlers(tasks, &mut servers),
        )
        .await;
    }
    if settled.is_err() {
        tracing::warn!("calls are still open at the drain deadline; closing them");
        servers.abort_all();
        while servers.join_next().await.is_some() {}
    }
    span.lap("handlers");
    // No handler can send to the queues any more. The writers end when the queues are
    // empty.
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
    span.lap("writers");
    if !matches!(all_well, Ok(true)) {
        tracing::error!("a writer thread panicked");
    }
}

/// Waits until all streams and calls have ended.
async fn wait_for_handlers(tasks: &TaskTracker, servers: &mut JoinSet<Result<(), AppError>>) {
    tasks.wait().await;
    while servers.join_next().await.is_some() {}
}
