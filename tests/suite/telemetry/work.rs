//! Work that no request waits for is told, too.

use std::time::{Duration, Instant};

use runtraced_client::StreamOptions;

use super::told::Collector;
use crate::support::daemon::{AWAY, Daemon};
use crate::support::events::{new_id, run_started};
use crate::support::pg;
use crate::support::spool::SpoolDir;

/// Scenario: a stream sends two messages. The database goes, one more event is spooled, and the
/// database comes back.
/// Guarantees: each message, the replay and the sweeps are told; a batch that found no database
/// has failed.
#[tokio::test(flavor = "multi_thread")]
async fn messages_replays_and_sweeps_are_told() {
    let collector = Collector::start().await;
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    let flags = collector.flags(&["--otel-sample", "1", "--sweep-interval", "200ms"]);
    let flags = [&["--spool-after", "500ms"][..], &flags].concat();
    let mut daemon = Daemon::with_args(cluster.url(), &dir.flags(&flags)).await;
    daemon.expect_warnings(AWAY);
    let client = daemon.client().await;
    let mut stream = client.stream::<()>(StreamOptions::default());
    for _ in 0..2 {
        let events = vec![run_started(0, new_id())];
        stream.send(events, ()).await.unwrap();
    }
    stream.finish().await.unwrap();

    cluster.stop_immediate().await;
    let spooled = client.submit(vec![run_started(0, new_id())]).await.unwrap();
    assert_eq!(spooled.outcome.unwrap().spooled, 1);
    cluster.start().await;
    let until = Instant::now() + Duration::from_secs(60);
    while daemon.metrics().await["runtraced_events_settled_total{outcome=\"committed\"}"] < 3 {
        assert!(Instant::now() < until, "{:#?}", daemon.metrics().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    daemon.finish().await;

    let spans = collector.spans().await;
    let count = |name: &str| spans.iter().filter(|span| span.name == name).count();
    assert_eq!(count("runtraced.v1.TraceIngest/Stream message"), 2);
    assert_eq!(count("wait for acks"), 2);
    assert_eq!(count("replay"), 1, "{spans:#?}");
    assert!(count("sweep") > 0);
    assert_eq!(count("drain"), 1);
    let submit = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let submit = submit("runtraced.v1.TraceIngest/Submit");
    assert_eq!(submit.metadata["runtraced.durability"], "spooled");
    let batches = spans.iter().filter(|span| span.name == "write batch");
    assert!(batches.clone().any(|span| span.failed), "{spans:#?}");
    assert!(batches.clone().any(|span| !span.failed), "{spans:#?}");
    collector.daemon.finish().await;
}
