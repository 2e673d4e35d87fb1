//! Bounded, also when Postgres is away.

use std::time::{Duration, Instant};

use runtraced::proto::SubmitRequest;
use runtraced::proto::trace_ingest_client::TraceIngestClient;
use sqlx::{Connection as _, PgConnection};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{SpoolDir, metric, replayed, spawn, wait_until};
use crate::support::events::{long_message, new_id};
use crate::support::pg;
use crate::support::tables::count;
use crate::support::wire::channel;

/// Scenario: Postgres is away, and events come until the spool and the memory budget are full.
/// Guarantees: what was acked before stays within both budgets; then RESOURCE_EXHAUSTED with a
/// delay, and /readyz says 503; when Postgres is back all goes on by itself, and everything acked
/// is there.
#[tokio::test(flavor = "multi_thread")]
async fn spool_and_memory_full_is_told_and_recovers() {
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    let args = [
        "--spool-bytes",
        "1048576",
        "--memory-budget-bytes",
        "1048576",
    ];
    let mut daemon = spawn(cluster.url(), &dir, &args).await;
    daemon.expect_warnings("neither Postgres nor the spool accepts events");
    daemon.wait_ready().await;
    cluster.stop_immediate().await;
    let channel = channel(daemon.grpc_url()).await;
    let (mut sent, mut waiting) = (0_i64, Vec::new());
    let full = loop {
        assert!(sent < 100, "never full");
        sent += 1;
        let mut client = TraceIngestClient::new(channel.clone());
        let request = SubmitRequest {
            events: vec![long_message(new_id(), 100 << 10)],
            ..Default::default()
        };
        let mut call = tokio::spawn(async move { client.submit(request).await });
        // One that the spool does not take waits, until the budget is full.
        match tokio::time::timeout(Duration::from_millis(300), &mut call).await {
            Err(_) => waiting.push(call),
            Ok(done) => {
                if let Err(status) = done.unwrap() {
                    break status;
                }
            }
        }
    };
    assert_eq!(full.code(), Code::ResourceExhausted, "{full}");
    assert!(
        full.get_details_retry_info()
            .is_some_and(|info| info.retry_delay.is_some())
    );
    // On a busy machine some were acked after their 300 ms.
    let still = || waiting.iter().filter(|call| !call.is_finished()).count();
    wait_until("too many wait", async || still() <= 10).await;
    let still = still();
    assert!((8..=10).contains(&still), "{still}");
    assert_eq!(metric(&daemon, "runtraced_spool_refusing").await, 1);
    daemon.wait_ready_state(false).await;
    let on_disk: u64 = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".spool"))
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    assert!(on_disk <= 1 << 20 && on_disk > 800 << 10, "{on_disk}");

    let back = Instant::now();
    cluster.start().await;
    for call in waiting {
        call.await.unwrap().unwrap();
    }
    assert!(back.elapsed() < Duration::from_secs(20));
    daemon.wait_ready().await;
    replayed(&daemon).await;
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    assert_eq!(count(&mut conn, "agent_messages").await, sent - 1);
    wait_until("the metric is stuck", async || {
        metric(&daemon, "runtraced_spooling").await == 0
    })
    .await;
    conn.close().await.unwrap();
    daemon.finish().await;
}
