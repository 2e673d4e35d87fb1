//! The database is there, and refuses a statement whatever its rows are.

use std::time::Duration;

use runtraced::proto::Durability;

use super::{SpoolDir, daemon, metric, replayed, settled, wait_until};
use crate::support::events::{message, new_id, tokens};
use crate::support::pg;
use crate::support::product::on_tables_of;
use crate::support::tables::count;

/// Scenario: a product puts a rule on the messages, with which Postgres merges none of them. A message is sent again, so
/// it is merged.
/// Guarantees: the message is acked and stays in the spool, and never becomes a dead letter; other events arrive; the log
/// says once what to do, and `/readyz` says so too. Without the rule, all is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_statement_waits_for_a_person() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let dir = SpoolDir::new();
    let mut daemon = daemon(database.url(), &dir, &[]).await;
    daemon.expect_warnings("Postgres refuses a statement");
    let (run, sent) = (new_id(), new_id());
    let again = message(10, Some(run), None, sent);
    daemon.submit(vec![again.clone()]).await;
    let rule = "CREATE RULE product AS ON INSERT TO TABLE_OF_ROWS DO ALSO NOTIFY product";
    on_tables_of(&mut conn, "agent_messages", rule).await;

    let client = daemon.client().await;
    let answer = client.submit(vec![again]).await.unwrap();
    assert_eq!(answer.durability(), Durability::Spooled);
    assert!(answer.outcome.unwrap().refused.is_empty());
    assert_eq!(metric(&daemon, "runtraced_spooling").await, 1);
    let told = "ready, but Postgres refuses a statement, as the log says\n";
    assert_eq!(daemon.get("/readyz").await, (200, told.into()));
    for number in 0..20 {
        let counts = vec![tokens(20, run, new_id(), number, 1)];
        let answer = client.submit(counts).await.unwrap();
        assert!(answer.outcome.unwrap().refused.is_empty());
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    wait_until("the other events do not arrive", async || {
        count(&mut conn, "agent_token_counts").await == 20
    })
    .await;
    assert_eq!(settled(&daemon, "spooled").await, 1);
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, 0);
    let logs = daemon.logs();
    assert_eq!(logs.matches("Postgres refuses a statement").count(), 1);
    assert!(logs.contains("SQLSTATE 0A000"), "{logs}");

    let gone = "DROP RULE product ON TABLE_OF_ROWS";
    on_tables_of(&mut conn, "agent_messages", gone).await;
    replayed(&daemon).await;
    wait_until("it is not well", async || {
        daemon.get("/readyz").await == (200, "ready\n".into())
    })
    .await;
    assert_eq!(count(&mut conn, "agent_messages").await, 1);
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, 0);
    daemon.finish().await;
}
