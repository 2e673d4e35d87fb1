//! The histograms at `/metrics`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use runtraced::proto::EndStatus;
use runtraced_client::StreamOptions;

use crate::support::daemon::{AWAY, Daemon};
use crate::support::events::{new_id, run_ended, run_started};
use crate::support::otlp::post;
use crate::support::pg;
use crate::support::spool::SpoolDir;

/// The metrics by name and labels.
async fn metrics(daemon: &Daemon) -> HashMap<String, f64> {
    let (status, text) = daemon.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(text.ends_with("# EOF\n"), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

/// The counts of a family whose labels hold a text.
fn count(metrics: &HashMap<String, f64>, family: &str, labels: &str) -> f64 {
    let name = format!("runtraced_{family}_count");
    let members = metrics
        .iter()
        .filter(|(key, _)| key.starts_with(&name) && key.contains(labels));
    members.map(|(_, count)| count).sum()
}

async fn eventually(
    daemon: &Daemon,
    holds: impl Fn(&HashMap<String, f64>) -> bool,
) -> HashMap<String, f64> {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let metrics = metrics(daemon).await;
        if holds(&metrics) {
            return metrics;
        }
        assert!(Instant::now() < until, "{metrics:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Scenario: events by each of the native calls and over OTLP; then the database goes, one more
/// arrives, and the database comes back.
/// Guarantees: each request, ack, transaction and phase is counted once where it belongs; ages are
/// 0 while nothing waits, grow while the spool holds events, and are 0 again after the replay.
#[tokio::test(flavor = "multi_thread")]
async fn what_requests_and_transactions_take_is_counted() {
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    let mut daemon =
        Daemon::with_args(cluster.url(), &dir.flags(&["--spool-after", "500ms"])).await;
    daemon.expect_warnings(AWAY);
    let before = metrics(&daemon).await;
    for family in [
        "ack_seconds",
        "request_bytes",
        "phase_seconds",
        "write_batch_events",
        "replay_lag_seconds",
    ] {
        assert_eq!(count(&before, family, ""), 0.0, "{family}");
        assert!(
            before
                .keys()
                .any(|key| key.starts_with(&format!("runtraced_{family}_bucket")))
        );
    }

    let run = new_id();
    daemon
        .submit(vec![
            run_started(0, run),
            run_ended(1, run, EndStatus::Completed),
        ])
        .await;
    let client = daemon.client().await;
    let mut stream = client.stream::<()>(StreamOptions::default());
    stream
        .send(vec![run_started(0, new_id())], ())
        .await
        .unwrap();
    stream.finish().await.unwrap();
    let span = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0194bb0a000070008000000000000001","spanId":"0000000000000001","name":"invoke_agent a","startTimeUnixNano":"1767225600000000000","endTimeUnixNano":"1767225601000000000","attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"invoke_agent"}}]}]}]}]}"#;
    let headers = ["Content-Type: application/json"];
    assert_eq!(
        post(&daemon, "/v1/traces", &headers, span.as_bytes())
            .await
            .status,
        200
    );

    let seen = metrics(&daemon).await;
    for endpoint in ["submit", "stream", "otlp_http"] {
        let endpoint = format!("endpoint=\"{endpoint}\"");
        assert_eq!(count(&seen, "request_bytes", &endpoint), 1.0, "{endpoint}");
        let acked = format!("{endpoint},durability=\"committed\"");
        assert_eq!(count(&seen, "ack_seconds", &acked), 1.0, "{acked}");
    }
    let size = seen["runtraced_request_bytes_sum{endpoint=\"otlp_http\"}"];
    assert_eq!(size, span.len() as f64);
    let batches = count(&seen, "write_batch_events", "shard");
    assert_eq!(count(&seen, "write_batch_bytes", "shard"), batches);
    assert!(
        seen["runtraced_write_batch_events_sum{writer=\"shard\"}"] >= 4.0,
        "{seen:#?}"
    );
    for phase in ["plan", "lock", "copy", "merge", "settle", "commit"] {
        assert_eq!(
            count(&seen, "phase_seconds", &format!("\"{phase}\"")),
            batches,
            "{phase}"
        );
    }
    assert_eq!(count(&seen, "phase_seconds", "\"queue\""), 3.0);
    assert_eq!(count(&seen, "phase_seconds", "\"admit\""), 1.0);
    assert_eq!(count(&seen, "phase_seconds", "\"spool\""), 0.0);
    assert_eq!(seen["runtraced_oldest_unsettled_seconds"], 0.0);
    assert_eq!(seen["runtraced_spool_oldest_seconds"], 0.0);

    cluster.stop_immediate().await;
    let outcome = daemon
        .client()
        .await
        .submit(vec![run_started(0, new_id())])
        .await;
    assert_eq!(outcome.unwrap().outcome.unwrap().spooled, 1);
    let away = eventually(&daemon, |seen| seen["runtraced_spool_oldest_seconds"] > 0.5).await;
    let spooled = "endpoint=\"submit\",durability=\"spooled\"";
    assert_eq!(count(&away, "ack_seconds", spooled), 1.0);
    assert_eq!(count(&away, "phase_seconds", "\"spool\""), 1.0);
    cluster.start().await;
    let back = eventually(&daemon, |seen| count(seen, "replay_lag_seconds", "") > 0.0).await;
    assert!(back["runtraced_replay_lag_seconds_sum"] >= 0.5, "{back:#?}");
    eventually(&daemon, |seen| {
        seen["runtraced_spool_oldest_seconds"] == 0.0
    })
    .await;
    assert_eq!(count(&back, "write_batch_events", "replayer"), 1.0);
    daemon.finish().await;
}
