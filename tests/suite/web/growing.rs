//! What reading costs while the tables grow under the page.

use sqlx::raw_sql;

use super::client::get;
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_started};
use crate::support::pg;
use crate::support::tables::count;

/// Scenario: somebody looks at the list while there are no messages; then 20,000 come, and Postgres
/// has not analysed them yet.
/// Guarantees: the next look finds those of its runs by the index. A plan that was made for the empty
/// table would read all of them for each run.
#[tokio::test]
async fn a_list_does_not_read_tables_from_end_to_end_once_they_have_grown() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    raw_sql("ALTER TABLE agent_messages SET (autovacuum_enabled = off)")
        .execute(&mut conn)
        .await
        .unwrap();
    raw_sql("VACUUM ANALYZE agent_messages")
        .execute(&mut conn)
        .await
        .unwrap();
    let daemon = Daemon::start(database.url()).await;
    let runs = [new_id(), new_id()];
    daemon
        .submit(runs.map(|run| run_started(0, run)).into())
        .await;
    // A plan is kept from the sixth execution on.
    for _ in 0..8 {
        assert_eq!(get(&daemon, "/api/runs").await.ids("run_id").len(), 2);
    }
    sqlx::query(
        "INSERT INTO agent_messages (id, run_id, role, content, created_at)
         SELECT gen_random_uuid(), $1, 'user', 'hello', now() FROM generate_series(1, 20000)",
    )
    .bind(runs[0])
    .execute(&mut conn)
    .await
    .unwrap();
    let read = "(SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'agent_messages') AS s (n) WHERE n >= 20000";
    assert_eq!(get(&daemon, "/api/runs").await.ids("run_id").len(), 2);
    // What a session read is counted when it ends, at the latest.
    daemon.finish().await;
    assert_eq!(count(&mut conn, read).await, 0);
}
