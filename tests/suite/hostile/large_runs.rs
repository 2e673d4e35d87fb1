//! Small events of runs that are large already.

use std::time::{Duration, Instant};

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, EndStatus, Event, StepType};
use serde_json::json;
use uuid::Uuid;

use super::{Bystander, scale};
use crate::support::daemon::Daemon;
use crate::support::events::{
    details, ended_with, event, id, new_id, run_ended, run_started, step, step_started,
};
use crate::support::pg;
use crate::support::tables::{eventually, row};

/// The most events of one `Submit`.
const MOST: usize = 32_768;
/// How long a small event may take on a busy machine. If it worked on all rows of its run, many
/// of them would take many times longer.
const LIMIT: Duration = Duration::from_secs(2);

async fn submit_all(daemon: &Daemon, events: &[Event]) {
    for events in events.chunks(MOST) {
        assert_eq!(daemon.submit(events.to_vec()).await.refused, []);
    }
}

/// Scenario: a run with 60,000 open steps, then 40 ends, each later than the one before.
/// Guarantees: none is slow, a bystander is served, and in the end all steps have the last end.
#[tokio::test(flavor = "multi_thread")]
async fn ends_of_a_run_with_many_open_steps() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let daemon = Daemon::with_args(database.url(), &["--sweep-interval", "0.5"]).await;
    let run = new_id();
    let many = 60_000 * scale();
    let steps: Vec<Event> = (0..many).map(|_| step_started(0, run, new_id())).collect();
    submit_all(&daemon, &steps).await;
    let bystander = Bystander::start(&daemon).await;
    for end in 1..=40 {
        let started = Instant::now();
        let ended = run_ended(end * 1_000, run, EndStatus::Completed);
        assert_eq!(daemon.submit(vec![ended]).await.committed, 1);
        assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());
    }
    let slowest = bystander.check(&daemon, "ends", 128).await;
    assert!(slowest < LIMIT, "{slowest:?}");
    let query = format!(
        "SELECT count(*) AS n, count(DISTINCT ended_at) AS ends, max(duration_ms) AS ms
         FROM agent_steps WHERE run_id = '{run}' AND closed_with_run"
    );
    eventually(
        &mut conn,
        &query,
        json!({"n": many, "ends": 1, "ms": 40_000}),
    )
    .await;
    daemon.finish().await;
}

fn call(run: Uuid, own: Uuid, parent: Uuid, kind: StepType) -> Event {
    let mut event = step(10, 20, run, own);
    if let Some(Body::StepEnded(end)) = &mut event.event {
        let mut known = details("call");
        known.step_type = kind.into();
        known.parent_step_id = id(parent);
        known.parent_may_be_alias = true;
        end.details = Some(known);
    }
    event
}

/// Scenario: 30,000 calls below a chain of 62 other steps, or in pairs that are each other's
/// parents; the end of their root; then 20 further calls, one by one.
/// Guarantees: none is slow, and a bystander is served.
#[tokio::test(flavor = "multi_thread")]
async fn further_calls_of_a_run_with_many_calls() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--sweep-interval", "0.5"]).await;
    for circles in [false, true] {
        let run = new_id();
        let ids: Vec<Uuid> = (0..30_062).map(|_| new_id()).collect();
        let one = |n: usize| match (circles, n) {
            (true, n) => call(run, ids[n], ids[n ^ 1], StepType::LlmCall),
            (false, 0..62) => call(run, ids[n], ids[n + 1], StepType::Other),
            (false, n) => call(run, ids[n], ids[0], StepType::ToolCall),
        };
        let events: Vec<Event> = (0..ids.len()).map(one).collect();
        submit_all(&daemon, &events).await;
        let bystander = Bystander::start(&daemon).await;
        let root = ended_with(run_ended(30, run, EndStatus::Completed), |end| {
            end.from_root_span = true;
        });
        daemon.submit(vec![root]).await;
        for _ in 0..20 {
            let started = Instant::now();
            let further = call(run, new_id(), ids[0], StepType::ToolCall);
            assert_eq!(daemon.submit(vec![further]).await.committed, 1);
            assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());
        }
        let slowest = bystander.check(&daemon, "calls", 128).await;
        assert!(slowest < LIMIT, "{slowest:?}");
    }
    daemon.finish().await;
}

/// Scenario: 30,000 steps below an alias, and then a chain of 30 further aliases, one by one, each
/// of which moves all of them.
/// Guarantees: none is slow, a bystander is served, and in the end all steps are below the last.
#[tokio::test(flavor = "multi_thread")]
async fn aliases_of_a_run_with_many_steps() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let daemon = Daemon::with_args(database.url(), &["--sweep-interval", "0.5"]).await;
    let run = new_id();
    let ids: Vec<Uuid> = (0..31).map(|_| new_id()).collect();
    let steps = (0..30_000).map(|_| call(run, new_id(), ids[0], StepType::Other));
    let events: Vec<Event> = [run_started(0, run)].into_iter().chain(steps).collect();
    submit_all(&daemon, &events).await;
    let bystander = Bystander::start(&daemon).await;
    for pair in ids.windows(2) {
        let started = Instant::now();
        let alias = proto::StepAliased {
            alias_id: id(pair[0]),
            run_id: id(run),
            step_id: id(pair[1]),
            ..Default::default()
        };
        let alias = event(15, Body::StepAliased(alias));
        assert_eq!(daemon.submit(vec![alias]).await.committed, 1);
        assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());
    }
    let slowest = bystander.check(&daemon, "aliases", 128).await;
    assert!(slowest < LIMIT, "{slowest:?}");
    let last = ids[30];
    let query = format!(
        "SELECT count(*) AS n FROM agent_steps WHERE run_id = '{run}' AND parent_step_id = '{last}'"
    );
    eventually(&mut conn, &query, json!({"n": 30_000})).await;
    let open = format!("SELECT settle_at FROM agent_runs WHERE id = '{run}'");
    eventually(&mut conn, &open, json!({"settle_at": null})).await;
    assert_eq!(row(&mut conn, &query).await, json!({"n": 30_000}));
    daemon.finish().await;
}
