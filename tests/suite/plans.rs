//! What the writers' statements read, as the tables grow under a session.

use std::time::Duration;

use runtraced::proto::Event;
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_started, step};
use crate::support::pg;
use crate::support::tables::count;

const STEPS: u64 = 5_000;

fn steps(run: Uuid, count: u64) -> Vec<Event> {
    (0..count).map(|_| step(10, 20, run, new_id())).collect()
}

/// Scenario: a session's statements are planned while the tables are empty; then
/// a run of 5,000 steps comes, twice.
/// Expected: repeated steps are found by their ids, not each among all of its run:
/// that would be 25 million rows.
#[tokio::test]
async fn plans_of_an_empty_database_do_not_outlive_it() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--writers", "1"]).await;
    let run = new_id();
    let first = steps(run, 1);
    daemon.submit(vec![run_started(0, run)]).await;
    // A plan is kept from the sixth execution on.
    for _ in 0..8 {
        daemon.submit(first.clone()).await;
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    let many = steps(run, STEPS);
    assert_eq!(daemon.submit(many.clone()).await.committed, STEPS);
    for _ in 0..2 {
        assert_eq!(daemon.submit(many.clone()).await.duplicate, STEPS);
    }
    // What a session read is counted when it ends, at the latest.
    daemon.finish().await;
    let connection = &mut database.connect().await;
    let read = "(SELECT idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'agent_steps') AS s (n) WHERE n > 200000";
    assert_eq!(count(connection, read).await, 0);
}
