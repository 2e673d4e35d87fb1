//! The database is there, and the spool does not get emptier.

use std::time::{Duration, Instant};

use super::poison::{marked, when_marked};
use super::{SpoolDir, daemon, metric, replayed, spool_frames, wait_until};
use crate::alerts::assert_firing;
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::tables::count;

/// Scenario: for more than a minute the only spooled event makes Postgres sleep beyond every deadline.
/// Guarantees: after a minute `/readyz`, `status`, the metrics and the log say that the spool is
/// stalled. Once Postgres sleeps no more, all of them say that it is well, and the event arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_does_not_move_for_a_minute_is_told() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let sleep = "PERFORM pg_sleep(1000)";
    when_marked(&mut conn, "agent_messages", "content", sleep).await;
    let dir = SpoolDir::new();
    spool_frames(&dir, [vec![marked()]]);
    let begin = Instant::now();
    let mut daemon = daemon(database.url(), &dir, &[]).await;
    daemon.expect_warnings("the spool is stalled");
    let stalled = async || {
        // The gate is closed for a moment after each attempt that is given up.
        daemon.get("/readyz").await == (200, "ready, but the spool is stalled\n".into())
    };
    let deadline = begin + Duration::from_secs(180);
    while !stalled().await {
        assert!(Instant::now() < deadline, "{}", daemon.logs());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(begin.elapsed() >= Duration::from_secs(60));
    assert_eq!(metric(&daemon, "runtraced_spool_stalled").await, 1);
    assert_firing(&daemon, &["RuntracedReplayStuck"]).await;
    let status = ["status", "--http", daemon.http_address()];
    let (code, said) = runtraced(&status, database.url()).await;
    assert!(code == 1 && said.contains("STALLED"), "{said}");
    let told = "the database is there and commits none of its events";
    assert!(daemon.logs().contains(told), "{}", daemon.logs());

    let awake = "DROP TRIGGER test_agent_messages ON agent_messages";
    sqlx::raw_sql(awake).execute(&mut conn).await.unwrap();
    replayed(&daemon).await;
    wait_until("it is not well", async || {
        daemon.get("/readyz").await == (200, "ready\n".into())
    })
    .await;
    assert_eq!(metric(&daemon, "runtraced_spool_stalled").await, 0);
    assert_eq!(count(&mut conn, "agent_messages").await, 1);
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, 0);
    daemon.finish().await;
}
