//! What is lost when runs are in different slots.

use std::time::{Duration, Instant};

use runtraced::proto::RefusalCode;
use serde_json::json;
use sqlx::Connection as _;
use uuid::Uuid;

use super::{database, runs_apart, slot_of};
use crate::retention::rows::run_sql;
use crate::support::daemon::Daemon;
use crate::support::events::{approval_requested, id, message, new_id, run_started, step};
use crate::support::tables::value;
use crate::support::valid;

/// Scenario: two runs of different slots name one step; a message comes first without its run, and then with it.
/// Guarantees: the step is stored with each run, and the message twice. Neither is refused.
#[tokio::test(flavor = "multi_thread")]
async fn ids_in_two_slots_are_two_rows() {
    let (database, mut conn) = database().await;
    let daemon = Daemon::start(database.url()).await;
    let [one, other, session] = runs_apart(&mut conn).await;
    let (shared, said) = (new_id(), new_id());
    let events = vec![
        run_started(0, one),
        run_started(0, other),
        step(1, 2, one, shared),
        step(1, 2, other, shared),
        message(3, None, Some(session), said),
        message(3, Some(one), Some(session), said),
    ];
    let all = events.len() as u64;
    assert_eq!(daemon.submit(events).await.committed, all);
    let steps = format!("SELECT count(*) FROM agent_steps WHERE id = '{shared}'");
    assert_eq!(value(&mut conn, &steps).await, json!(2));
    let messages = format!("SELECT count(*) FROM agent_messages WHERE id = '{said}'");
    assert_eq!(value(&mut conn, &messages).await, json!(2));
    // A token count names its step by the id alone: the step of its own run is meant.
    let count = format!(
        "INSERT INTO agent_token_counts (run_id, step_id, model, input) VALUES ('{one}', '{shared}', 'm', 7)"
    );
    run_sql(&mut conn, &count).await;
    for (costs, rows) in [
        ("agent_token_costs", 1),
        ("run_costs", 2),
        ("daily_costs", 1),
    ] {
        let found = format!("SELECT count(*) FROM {costs}");
        assert_eq!(value(&mut conn, &found).await, json!(rows), "{costs}");
    }
    let sums = format!(
        "SELECT sum(calls) FROM run_sums_of(ARRAY['{one}', '{other}']::uuid[], 'calls', '15 minutes', true)"
    );
    assert!(value(&mut conn, &sums).await.is_number());
    daemon.finish().await;
}

/// Scenario: an approval of a run is decided in the name of a run of another slot.
/// Guarantees: that is refused, and the approval stays one row and pending.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers_for_a_run_of_another_slot() {
    let (database, mut conn) = database().await;
    let daemon = Daemon::start(database.url()).await;
    let [mine, theirs] = runs_apart(&mut conn).await;
    let asked = new_id();
    let request = vec![run_started(0, theirs), approval_requested(1, theirs, asked)];
    assert_eq!(daemon.submit(request).await.committed, 2);
    let forged = valid::approval_decided(|decision| {
        (decision.approval_id, decision.run_id) = (id(asked), id(mine));
        (decision.session_id, decision.decided_by) = (Vec::new().into(), Vec::new().into());
    });
    let outcome = daemon.submit(vec![run_started(0, mine), forged]).await;
    let codes: Vec<_> = outcome.refused.iter().map(|one| one.code()).collect();
    assert_eq!(codes, [RefusalCode::IdConflict], "{outcome:?}");
    let found = format!("SELECT jsonb_agg(status) FROM approvals WHERE id = '{asked}'");
    assert_eq!(value(&mut conn, &found).await, json!(["pending"]));
    daemon.finish().await;
}

/// Scenario: a batch that names a new session waits for its run, which somebody holds; a run of another slot
/// names the same session.
/// Guarantees: the other run is committed meanwhile, for its writer does not wait for the session.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_session_does_not_make_the_writers_of_other_slots_wait() {
    let (database, mut conn) = database().await;
    let daemon = Daemon::with_args(database.url(), &["--spool-bytes=0"]).await;
    let runs: [Uuid; 2] = runs_apart(&mut conn).await;
    let started = runs.map(|run| run_started(0, run)).to_vec();
    // The first write tells the daemon of slots, and the next one the writer of each slot.
    assert_eq!(daemon.submit(started).await.committed, 2);
    let steps = runs.map(|run| step(1, 2, run, new_id())).to_vec();
    assert_eq!(daemon.submit(steps).await.committed, 2);
    let slot = slot_of(&mut conn, runs[0]).await;
    let hold = format!(
        "SELECT FROM runtraced_{:0>2}.agent_runs WHERE id = '{}' FOR UPDATE",
        slot.to_string(),
        runs[0]
    );
    let mut holder = conn.begin().await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(hold))
        .execute(&mut *holder)
        .await
        .unwrap();
    let session = new_id();
    let name_session = |run| {
        let say = |millis| message(millis, Some(run), Some(session), new_id());
        vec![say(1), say(2)]
    };
    let (held, ()) = tokio::join!(daemon.submit(name_session(runs[0])), async {
        let mut watch = database.connect().await;
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                       AND datname = current_database()";
        let until = Instant::now() + Duration::from_secs(30);
        while value(&mut watch, waiting).await == json!(0) {
            assert!(Instant::now() < until, "nobody waits");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let other = daemon.submit(name_session(runs[1]));
        let other = tokio::time::timeout(Duration::from_secs(20), other).await;
        assert_eq!(other.expect("it waits for the session").committed, 2);
        holder.commit().await.unwrap();
    });
    assert_eq!(held.committed, 2);
    daemon.finish().await;
}
