//! Clients that mean harm: memory stays bounded, and others are served
//! meanwhile. `make hostile` does it for longer and with more.

mod bombs;
mod connections;
#[cfg(target_os = "linux")]
mod expansion;
mod large_runs;
mod origins;
mod pending;
mod repeats;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::support::daemon::Daemon;
use crate::support::events::{new_id, steps};
use crate::support::process::rss_kib;

const MEGABYTE: usize = 1 << 20;

/// How much of everything: 1 in the suite.
fn scale() -> usize {
    match std::env::var("RUNTRACED_HOSTILE") {
        Ok(scale) => scale.parse().unwrap(),
        Err(_) => 1,
    }
}

/// A client that goes on while others do harm.
struct Bystander {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    task: JoinHandle<Duration>,
    before_kib: u64,
}

impl Bystander {
    async fn start(daemon: &Daemon) -> Self {
        let client = daemon.client().await;
        // What a daemon takes when it works is not what harm makes it take.
        for _ in 0..20 {
            client.submit(steps(new_id(), 50)).await.unwrap();
        }
        let (before_kib, _) = rss_kib(daemon.pid());
        let (stop, served) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, counted) = (stop.clone(), served.clone());
        let task = tokio::spawn(async move {
            let mut slowest = Duration::ZERO;
            while !stopped.load(Relaxed) {
                let started = Instant::now();
                let answer = client.submit(steps(new_id(), 5)).await;
                assert_eq!(answer.unwrap().outcome.unwrap().committed, 5);
                slowest = slowest.max(started.elapsed());
                counted.fetch_add(1, Relaxed);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            slowest
        });
        Self {
            stop,
            served,
            task,
            before_kib,
        }
    }

    /// It was served all the time, and the daemon's memory grew by no more. Returns how long it
    /// waited at most.
    async fn check(self, daemon: &Daemon, what: &str, most_mib: u64) -> Duration {
        let served = self.served.load(Relaxed);
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.served.load(Relaxed) == served {
            assert!(Instant::now() < deadline, "{what}: nobody is served");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.stop.store(true, Relaxed);
        let slowest = self.task.await.unwrap();
        let (_, peak_kib) = rss_kib(daemon.pid());
        let grown = peak_kib.saturating_sub(self.before_kib) >> 10;
        println!(
            "{what}: grown by {grown} MiB; a bystander was served {} times, at the slowest in {slowest:?}",
            self.served.load(Relaxed)
        );
        assert!(grown <= most_mib, "{what}: grown by {grown} MiB");
        slowest
    }
}
