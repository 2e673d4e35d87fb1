//! What is told although no share of the work is, and what happens if nobody listens.

use std::time::{Duration, Instant};

use sqlx::Executor as _;
use tokio::net::TcpListener;

use super::told::{Collector, ToldSpan};
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_started};
use crate::support::otlp::{PROTOBUF, post};
use crate::support::pg;

/// Scenario: a daemon that tells no share of its work. A client calls `Submit` a few times; another
/// sends what is no message; a third waits for a lock in the database.
/// Guarantees: only the failed request, the slow one with its write batch, and the drain are told.
#[tokio::test(flavor = "multi_thread")]
async fn slow_and_failed_work_is_told_without_any_share() {
    let collector = Collector::start().await;
    let database = pg::database().await;
    let flags = ["--otel-sample", "0", "--otel-slow", "3s"];
    let daemon = Daemon::with_args(database.url(), &collector.flags(&flags)).await;
    for _ in 0..3 {
        daemon.submit(vec![run_started(0, new_id())]).await;
    }
    let content_type = format!("Content-Type: {PROTOBUF}");
    let answer = post(&daemon, "/v1/traces", &[&content_type], b"no message").await;
    assert_eq!(answer.status, 400);

    let mut locker = database.connect().await;
    locker
        .execute("BEGIN; LOCK TABLE agent_runs IN EXCLUSIVE MODE")
        .await
        .unwrap();
    let slow = daemon.submit(vec![run_started(0, new_id())]);
    let unlock = async {
        tokio::time::sleep(Duration::from_millis(3_200)).await;
        locker.execute("COMMIT").await.unwrap();
    };
    tokio::join!(slow, unlock);
    daemon.finish().await;

    let spans = collector.spans().await;
    let roots = [
        "OTLP/HTTP export",
        "runtraced.v1.TraceIngest/Submit",
        "write batch",
        "drain",
    ];
    let told: Vec<(&str, bool)> = spans
        .iter()
        .filter(|span| roots.contains(&span.name.as_str()))
        .map(|span| (span.name.as_str(), span.failed))
        .collect();
    let expected: Vec<(&str, bool)> = roots.into_iter().zip([true, false, false, false]).collect();
    assert_eq!(told, expected, "{spans:#?}");
    let is_failed = |span: &&ToldSpan| span.failed;
    let failed = spans.iter().find(is_failed).unwrap();
    assert_eq!(failed.metadata["error.type"], "InvalidArgument");
    collector.daemon.finish().await;
}

/// Scenario: the collector refuses connections, or takes them and never answers.
/// Guarantees: events are acked all the same; spans are dropped and counted; one line of the log
/// says so; the shutdown hardly waits.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_acks_go_on() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent
        .local_addr()
        .map(|address| (address, silent))
        .unwrap();
    for address in ["127.0.0.1:1", &silent.0.to_string()] {
        let database = pg::database().await;
        let url = format!("http://{address}");
        let flags = ["--otel-endpoint", &url, "--otel-sample", "1"];
        let mut daemon = Daemon::with_args(database.url(), &flags).await;
        daemon.expect_warnings(WARNING);
        let dropped = "runtraced_own_spans_total{outcome=\"not_taken\"}";
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let outcome = daemon.submit(vec![run_started(0, new_id())]).await;
            assert_eq!(outcome.committed, 1);
            if daemon.metrics().await[dropped] > 20 {
                break;
            }
            assert!(Instant::now() < until, "{:#?}", daemon.metrics().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let sent = daemon.metrics().await["runtraced_own_spans_total{outcome=\"sent\"}"];
        assert_eq!(sent, 0);
        assert_eq!(daemon.logs().matches(WARNING).count(), 1);
        let begin = Instant::now();
        daemon.finish().await;
        assert!(begin.elapsed() < Duration::from_secs(15));
    }
}

const WARNING: &str = "the collector does not take the daemon's own spans";
