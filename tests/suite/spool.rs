//! What happens to events while Postgres is away and the daemon has a spool.

mod accounting;
mod away;
mod commands;
mod formats;
mod goals;
mod limits;
mod owner;
mod person;
mod poison;
mod progress;
mod restart;
mod slow;
mod stall;

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtraced::event::Repairs;
use runtraced::ingest::native::{decode_event, encode_frame};
use runtraced::proto::Event;
use runtraced::spool::{SpoolFolder, SpoolLimits};
use sqlx::PgConnection;
use uuid::Uuid;

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

/// Puts a frame of each list of events into a spool that no daemon uses.
fn spool_frames(dir: &SpoolDir, frames: impl IntoIterator<Item = Vec<Event>>) {
    let limits = SpoolLimits {
        total_bytes: 1 << 30,
        segment_bytes: 1 << 20,
    };
    let spool = SpoolFolder::open(dir.path(), limits, Uuid::now_v7()).unwrap();
    let frames = frames.into_iter().map(|events| {
        let decode = |event| decode_event(event, &mut Repairs::default()).unwrap();
        let events: Vec<_> = events.into_iter().map(decode).collect();
        let count = u32::try_from(events.len()).unwrap();
        (encode_frame(&events.iter().collect::<Vec<_>>()), count)
    });
    spool.store(frames, &Arc::default()).1.unwrap();
}

/// The ledger of all daemons together: received, committed, duplicate, refused, spooled,
/// dead-lettered, in flight.
async fn ledger_sum(conn: &mut PgConnection) -> Vec<i64> {
    let query = "SELECT ARRAY[sum(received), sum(committed), sum(duplicate), sum(refused),
            sum(spooled), sum(dead_lettered), sum(in_flight)]::bigint[] FROM ingest_reconciliation";
    sqlx::query_scalar(query).fetch_one(conn).await.unwrap()
}
