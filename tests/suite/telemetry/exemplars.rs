//! Traces as examples of measured values at `/metrics`.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::told::Collector;
use super::traced::{Clients, FLAGS};
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_started};
use crate::support::pg;

/// The traces that `/metrics` names, all of them as examples of acks.
async fn exemplars(daemon: &Daemon) -> BTreeSet<Uuid> {
    let (status, text) = daemon.get("/metrics").await;
    assert_eq!(status, 200);
    let lines = text.lines().filter_map(|line| line.split_once(" # "));
    lines
        .map(|(sample, exemplar)| {
            assert!(
                sample.starts_with("runtraced_ack_seconds_bucket{"),
                "{sample}"
            );
            let (labels, value_and_time) = exemplar.split_once("\"} ").unwrap();
            let numbers: Vec<f64> = value_and_time
                .split(' ')
                .map(|number| number.parse().unwrap())
                .collect();
            assert!(numbers[0] > 0.0 && numbers[1] > 1.7e9, "{exemplar}");
            labels
                .strip_prefix("{trace_id=\"")
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect()
}

/// Scenario: two clients with traces of their own, and one without, send to a daemon that tells
/// all its work; another daemon tells only slow work, and a third nothing.
/// Guarantees: `/metrics` names the trace that the daemon began, which its collector has, and never
/// one of a client; it names no trace that is not told.
#[tokio::test(flavor = "multi_thread")]
async fn acks_name_the_traces_that_the_daemon_began() {
    let collector = Collector::start().await;
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &collector.flags(&FLAGS)).await;
    let clients = Clients::send(&daemon).await;
    assert_eq!(exemplars(&daemon).await, BTreeSet::new());
    daemon.submit(vec![run_started(0, new_id())]).await;
    let named = exemplars(&daemon).await;
    daemon.finish().await;

    let spans = collector.spans().await;
    let begun_here = spans.iter().filter(|span| {
        span.name == "runtraced.v1.TraceIngest/Submit" && span.trace != clients.submitting
    });
    assert_eq!(named, begun_here.map(|span| span.trace).collect());
    assert_eq!(named.len(), 1);

    let only_slow = collector.flags(&["--otel-sample", "0", "--otel-slow", "1h"]);
    for flags in [only_slow, Vec::new()] {
        let daemon = Daemon::with_args(database.url(), &flags).await;
        daemon.submit(vec![run_started(0, new_id())]).await;
        assert_eq!(exemplars(&daemon).await, BTreeSet::new());
        daemon.finish().await;
    }
    collector.daemon.finish().await;
}
