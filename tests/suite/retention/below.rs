//! Runs that came before the runs that started them.

use runtraced::proto::RefusalCode;
use uuid::Uuid;

use super::erased::erase;
use super::others::{add_customers, start, start_without_key};
use super::rows::{orphans, send_run, there};
use crate::support::daemon::Daemon;
use crate::support::events::{id, new_id, run_started, started_with, step};
use crate::support::pg;
use crate::support::process::runtraced;

/// Scenario: a session is erased. A grandchild of its run has come before its parent, with a child of its own, and so has a run of another
/// customer that names the same parent. Then the parent starts, below the erased run.
/// Guarantees: from then on the grandchildren are ignored, and whoever deletes next deletes them. The run of the other customer stays.
#[tokio::test(flavor = "multi_thread")]
async fn grandchildren_that_came_first_go_too() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (session, customer, late) = (new_id(), new_id(), new_id());
    add_customers(&mut conn, &[customer]).await;
    let top = send_run(&daemon, Some(session), "a").await;
    let below =
        |run, parent| started_with(run_started(0, run), |run| run.parent_run_id = id(parent));
    let [first, second, theirs] = [(); 3].map(|()| new_id());
    daemon
        .submit(vec![below(first, late), step(1, 2, first, new_id())])
        .await;
    daemon.submit(vec![below(second, first)]).await;
    start(&daemon, customer, "ann", theirs, Some(late)).await;
    let session = session.to_string();
    let (code, report) = erase(&["--session", &session, "--yes"], database.url()).await;
    assert_eq!((code, &report["rows"]["agent_runs"]), (0, &1.into()));
    let all = [top, first, second, theirs];
    assert_eq!(there(&mut conn, &all).await, [first, second, theirs]);

    let start_late = started_with(below(late, top), |run| run.customer_id = id(new_id()));
    for event in [
        start_late,
        step(3, 4, second, new_id()),
        step(3, 4, first, new_id()),
    ] {
        let outcome = daemon.submit(vec![event]).await;
        let codes: Vec<RefusalCode> = outcome.refused.iter().map(|r| r.code()).collect();
        assert_eq!(codes, [RefusalCode::RunGone]);
    }
    let (code, said) = runtraced(&["prune", "--older-than", "30d"], database.url()).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(there(&mut conn, &all).await, [theirs]);
    assert_eq!(orphans(&mut conn, first).await, 0);
    daemon.finish().await;
}

/// Scenario: a customer's key starts a run below an erased run of nobody. Runs of nobody and of another customer name it as their parent, and so
/// does one of the customer.
/// Guarantees: only the customer's own run goes with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_buries_only_its_own_runs() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (session, own, other, parent) = (new_id(), new_id(), new_id(), new_id());
    add_customers(&mut conn, &[own, other]).await;
    let top = send_run(&daemon, Some(session), "a").await;
    let [mine, theirs, nobodys]: [Uuid; 3] = [(); 3].map(|()| new_id());
    let named = serde_json::json!({"parentRunId": parent});
    start(&daemon, own, "ann", mine, Some(parent)).await;
    start_without_key(&daemon, other, theirs, named).await;
    let of_nobody = started_with(run_started(0, nobodys), |run| {
        run.parent_run_id = id(parent)
    });
    daemon.submit(vec![of_nobody]).await;
    let args = ["--session", &session.to_string(), "--yes"];
    assert_eq!(erase(&args, database.url()).await.0, 0);
    let start = serde_json::json!({"time": "2026-01-01T00:00:00Z", "runStarted": {
        "runId": parent, "agentId": "a", "parentRunId": top}});
    let header = format!("runtraced-customer: {own}");
    let body = start.to_string();
    let answer =
        crate::support::otlp::post(&daemon, "/v1/events", &[&header], body.as_bytes()).await;
    assert_eq!(answer.json()["refused"].as_array().map(Vec::len), Some(1));
    let (code, said) = runtraced(&["prune", "--older-than", "30d"], database.url()).await;
    assert_eq!(code, 0, "{said}");
    let all = [mine, theirs, nobodys];
    assert_eq!(there(&mut conn, &all).await, [theirs, nobodys]);
    daemon.finish().await;
}
