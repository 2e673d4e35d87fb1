//! What is lost when runs are in different slots.

use runtraced::proto::RefusalCode;
use serde_json::json;

use super::{database, runs_apart};
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
