//! What is lost when runs are in different slots.

use serde_json::json;

use super::{database, runs_apart};
use crate::support::daemon::Daemon;
use crate::support::events::{message, new_id, run_started, step};
use crate::support::tables::value;

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
    daemon.finish().await;
}
