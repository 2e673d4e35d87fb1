//! What `runtraced erase` takes, and what it leaves to others.

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, RefusalCode};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _};
use uuid::Uuid;

use super::erased::{erase, mentions};
use super::rows::{run_sql, send_run, there};
use crate::support::daemon::Daemon;
use crate::support::events::{event, id, new_id, run_started, started_with, step};
use crate::support::otlp::post;
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::tables::count;

/// Scenario: runs of others have tombstones, or a parent that is gone: one was erased for another session, and one was only old. A
/// session is erased.
/// Guarantees: nothing of the others goes.
#[tokio::test(flavor = "multi_thread")]
async fn graves_of_others_are_left_alone() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (session, old, child) = (new_id(), new_id(), new_id());
    let mine = send_run(&daemon, Some(session), "a").await;
    let buried = send_run(&daemon, Some(new_id()), "a").await;
    let child_started = started_with(run_started(0, child), |run| run.parent_run_id = id(old));
    daemon.submit(vec![child_started]).await;
    run_sql(
        &mut conn,
        &format!("INSERT INTO ingest_tombstones (id) VALUES ('{old}'), ('{buried}')"),
    )
    .await;
    let (code, report) = erase(
        &["--session", &session.to_string(), "--yes"],
        database.url(),
    )
    .await;
    assert_eq!((code, &report["rows"]["agent_runs"]), (0, &1.into()));
    assert_eq!(
        there(&mut conn, &[mine, buried, child]).await,
        [buried, child]
    );
    daemon.finish().await;
}

/// Scenario: a session is erased while somebody has locked the child of one of its runs; later the child is free. Then another
/// child of the run starts, and a child of that one, and one whose step came first.
/// Guarantees: the first erase says that it is not done; the second one takes the child, though its parent is gone. The late
/// children are ignored, with their steps; of the last one, another erase takes the step.
#[tokio::test(flavor = "multi_thread")]
async fn children_go_with_their_parents() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (session, child) = (new_id(), new_id());
    let parent = send_run(&daemon, Some(session), "a").await;
    let below =
        |run, parent| started_with(run_started(0, run), |run| run.parent_run_id = id(parent));
    daemon.submit(vec![below(child, parent)]).await;
    let mut other = database.connect().await;
    let mut held = other.begin().await.unwrap();
    let table = pg::table_of("agent_runs", child);
    let lock = format!("SELECT FROM {table} WHERE id = $1 FOR UPDATE");
    sqlx::query(AssertSqlSafe(lock))
        .bind(child)
        .execute(&mut *held)
        .await
        .unwrap();
    let session = session.to_string();
    let args = ["--session", &session, "--yes"];
    let (code, report) = erase(&args, database.url()).await;
    assert_eq!(
        (code, &report["comes_again"]),
        (1, &true.into()),
        "{report}"
    );
    assert_eq!(there(&mut conn, &[parent, child]).await, [child]);
    held.rollback().await.unwrap();
    let (code, report) = erase(&args, database.url()).await;
    assert_eq!((code, &report["rows"]["agent_runs"]), (0, &1.into()));
    assert!(there(&mut conn, &[child]).await.is_empty());

    let (late, later, early) = (new_id(), new_id(), new_id());
    daemon.submit(vec![step(1, 2, early, new_id())]).await;
    for event in [
        below(early, parent),
        step(3, 4, early, new_id()),
        below(late, parent),
        step(1, 2, late, new_id()),
        below(later, late),
        step(1, 2, later, new_id()),
    ] {
        let outcome = daemon.submit(vec![event]).await;
        assert_eq!(outcome.refused[0].code(), RefusalCode::RunGone);
    }
    assert_eq!(there(&mut conn, &[late, later, early]).await, [early]);
    let (code, report) = erase(&args, database.url()).await;
    assert_eq!((code, &report["rows"]["agent_runs"]), (0, &1.into()));
    assert_eq!(count(&mut conn, "agent_runs").await, 0);
    daemon.finish().await;
}

/// Scenario: a session is erased; then a step of a new run comes, and only then its start, which names the session. A run that is
/// in another session gets a message that names it.
/// Guarantees: from its start on, the run is ignored, and whoever deletes next deletes it. Of the other run, only the message is
/// ignored.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_start_comes_last_goes_too() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (erased, run) = (new_id(), new_id());
    let (code, _) = erase(&["--session", &erased.to_string(), "--yes"], database.url()).await;
    assert_eq!(code, 0);
    let other = send_run(&daemon, Some(new_id()), "a").await;
    daemon.submit(vec![step(1, 2, run, new_id())]).await;
    for event in [
        started_with(run_started(0, run), |run| run.session_id = id(erased)),
        step(3, 4, run, new_id()),
        crate::support::events::message(5, Some(other), Some(erased), new_id()),
    ] {
        let outcome = daemon.submit(vec![event]).await;
        assert_eq!(outcome.refused[0].code(), RefusalCode::RunGone);
    }
    assert_eq!(
        daemon
            .submit(vec![step(5, 6, other, new_id())])
            .await
            .committed,
        1
    );
    let (code, said) = runtraced(&["prune", "--older-than", "30d"], database.url()).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(there(&mut conn, &[run, other]).await, [other]);
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, 0);
    daemon.finish().await;
}

/// Scenario: a user whom no row of `users` has is in the metadata of a session, in that of a run in upper case, in what was observed
/// of a run, in a decision about somebody else, and in dead letters: as text within JSON, and as one that only names a run that
/// another one starts.
/// Guarantees: after the erase nothing names the user; the letter of somebody else stays, and so does the decision.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_found_wherever_the_name_is() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (user, session, shouted, started) = (new_id(), new_id(), new_id(), new_id());
    let upsert = proto::SessionUpsert {
        session_id: id(session),
        metadata_json: Some(format!("{{\"user\":\"{user}\"}}")),
        ..Default::default()
    };
    let upper = user.to_string().to_uppercase();
    let parts = [
        event(0, Body::SessionUpsert(upsert)),
        started_with(run_started(0, shouted), |run| {
            run.metadata_json = Some(format!("{{\"user\":\"{upper}\"}}"));
        }),
    ];
    daemon.submit(parts.to_vec()).await;
    let observed = send_run(&daemon, None, "a").await;
    let other = send_run(&daemon, None, "a").await;
    run_sql(
        &mut conn,
        &format!(
            r#"UPDATE agent_runs SET observed = '{{"user":[1,2,"{user}"]}}' WHERE id = '{observed}';
               INSERT INTO approvals (run_id, action_type, status, notes, metadata, decided_at)
               VALUES ('{other}', 'x', 'approved', 'secret', '{{"unresolved_decided_by":"{user}"}}', now());
               INSERT INTO ingest_dead_letters (source, code, reason, payload) VALUES
                 ('test', 'x', 'x', '{{"stepEnded":{{"runId":"{started}"}}}}'),
                 ('test', 'x', 'x', '{{"runStarted":{{"runId":"{started}","metadataJson":"{{\"user\":\"{upper}\"}}"}}}}'),
                 ('test', 'x', 'x', '{{"stepEnded":{{"runId":"{other}"}}}}')"#
        ),
    )
    .await;
    let (code, report) = erase(&["--user", &upper, "--yes"], database.url()).await;
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["rows"]["agent_runs"], 2, "{report}");
    assert_eq!(report["rows"]["ingest_dead_letters"], 2, "{report}");
    assert_eq!(report["decisions"], 1, "{report}");
    assert_eq!(mentions(&mut conn, user).await, 0);
    assert_eq!(there(&mut conn, &[shouted, observed, other]).await, [other]);
    let decision = "approvals WHERE status = 'approved' AND notes IS NULL AND metadata IS NULL";
    assert_eq!(count(&mut conn, decision).await, 1);
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, 1);
    daemon.finish().await;
}

/// Scenario: aliases of runs that have not arrived: of a customer, and of nobody.
/// Guarantees: those of the customer go with the customer.
#[tokio::test(flavor = "multi_thread")]
async fn aliases_without_a_run_go_with_their_customer() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let customer = new_id();
    run_sql(
        &mut conn,
        &format!(
            "INSERT INTO agent_step_aliases (run_id, id, step_id, run_pending, tenant_id) VALUES
               (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), true, '{customer}'),
               (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), true, NULL)"
        ),
    )
    .await;
    let customer = customer.to_string();
    for flags in [&["--dry-run"][..], &["--yes"]] {
        let args = [&["--customer", &customer], flags].concat();
        let (code, report) = erase(&args, database.url()).await;
        assert_eq!(
            (code, &report["rows"]["agent_step_aliases"]),
            (0, &1.into())
        );
    }
    assert_eq!(count(&mut conn, "agent_step_aliases").await, 1);
}

/// Scenario: a session is erased. A run of one customer has a step and no start yet; another customer says that the run starts in that
/// session, then its own customer does.
/// Guarantees: only what its own customer says buries the run.
#[tokio::test(flavor = "multi_thread")]
async fn a_customer_buries_no_runs_of_another() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (own, other, erased, run) = (new_id(), new_id(), new_id(), new_id());
    run_sql(
        &mut conn,
        &format!("INSERT INTO customers (id, name, arr) VALUES ('{own}', 'own', 1), ('{other}', 'other', 1)"),
    )
    .await;
    let (code, _) = erase(&["--session", &erased.to_string(), "--yes"], database.url()).await;
    assert_eq!(code, 0);
    let send = async |customer: Uuid, event: serde_json::Value| {
        let header = format!("runtraced-customer: {customer}");
        let body = event.to_string();
        post(&daemon, "/v1/events", &[&header], body.as_bytes()).await
    };
    let beat = json!({"time": "2026-01-01T00:00:00Z", "heartbeat": {"runId": run}});
    let start = json!({"time": "2026-01-01T00:00:00Z",
        "runStarted": {"runId": run, "agentId": "a", "sessionId": erased}});
    let answer = send(own, beat).await;
    assert_eq!(answer.json()["accepted"], 1, "{}", answer.json());
    for (customer, left) in [(other, vec![run]), (own, vec![])] {
        let answer = send(customer, start.clone()).await;
        assert_eq!(answer.json()["refused"].as_array().map(Vec::len), Some(1));
        let (code, said) = runtraced(&["prune", "--older-than", "30d"], database.url()).await;
        assert_eq!(code, 0, "{said}");
        assert_eq!(there(&mut conn, &[run]).await, left);
    }
    daemon.finish().await;
}
