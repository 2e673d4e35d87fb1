//! Root spans that are not steps.

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, EndStatus, Event};
use serde_json::json;
use uuid::Uuid;

use super::{alias, in_every_order, observed, root_ended, step_below};
use crate::support::daemon::Daemon;
use crate::support::events::{at, new_id, run_ended, run_started, step_started};
use crate::support::pg;
use crate::support::tables::{count, eventually, row};

fn root(run: Uuid, of: Uuid, name: &str, ended: i64) -> Event {
    let mut event = alias(run, of, None, None);
    match &mut event.event {
        Some(Body::StepAliased(aliased)) => {
            aliased.root = Some(proto::AliasedRoot {
                started_at: Some(at(5)),
                ended_at: Some(at(ended)),
                status: EndStatus::Failed.into(),
                error: Some("it broke".into()),
                name: name.into(),
            });
        }
        other => panic!("{other:?}"),
    }
    event
}

fn query(run: Uuid) -> String {
    format!(
        "SELECT status, finalized_by AS by, name, error, duration_ms AS ms, started_at IS NOT NULL AS began,
                (SELECT jsonb_agg(s.status) FROM agent_steps s WHERE s.run_id = r.id) AS steps
         FROM agent_runs r WHERE id = '{run}'"
    )
}

/// Scenario: a root that is not a step, a step that is still open, and an
/// observation of the run; in every order.
/// Guarantees: the root ends the run and the step. Its name is shown only if there
/// is no better one.
#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_not_a_step_ends_its_run() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    for named in [None, Some("better")] {
        in_every_order(
            &daemon,
            &mut conn,
            |&[run, step, of]| {
                [
                    root(run, of, "GET /chat", 1_005),
                    step_started(10, run, step),
                    observed(20, run, 5, |told| told.name = named.map(str::to_owned)),
                ]
            },
            async |conn, ids| row(conn, &query(ids[0])).await,
            |_| {
                json!({"status": "failed", "by": "root_span", "name": named.unwrap_or("GET /chat"), "error": "it broke",
                       "ms": 1_000, "began": true, "steps": ["failed"]})
            },
        )
        .await;
    }
    daemon.finish().await;
}

/// Scenario: a root that is not a step, a root that is a step and ends earlier, and
/// the client's own end, which is the earliest; in every order.
/// Guarantees: the client's end wins; without it, the end of the later root.
#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_not_a_step_yields_like_any_root() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    for client in [true, false] {
        in_every_order(
            &daemon,
            &mut conn,
            |&[run, of]| {
                let first = if client {
                    run_ended(50, run, EndStatus::Completed)
                } else {
                    root_ended(50, run, |_| {})
                };
                [
                    root(run, of, "root", 1_005),
                    root_ended(500, run, |end| end.started_at = Some(at(7))),
                    first,
                    observed(1, run, 0, |_| {}),
                ]
            },
            async |conn, ids| {
                let query = format!(
                    "SELECT finalized_by AS by, duration_ms AS ms FROM agent_runs WHERE id = '{}'",
                    ids[0]
                );
                row(conn, &query).await
            },
            |_| match client {
                true => json!({"by": "client", "ms": 45}),
                false => json!({"by": "root_span", "ms": 1_000}),
            },
        )
        .await;
    }
    daemon.finish().await;
}

/// Scenario: only the root of a trace without any agent's work.
/// Guarantees: there is no run.
#[tokio::test(flavor = "multi_thread")]
async fn a_root_alone_makes_no_run() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let run = new_id();
    daemon
        .submit(vec![
            root(run, new_id(), "GET /health", 9),
            alias(run, new_id(), None, None),
        ])
        .await;
    let mut conn = database.connect().await;
    assert_eq!(count(&mut conn, "agent_runs").await, 0);
    assert_eq!(count(&mut conn, "agent_step_aliases").await, 2);
    daemon.finish().await;
}

/// Scenario: a root arrives before its run. Then only events without a mark of a
/// bridge arrive, and the run becomes silent.
/// Guarantees: the sweeper ends the run by its root and does not mark it as
/// abandoned.
#[tokio::test(flavor = "multi_thread")]
async fn the_sweeper_ends_a_silent_run_by_its_root() {
    let database = pg::database().await;
    let args = ["--run-timeout", "1", "--sweep-interval", "0.1"];
    let daemon = Daemon::with_args(database.url(), &args).await;
    let (run, of) = (new_id(), new_id());
    daemon.submit(vec![root(run, of, "root", 1_005)]).await;
    daemon
        .submit(vec![run_started(10, run), step_started(10, run, new_id())])
        .await;
    let mut conn = database.connect().await;
    let want = json!({"status": "failed", "by": "root_span", "name": null, "error": "it broke", "ms": 995,
                      "began": true, "steps": ["failed"]});
    eventually(&mut conn, &query(run), want).await;
    assert_eq!(daemon.metrics().await["runtraced_runs_abandoned_total"], 0);
    daemon.finish().await;
}

/// Scenario: one daemon writes the roots and aliases of many runs while another
/// writes the runs, with steps below the aliases.
/// Guarantees: neither misses the events of the other. Each run has ended, and each
/// step is at the top.
#[tokio::test(flavor = "multi_thread")]
async fn an_alias_and_its_run_do_not_miss_each_other() {
    let database = pg::database().await;
    let daemons = [
        Daemon::start(database.url()).await,
        Daemon::start(database.url()).await,
    ];
    let mut conn = database.connect().await;
    for round in 0..40 {
        let ids: Vec<[Uuid; 3]> = (0..5).map(|_| [(); 3].map(|()| new_id())).collect();
        let aliases = ids.iter().map(|&[run, of, _]| root(run, of, "root", 1_005));
        let steps = ids
            .iter()
            .map(|&[run, of, step]| step_below(run, step, Some(of)));
        let (aliases, steps): (Vec<_>, Vec<_>) = (aliases.collect(), steps.collect());
        tokio::join!(daemons[0].submit(aliases), daemons[1].submit(steps));
        let open = "agent_runs WHERE status = 'running'";
        assert_eq!(count(&mut conn, open).await, 0, "round {round}");
        let below = "agent_steps WHERE parent_step_id IS NOT NULL";
        assert_eq!(count(&mut conn, below).await, 0, "round {round}");
    }
    for daemon in daemons {
        daemon.finish().await;
    }
}

/// Scenario: a step names the root span as its parent. Then the root ends the run.
/// Guarantees: while the run is live, the parent is missing. After the root, which
/// is the run itself, ended it, the views no longer report a missing parent.
#[tokio::test(flavor = "multi_thread")]
async fn children_of_a_root_span_have_no_missing_parent() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (run, child, root) = (new_id(), new_id(), new_id());
    let query = format!(
        "SELECT depth, 'parent_missing' = ANY (flags) AS missing FROM run_timeline
         WHERE run_id = '{run}' AND item = 'step'"
    );
    daemon
        .submit(vec![step_below(run, child, Some(root))])
        .await;
    let found = row(&mut conn, &query).await;
    assert_eq!(found, json!({"depth": 0, "missing": true}));
    daemon.submit(vec![root_ended(20, run, |_| ())]).await;
    let found = row(&mut conn, &query).await;
    assert_eq!(found, json!({"depth": 0, "missing": false}));
    daemon.finish().await;
}
