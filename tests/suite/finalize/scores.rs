//! Scores say nothing about the life of their run.

use prost_types::Duration as ProtoDuration;
use runtraced::proto::EndStatus;
use serde_json::json;

use super::{IMPATIENT, abandoned, run_row, time};
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_ended, run_started, score, started_with, step, tokens};
use crate::support::pg;
use crate::support::tables::{count, eventually, value};

/// Scenario: a run has ended; scores arrive afterwards, before its start in time and long after its end.
/// Guarantees: they are stored, and not a byte of the run's row changes, nor what `run_summary` says of its times.
#[tokio::test(flavor = "multi_thread")]
async fn a_score_changes_nothing_of_an_ended_run() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let run = new_id();
    daemon
        .submit(vec![
            run_started(0, run),
            step(10, 20, run, new_id()),
            tokens(20, run, new_id(), 5, 7),
            run_ended(100, run, EndStatus::Completed),
        ])
        .await;
    let rows = [
        format!("SELECT xmin::text || to_jsonb(r) FROM agent_runs r WHERE id = '{run}'"),
        format!(
            "SELECT to_jsonb(s) - '{{scores,score_values}}'::text[] FROM run_summary s WHERE run_id = '{run}'"
        ),
    ];
    let mut before = Vec::new();
    for query in &rows {
        before.push(value(&mut conn, query).await);
    }
    let late = vec![
        score(-5_000, run, new_id(), 1.0),
        score(86_400_000, run, new_id(), 0.5),
    ];
    assert_eq!(daemon.submit(late.clone()).await.committed, 2);
    assert_eq!(daemon.submit(late).await.duplicate, 2);
    assert_eq!(count(&mut conn, "agent_scores").await, 2);
    for (query, before) in rows.iter().zip(before) {
        assert_eq!(value(&mut conn, query).await, before, "{query}");
    }
    daemon.finish().await;
}

/// Scenario: scores of a silent run keep arriving for longer than its timeout; more arrive when the run is
/// abandoned; then a step does.
/// Guarantees: the run is abandoned at its last event, whatever the scores' times; scores do not reopen it; the step
/// does.
#[tokio::test(flavor = "multi_thread")]
async fn a_score_is_no_sign_of_life() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--sweep-interval", "0.1"]).await;
    let mut conn = database.connect().await;
    let run = new_id();
    let start = started_with(run_started(50, run), |e| {
        e.timeout = Some(ProtoDuration {
            seconds: 1,
            nanos: 0,
        });
    });
    daemon.submit(vec![start]).await;
    let is_running = format!("agent_runs WHERE id = '{run}' AND status = 'running'");
    let mut scored = 0_i64;
    while count(&mut conn, &is_running).await > 0 {
        let sent = daemon.submit(vec![score(9_000, run, new_id(), 1.0)]).await;
        assert_eq!(sent.committed, 1);
        scored += 1;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert!(scored < 600, "scores keep the run alive");
    }
    let row = run_row(&mut conn, run).await;
    assert_eq!(
        (&row["by"], &row["ended_at"]),
        (&json!("abandoned"), &time(50))
    );
    daemon.submit(vec![score(9_000, run, new_id(), 1.0)]).await;
    assert_eq!(run_row(&mut conn, run).await, row);
    daemon.submit(vec![step(60, 70, run, new_id())]).await;
    let reopened = format!("SELECT status, finalized_by AS by FROM agent_runs WHERE id = '{run}'");
    eventually(
        &mut conn,
        &reopened,
        json!({"status": "running", "by": null}),
    )
    .await;
    daemon.finish().await;
}

/// Scenario: a run is known only by scores; of another the start arrives after its score.
/// Guarantees: the first is abandoned at the time of its latest score; the second is a run like any other.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_only_scores_name_is_a_placeholder() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &IMPATIENT).await;
    let mut conn = database.connect().await;
    let [bare, late] = [(); 2].map(|()| new_id());
    daemon
        .submit(vec![
            score(70, bare, new_id(), 1.0),
            score(40, bare, new_id(), 1.0),
            score(900, late, new_id(), 1.0),
        ])
        .await;
    let end = vec![
        run_started(10, late),
        run_ended(30, late, EndStatus::Completed),
    ];
    assert_eq!(daemon.submit(end).await.committed, 2);
    abandoned(&mut conn, bare).await;
    assert_eq!(run_row(&mut conn, bare).await["ended_at"], time(70));
    let want = json!({"status": "completed", "by": "client", "ended_at": time(30), "ms": 20, "input": null, "output": null});
    assert_eq!(run_row(&mut conn, late).await, want);
    daemon.finish().await;
}
