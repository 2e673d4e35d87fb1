//! Runs with so many rows that their writers leave work to the sweeper.

use std::time::Duration;

use runtraced::proto::event::Event as Body;
use runtraced::proto::{EndStatus, Event, StepType};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{IMPATIENT, abandoned, run_row, time};
use crate::support::daemon::Daemon;
use crate::support::events::{
    details, heartbeat, id, new_id, run_ended, run_started, started_with, step, step_ended,
    step_started, tokens,
};
use crate::support::pg;
use crate::support::product::{before_update, execute};
use crate::support::tables::{eventually, row};

/// More steps than a writer works on at once.
const STEPS: usize = 2_500;
/// Its sweeper does not sweep while the test runs.
const NO_SWEEPS: [&str; 2] = ["--sweep-interval", "3600"];
const OFTEN: [&str; 2] = ["--sweep-interval", "0.1"];

fn open_steps(run: Uuid) -> Vec<Event> {
    let steps = (0..STEPS).map(|_| step_started(100, run, new_id()));
    [run_started(0, run)].into_iter().chain(steps).collect()
}

/// How many steps of a run are open and how many are closed with it, and their latest end.
fn steps_query(run: Uuid) -> String {
    format!(
        "SELECT count(*) FILTER (WHERE status = 'running' AND duration_ms IS NULL) AS open, count(*) FILTER (WHERE closed_with_run) AS closed,
                (extract(epoch FROM max(ended_at)) * 1000000)::bigint AS ended_at
         FROM agent_steps WHERE run_id = '{run}'"
    )
}

async fn settled(conn: &mut PgConnection, run: Uuid) {
    let query = format!("SELECT settle_at FROM agent_runs WHERE id = '{run}'");
    eventually(conn, &query, json!({"settle_at": null})).await;
}

/// Scenario: a run with thousands of open steps ends, and then gets later ends; nobody sweeps.
/// Then a daemon sweeps, and a better end arrives.
/// Guarantees: no end works on the steps at once; the sweeper closes them all, with exact totals,
/// and the steps follow the better end.
#[tokio::test(flavor = "multi_thread")]
async fn the_sweeper_closes_the_steps_of_a_large_run() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let run = new_id();
    let daemon = Daemon::with_args(database.url(), &NO_SWEEPS).await;
    daemon.submit(open_steps(run)).await;
    daemon.submit(vec![tokens(300, run, new_id(), 8, 9)]).await;
    for end in 1..5 {
        let ended = run_ended(end * 1_000, run, EndStatus::Completed);
        assert_eq!(daemon.submit(vec![ended]).await.committed, 1);
    }
    let open = json!({"open": STEPS, "closed": 0, "ended_at": null});
    assert_eq!(row(&mut conn, &steps_query(run)).await, open);
    let summary = format!("SELECT status, tokens_input FROM run_summary WHERE run_id = '{run}'");
    let want = json!({"status": "completed", "tokens_input": 8});
    assert_eq!(row(&mut conn, &summary).await, want);
    daemon.finish().await;

    let daemon = Daemon::with_args(database.url(), &OFTEN).await;
    settled(&mut conn, run).await;
    let closed = |millis| json!({"open": 0, "closed": STEPS, "ended_at": time(millis)});
    assert_eq!(row(&mut conn, &steps_query(run)).await, closed(4_000));
    let want = json!({"status": "completed", "by": "client", "ended_at": time(4_000), "ms": 4_000, "input": 8, "output": 9});
    assert_eq!(run_row(&mut conn, run).await, want);

    let better = run_ended(9_000, run, EndStatus::Completed);
    daemon.submit(vec![better]).await;
    settled(&mut conn, run).await;
    assert_eq!(row(&mut conn, &steps_query(run)).await, closed(9_000));
    daemon.finish().await;
}

/// Scenario: a run with thousands of open steps falls silent; then a heartbeat comes; then its end.
/// Guarantees: it is abandoned, reopened with its steps, and ends; its steps follow each time.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_run_is_abandoned_and_reopened() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let run = new_id();
    let daemon = Daemon::with_args(database.url(), &OFTEN).await;
    let mut events = open_steps(run);
    events[0] = started_with(events[0].clone(), |started| {
        started.timeout = Some(prost_types::Duration {
            seconds: 3,
            nanos: 0,
        });
    });
    daemon.submit(events).await;
    abandoned(&mut conn, run).await;
    let closed = json!({"open": 0, "closed": STEPS, "ended_at": time(100)});
    eventually(&mut conn, &steps_query(run), closed).await;
    assert_eq!(daemon.metrics().await["runtraced_runs_abandoned_total"], 1);

    daemon.submit(vec![heartbeat(200, run)]).await;
    let open = json!({"open": STEPS, "closed": 0, "ended_at": null});
    eventually(&mut conn, &steps_query(run), open).await;

    let ended = run_ended(700, run, EndStatus::Failed);
    daemon.submit(vec![ended]).await;
    let closed = json!({"open": 0, "closed": STEPS, "ended_at": time(700)});
    eventually(&mut conn, &steps_query(run), closed).await;
    daemon.finish().await;
}

/// A call that a bridge sent.
fn call(run: Uuid, own: Uuid, parent: Option<Uuid>, ended: i64) -> Event {
    let mut event = step(10, ended, run, own);
    if let Some(Body::StepEnded(end)) = &mut event.event {
        let mut known = details("call");
        known.step_type = StepType::LlmCall.into();
        known.parent_step_id = parent.map(id).unwrap_or_default();
        known.parent_may_be_alias = true;
        end.details = Some(known);
    }
    event
}

fn counted(run: Uuid, step: Uuid, count: Uuid, input: i64) -> Event {
    let mut event = tokens(20, run, count, input, 5);
    if let Some(Body::TokenCount(count)) = &mut event.event {
        count.step_id = id(step);
    }
    event
}

/// Scenario: a large run with a call below a call ends. Then parts of it come again, changed and
/// unchanged: the hidden call with a later end, and its token count with another number.
/// Guarantees: one of the two calls shows and its tokens count once, each time.
#[tokio::test(flavor = "multi_thread")]
async fn calls_of_a_large_run_show_once() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let daemon = Daemon::with_args(database.url(), &OFTEN).await;
    let [run, outer, inner, one, two] = [(); 5].map(|()| new_id());
    let others = (0..STEPS).map(|_| step(1, 2, run, new_id()));
    let mut events: Vec<Event> = [run_started(0, run)].into_iter().chain(others).collect();
    events.extend([
        call(run, outer, None, 30),
        call(run, inner, Some(outer), 20),
        counted(run, outer, one, 100),
        counted(run, inner, two, 90),
        run_ended(40, run, EndStatus::Completed),
    ]);
    daemon.submit(events).await;
    let query = format!(
        "SELECT r.total_tokens_input AS tokens, r.views_shown AS shown,
                (SELECT step_type || ' ' || coalesce(kind, '') FROM agent_steps WHERE id = '{inner}') AS inner,
                (SELECT step_type FROM agent_steps WHERE id = '{outer}') AS outer,
                (SELECT rollup FROM agent_token_counts WHERE id = '{two}') AS twice
         FROM agent_runs r WHERE r.id = '{run}'"
    );
    let want = json!({"tokens": 100, "shown": true, "inner": "other view", "outer": "llm_call", "twice": true});
    eventually(&mut conn, &query, want.clone()).await;
    settled(&mut conn, run).await;
    daemon
        .submit(vec![
            call(run, inner, Some(outer), 25),
            counted(run, inner, two, 91),
        ])
        .await;
    settled(&mut conn, run).await;
    assert_eq!(row(&mut conn, &query).await, want);
    let stored = format!(
        "SELECT own_view ->> 'step_type' AS own, duration_ms AS ms,
                (SELECT input FROM agent_token_counts WHERE id = '{two}') AS input
         FROM agent_steps WHERE id = '{inner}'"
    );
    let told = json!({"own": "llm_call", "ms": 15, "input": 91});
    assert_eq!(row(&mut conn, &stored).await, told);
    let again = daemon
        .submit(vec![
            call(run, inner, Some(outer), 25),
            counted(run, inner, two, 91),
        ])
        .await;
    assert_eq!(again.committed, 0);
    daemon.finish().await;
}

/// Scenario: a rule of the product does not let one of two silent runs fail, for some seconds.
/// Guarantees: the other one is closed at once. The one is tried again, and a warning names it.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_be_settled_delays_no_other() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let [stuck, other] = [(); 2].map(|()| new_id());
    let body = format!(
        "IF NEW.id = '{stuck}' AND NEW.status = 'failed' THEN RAISE EXCEPTION 'not yet'; END IF; RETURN NEW;"
    );
    before_update(&mut conn, "agent_runs", &body).await;
    let mut daemon = Daemon::with_args(database.url(), &IMPATIENT).await;
    daemon.expect_warnings("a run cannot be settled");
    daemon
        .submit(vec![
            step_started(5, stuck, new_id()),
            step_ended(9, other, new_id()),
        ])
        .await;
    abandoned(&mut conn, other).await;
    // It has failed three times by then.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(run_row(&mut conn, stuck).await["status"], "running");
    execute(&mut conn, "DROP TRIGGER product ON agent_runs".into()).await;
    abandoned(&mut conn, stuck).await;
    assert_eq!(run_row(&mut conn, stuck).await["ended_at"], time(5));
    daemon.finish().await;
}
