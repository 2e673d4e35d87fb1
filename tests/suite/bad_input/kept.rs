//! What is odd and kept, with a mark.

use runtraced::proto::event::Event as Body;
use runtraced::proto::{ApprovalStatus, EndStatus, Event};
use serde_json::json;

use super::{finish, refused};
use crate::support::daemon::Daemon;
use crate::support::events::{
    approval_requested, at, heartbeat, id, message, new_id, run_ended, run_started, step,
    step_ended, step_started, tokens,
};
use crate::support::tables::row;
use crate::support::{pg, valid};

/// Scenario: a run and two steps, one sent whole and one as start and end, that
/// ended before they started.
/// Guarantees: kept as told, with duration 0 and a flag in both views.
#[tokio::test(flavor = "multi_thread")]
async fn ended_before_started_is_kept_with_duration_0_and_a_flag() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (run, whole, parts) = (new_id(), new_id(), new_id());
    let events = [
        run_started(9_000, run),
        step(5_000, 4_000, run, whole),
        step_started(7_000, run, parts),
        step_ended(6_000, run, parts),
        run_ended(1_000, run, EndStatus::Completed),
    ];
    for event in events {
        let outcome = daemon.submit(vec![event]).await;
        assert_eq!(refused(&outcome), []);
    }
    let query = "SELECT status, started_at, ended_at, duration_ms, flags FROM run_summary";
    let want = json!({
        "status": "completed", "duration_ms": 0, "flags": ["ended_before_started"],
        "started_at": "2026-01-01T00:00:09+00:00", "ended_at": "2026-01-01T00:00:01+00:00",
    });
    assert_eq!(row(&mut conn, query).await, want);
    for (step, started_at, ended_at) in [(whole, "05", "04"), (parts, "07", "06")] {
        let query = format!(
            "SELECT t.status, s.started_at, t.ended_at, s.duration_ms, t.duration_ms AS shown,
                    'ended_before_started' = ANY (t.flags) AS flagged
             FROM run_timeline t JOIN agent_steps s USING (id) WHERE id = '{step}'"
        );
        let want = json!({
            "status": "completed", "duration_ms": 0, "shown": 0, "flagged": true,
            "started_at": format!("2026-01-01T00:00:{started_at}+00:00"),
            "ended_at": format!("2026-01-01T00:00:{ended_at}+00:00"),
        });
        assert_eq!(row(&mut conn, &query).await, want);
    }
    finish(daemon).await;
}

/// Scenario: a customer, a user and a decider that are in no table, and those
/// that are.
/// Guarantees: the rows are kept; an unknown id goes to the metadata beside
/// what the client put there, a known one to its column.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_customers_users_and_deciders_go_to_the_metadata() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (known, unknown) = (new_id(), new_id());
    for insert in [
        "INSERT INTO customers (id, name, arr) VALUES ($1, 'c', 1)",
        "INSERT INTO users (id) VALUES ($1)",
    ] {
        sqlx::query(insert)
            .bind(known)
            .execute(&mut conn)
            .await
            .unwrap();
    }
    let mut events = Vec::new();
    for who in [known, unknown] {
        events.push(valid::run_started(|e| {
            e.name = Some(who.to_string());
            e.customer_id = id(who);
        }));
        events.push(valid::session_upsert(|e| {
            e.title = Some(who.to_string());
            (e.customer_id, e.user_id) = (id(who), id(who));
        }));
        events.push(valid::approval_decided(|e| {
            e.notes = Some(who.to_string());
            e.decided_by = id(who);
        }));
    }
    let outcome = daemon.submit(events).await;
    assert_eq!((outcome.committed, refused(&outcome)), (6, vec![]));
    let found = |who: uuid::Uuid| {
        format!(
            "SELECT r.customer_id AS run_customer, r.metadata AS run_metadata,
                    s.customer_id AS session_customer, s.user_id AS session_user, s.metadata AS session_metadata,
                    a.decided_by, a.metadata AS approval_metadata, a.status
             FROM agent_runs r, agent_sessions s, approvals a
             WHERE r.name = '{who}' AND s.title = '{who}' AND a.notes = '{who}'"
        )
    };
    let want = json!({
        "run_customer": known, "run_metadata": {"of": "run"},
        "session_customer": known, "session_user": known, "session_metadata": {"of": "session"},
        "decided_by": known, "approval_metadata": null, "status": "approved",
    });
    assert_eq!(row(&mut conn, &found(known)).await, want);
    let want = json!({
        "run_customer": null, "run_metadata": {"of": "run", "unresolved_customer_id": unknown},
        "session_customer": null, "session_user": null,
        "session_metadata": {"of": "session", "unresolved_customer_id": unknown, "unresolved_user_id": unknown},
        "decided_by": null, "approval_metadata": {"unresolved_decided_by": unknown}, "status": "approved",
    });
    assert_eq!(row(&mut conn, &found(unknown)).await, want);
    finish(daemon).await;
}

/// Scenario: one id names a session, a run, a step, a message, a token count
/// and an approval.
/// Guarantees: ids are unique per kind only; all are kept.
#[tokio::test(flavor = "multi_thread")]
async fn one_id_may_name_rows_of_every_kind() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let one = new_id();
    let mut decided = valid::approval_decided(|e| {
        (e.approval_id, e.run_id, e.session_id) = (id(one), id(one), id(one));
        e.status = ApprovalStatus::Rejected.into();
    });
    decided.time = Some(at(9_000));
    let events: Vec<Event> = vec![
        valid::session_upsert(|e| e.session_id = id(one)),
        valid::run_started(|e| (e.run_id, e.session_id) = (id(one), id(one))),
        step(1, 2, one, one),
        message(3, Some(one), Some(one), one),
        tokens(4, one, one, 5, 6),
        approval_requested(7, one, one),
        decided,
        heartbeat(8_000, one),
        run_ended(10_000, one, EndStatus::Completed),
    ];
    let outcome = daemon.submit(events.clone()).await;
    assert_eq!((outcome.committed, refused(&outcome)), (9, vec![]));
    let again = daemon.submit(events).await;
    assert_eq!((again.duplicate, refused(&again)), (9, vec![]));
    let query = format!(
        "SELECT (SELECT count(*) FROM agent_sessions WHERE id = r.id) AS sessions, r.status, r.total_tokens_input,
                (SELECT name FROM agent_steps WHERE id = r.id) AS step,
                (SELECT content FROM agent_messages WHERE id = r.id) AS message,
                (SELECT output FROM agent_token_counts WHERE id = r.id) AS output,
                (SELECT status FROM approvals WHERE id = r.id) AS approval
         FROM agent_runs r WHERE id = '{one}'"
    );
    let want = json!({
        "sessions": 1, "status": "completed", "total_tokens_input": 5, "step": "tool", "message": "hello",
        "output": 6, "approval": "rejected",
    });
    assert_eq!(row(&mut conn, &query).await, want);
    finish(daemon).await;
}

/// Scenario: a message of a session alone, and one of a run alone.
/// Guarantees: one owner is enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_needs_only_one_owner() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (run, session) = (new_id(), new_id());
    let mut of_run = message(1, Some(run), None, new_id());
    if let Some(Body::MessageAppended(message)) = &mut of_run.event {
        message.content = None;
    }
    let of_session = message(2, None, Some(session), new_id());
    let outcome = daemon.submit(vec![of_run, of_session]).await;
    assert_eq!((outcome.committed, refused(&outcome)), (2, vec![]));
    let query = "SELECT json_agg(json_build_array(run_id, session_id, content) ORDER BY created_at) AS m FROM agent_messages";
    let want = json!({"m": [[run, null, null], [null, session, "hello"]]});
    assert_eq!(row(&mut conn, query).await, want);
    finish(daemon).await;
}
