//! Which end of a run stands.

use runtraced::proto::{EndStatus, Event};
use serde_json::json;
use uuid::Uuid;

use super::{run_row, time};
use crate::support::daemon::Daemon;
use crate::support::events::{ended_with, new_id, run_ended, run_started, tokens};
use crate::support::pg;

fn root_span_ended(millis: i64, run: Uuid, status: EndStatus) -> Event {
    ended_with(run_ended(millis, run, status), |end| {
        end.from_root_span = true
    })
}

/// Scenario: a root span's end and the client's own, which is earlier, come in both orders, in
/// one batch and in two; a run with a root span's end only; two root spans' ends.
/// Guarantees: the client's end stands in all orders; without one the later root span's.
#[tokio::test(flavor = "multi_thread")]
async fn the_clients_end_stands_over_the_root_spans_in_any_order() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let by_client = json!({"status": "completed", "by": "client", "ended_at": time(500), "ms": 500, "input": 4, "output": 2});
    for (client_first, batches) in [(true, 1), (false, 1), (true, 2), (false, 2)] {
        let run = new_id();
        daemon
            .submit(vec![run_started(0, run), tokens(1, run, new_id(), 4, 2)])
            .await;
        let mut ends = [
            run_ended(500, run, EndStatus::Completed),
            root_span_ended(900, run, EndStatus::Failed),
        ];
        if !client_first {
            ends.reverse();
        }
        for batch in ends.chunks(2 / batches) {
            daemon.submit(batch.to_vec()).await;
        }
        let got = run_row(&mut conn, run).await;
        assert_eq!(
            got, by_client,
            "client first: {client_first}, batches: {batches}"
        );
    }
    let run = new_id();
    daemon
        .submit(vec![run_started(0, run), tokens(1, run, new_id(), 4, 2)])
        .await;
    for (millis, ended_at) in [(700, 700), (900, 900), (800, 900)] {
        daemon
            .submit(vec![root_span_ended(millis, run, EndStatus::Failed)])
            .await;
        let want = json!({"status": "failed", "by": "root_span", "ended_at": time(ended_at), "ms": ended_at, "input": 4, "output": 2});
        assert_eq!(run_row(&mut conn, run).await, want);
    }
    daemon.finish().await;
}

/// Scenario: a run gets two ends of its client, and the later comes first; then two at the same
/// time with different statuses.
/// Guarantees: the later end stands as a whole; at the same time failed stands over completed.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_ends_the_later_stands_then_the_failed() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let run = new_id();
    daemon.submit(vec![run_started(0, run)]).await;
    for (millis, status, want) in [
        (800, EndStatus::Completed, (800, "completed")),
        (500, EndStatus::Failed, (800, "completed")),
        (800, EndStatus::Failed, (800, "failed")),
        (800, EndStatus::Completed, (800, "failed")),
        (900, EndStatus::Completed, (900, "completed")),
    ] {
        daemon.submit(vec![run_ended(millis, run, status)]).await;
        let got = run_row(&mut conn, run).await;
        let want = json!({"status": want.1, "by": "client", "ended_at": time(want.0), "ms": want.0, "input": null, "output": null});
        assert_eq!(got, want);
    }
    daemon.finish().await;
}
