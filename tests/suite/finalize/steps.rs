//! Steps when their run ends.

use runtraced::proto::EndStatus;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{open_step, run_row, step_row, time};
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_ended, run_started, step_ended, step_started, tokens};
use crate::support::pg;
use crate::support::tables::value;

/// Status and flags of the run's steps, as an engineer reads them.
async fn timeline(conn: &mut PgConnection, run: Uuid) -> Value {
    let query = format!(
        "SELECT jsonb_agg(jsonb_build_array(status, flags, duration_ms) ORDER BY position)
         FROM run_timeline WHERE run_id = '{run}' AND item = 'step'"
    );
    value(conn, &query).await
}

/// Scenario: a run ends while two of its steps are open; the end of one of them comes late, and
/// so does the start of a third, which began before the run's end, and of a fourth, after it.
/// Guarantees: while the run lives its steps are open in the timeline; the run's end closes and
/// marks them with its status; the late end corrects its step and takes the mark away; late
/// starts are closed at once, no earlier than they began; the run's own end does not move.
#[tokio::test(flavor = "multi_thread")]
async fn steps_open_at_the_end_are_closed_and_late_events_correct_them() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let [run, one, two, three, four] = [(); 5].map(|()| new_id());
    daemon
        .submit(vec![
            run_started(0, run),
            step_started(100, run, one),
            step_started(200, run, two),
        ])
        .await;
    let open = json!([["running", ["open"], null], ["running", ["open"], null]]);
    assert_eq!(timeline(&mut conn, run).await, open);
    assert_eq!(step_row(&mut conn, one).await, open_step());

    daemon
        .submit(vec![
            run_ended(1_000, run, EndStatus::Failed),
            tokens(300, run, new_id(), 8, 9),
        ])
        .await;
    let closed = json!([
        ["failed", ["closed_with_run"], 900],
        ["failed", ["closed_with_run"], 800]
    ]);
    assert_eq!(timeline(&mut conn, run).await, closed);

    daemon.submit(vec![step_ended(400, run, one)]).await;
    let corrected =
        json!({"status": "completed", "closed": null, "ms": 300, "ended_at": time(400)});
    assert_eq!(step_row(&mut conn, one).await, corrected);

    daemon
        .submit(vec![
            step_started(600, run, three),
            step_started(1_500, run, four),
        ])
        .await;
    let want = json!({"status": "failed", "closed": true, "ms": 400, "ended_at": time(1_000)});
    assert_eq!(step_row(&mut conn, three).await, want);
    let want = json!({"status": "failed", "closed": true, "ms": 0, "ended_at": time(1_500)});
    assert_eq!(step_row(&mut conn, four).await, want);
    let want = json!({"status": "failed", "by": "client", "ended_at": time(1_000), "ms": 1_000, "input": 8, "output": 9});
    assert_eq!(run_row(&mut conn, run).await, want);

    // A better end of the run takes the steps along that it closed, and no others.
    daemon
        .submit(vec![run_ended(2_000, run, EndStatus::Completed)])
        .await;
    let want = json!({"status": "completed", "closed": true, "ms": 1_800, "ended_at": time(2_000)});
    assert_eq!(step_row(&mut conn, two).await, want);
    assert_eq!(step_row(&mut conn, one).await, corrected);
    daemon.finish().await;
}
