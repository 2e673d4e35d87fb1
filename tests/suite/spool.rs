//! What happens to events while Postgres is away and the daemon has a spool.

mod accounting;
mod away;
mod commands;
mod goals;
mod limits;
mod restart;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::daemon::Daemon;
use crate::support::watchdog;

/// What a writer says when it begins to spool.
const AWAY: &str = "the database is away";

/// A folder for a spool, removed in the end.
struct SpoolDir(PathBuf);

impl SpoolDir {
    fn new() -> Self {
        Self(watchdog::scratch_dir("spool"))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SpoolDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A daemon with a spool there.
async fn daemon(url: &str, dir: &SpoolDir, more: &[&str]) -> Daemon {
    let mut daemon = spawn(url, dir, more).await;
    daemon.wait_ready().await;
    daemon.expect_warnings(AWAY);
    daemon
}

/// The same, only until it listens.
async fn spawn(url: &str, dir: &SpoolDir, more: &[&str]) -> Daemon {
    let dir = dir.path().to_str().unwrap();
    let mut args = vec!["--spool-dir", dir];
    if !more.contains(&"--spool-bytes") {
        args.extend(["--spool-bytes", "1073741824"]);
    }
    args.extend(more);
    let mut daemon = Daemon::spawn(url, &args).await;
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
