//! What agents and the machine feel of a Postgres that is away.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use runtraced::proto::Event;
use runtraced_client::{Client, RetryPolicy, StreamOptions};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{SpoolDir, daemon, metric, wait_until};
use crate::support::events::{long_message, new_id};
use crate::support::pg;
use crate::support::process::rss_kib;

/// How long each phase is asked to last: by `make chaos`, for minutes.
fn asked() -> Option<Duration> {
    let asked = std::env::var("RUNTRACED_AWAY_SECONDS").ok()?;
    asked.parse().ok().map(Duration::from_secs)
}

/// How long each phase lasts.
fn phase() -> Duration {
    asked().unwrap_or(Duration::from_secs(3))
}

fn batch(run: Uuid, count: usize, bytes: usize) -> Vec<Event> {
    (0..count).map(|_| long_message(run, bytes)).collect()
}

/// The waits for acks of eight agents that each send a small batch every 20 ms, for one phase.
async fn waits(url: &str) -> Vec<Duration> {
    let waits = Arc::<Mutex<Vec<Duration>>>::default();
    let end = Instant::now() + phase();
    let mut agents = Vec::new();
    for _ in 0..8 {
        let client = Client::connect(url, RetryPolicy::default()).await.unwrap();
        let noted = waits.clone();
        agents.push(tokio::spawn(async move {
            let mut stream = client.stream_observed(StreamOptions::default(), move |settled| {
                noted.lock().unwrap().push(settled.waited);
            });
            let run = new_id();
            while Instant::now() < end {
                stream.send(batch(run, 5, 200), ()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            stream.finish().await.unwrap();
        }));
    }
    for agent in agents {
        agent.await.unwrap();
    }
    let mut waits = std::mem::take(&mut *waits.lock().unwrap());
    waits.sort_unstable();
    waits
}

fn percentile(waits: &[Duration], percent: usize) -> Duration {
    waits[(waits.len() - 1) * percent / 100]
}

/// Scenario: agents send at a steady pace; a Postgres that syncs its disk is there, then stopped,
/// then there again while the spool is replayed, then frozen.
/// Guarantees: while it is away, and while the spool is replayed, the 99th percentile of the waits
/// for an ack is under three times that of the healthy state of the same run, but for what a
/// machine does to anybody. (When it freezes, what is on its way then waits --spool-after, once.)
#[tokio::test(flavor = "multi_thread")]
async fn agents_wait_no_longer_while_postgres_is_away() {
    /// Below this, differences are those of the scheduler.
    const NOISE: Duration = Duration::from_millis(15);
    if asked().is_none() {
        // A matter of time, which other tests beside it take: not for every run.
        println!("skipped: RUNTRACED_AWAY_SECONDS is not set (make chaos)");
        return;
    }
    let mut cluster = pg::own_cluster().await;
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    for statement in ["ALTER SYSTEM SET fsync = 'on'", "SELECT pg_reload_conf()"] {
        sqlx::raw_sql(statement).execute(&mut conn).await.unwrap();
    }
    conn.close().await.unwrap();
    let dir = SpoolDir::new();
    let daemon = daemon(cluster.url(), &dir, &[]).await;
    let healthy = waits(daemon.grpc_url()).await;
    let healthy_p99 = percentile(&healthy, 99);
    let mut report = format!(
        "healthy: p50 {:?}, p99 {healthy_p99:?}",
        percentile(&healthy, 50)
    );
    for state in ["stopped", "replaying", "frozen"] {
        match state {
            "stopped" => cluster.stop_immediate().await,
            "replaying" => cluster.start().await,
            _ => {
                cluster.sigstop();
                // Those that notice.
                daemon
                    .client()
                    .await
                    .submit(batch(new_id(), 1, 10))
                    .await
                    .unwrap();
                let closed = async || metric(&daemon, "runtraced_spooling").await == 1;
                wait_until("it does not notice", closed).await;
            }
        }
        let waits = waits(daemon.grpc_url()).await;
        let p99 = percentile(&waits, 99);
        report += &format!("; {state}: p50 {:?}, p99 {p99:?}", percentile(&waits, 50));
        println!("{report}");
        assert!(p99 < 3 * healthy_p99.max(NOISE), "{report}");
    }
    cluster.sigcont();
    super::replayed(&daemon).await;
    daemon.finish().await;
}

/// Scenario: Postgres is stopped while clients send as much as they can; 200 idle streams are open.
/// Guarantees: the daemon's resident memory stays under its budget and 100 MB more, all the time.
#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_bounded_while_postgres_is_away_at_full_load() {
    const BUDGET: u64 = 32 << 20;
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    let budget = BUDGET.to_string();
    let args = [
        "--memory-budget-bytes",
        &budget,
        "--spool-bytes",
        "536870912",
    ];
    let mut daemon = daemon(cluster.url(), &dir, &args).await;
    daemon.expect_warnings("neither Postgres nor the spool accepts events");
    let mut idle = Vec::new();
    for _ in 0..200 {
        let client = daemon.client().await;
        let mut stream = client.stream(StreamOptions::default());
        stream.send(Vec::new(), ()).await.unwrap();
        idle.push(stream);
    }
    cluster.stop_immediate().await;
    let stop = Arc::<AtomicBool>::default();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let (client, stop) = (daemon.client().await, stop.clone());
        clients.push(tokio::spawn(async move {
            let mut stream = client.stream(StreamOptions::default());
            while !stop.load(Relaxed) {
                // Held back for good once the spool is full.
                let sent = stream.send(batch(new_id(), 100, 1_000), ());
                if tokio::time::timeout(Duration::from_secs(1), sent)
                    .await
                    .is_err()
                {
                    return;
                }
            }
        }));
    }
    let end = Instant::now() + phase();
    let mut most = 0;
    while Instant::now() < end {
        most = most.max(rss_kib(daemon.pid()).0);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let spooled = metric(&daemon, "runtraced_spool_used_bytes").await;
    println!("at most {most} KiB resident; {spooled} bytes spooled");
    assert!(spooled > 16 << 20, "no load: {spooled} bytes spooled");
    assert!(most * 1_024 < BUDGET + 100_000_000, "{most} KiB");
    stop.store(true, Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    drop(idle);
    daemon.kill();
}
