//! What happens to events while Postgres is away and the daemon has a spool.

mod accounting;
mod away;
mod commands;
mod formats;
mod goals;
mod limits;
mod restart;
mod slow;

use std::time::{Duration, Instant};

use crate::support::daemon::{AWAY, Daemon};
use crate::support::spool::SpoolDir;

/// A daemon with a spool there.
async fn daemon(url: &str, dir: &SpoolDir, more: &[&str]) -> Daemon {
    let mut daemon = spawn(url, dir, more).await;
    daemon.wait_ready().await;
    daemon.expect_warnings(AWAY);
    daemon
}

/// The same, only until it listens.
async fn spawn(url: &str, dir: &SpoolDir, more: &[&str]) -> Daemon {
    let mut daemon = Daemon::spawn(url, &dir.flags(more)).await;
    daemon.expect_warnings(AWAY);
    daemon
}

async fn metric(daemon: &Daemon, name: &str) -> u64 {
    daemon.metrics().await[name]
}

async fn settled(daemon: &Daemon, outcome: &str) -> u64 {
    let name = format!("runtraced_events_settled_total{{outcome=\"{outcome}\"}}");
    metric(daemon, &name).await
}

async fn wait_until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until nothing is in the spool.
async fn replayed(daemon: &Daemon) {
    wait_until("the spool is not replayed", async || {
        settled(daemon, "spooled").await == 0
    })
    .await;
}
