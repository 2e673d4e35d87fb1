//! What reading costs while the tables grow under the page.

use sqlx::{PgConnection, raw_sql};
use uuid::Uuid;

use super::client::get;
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_started};
use crate::support::pg;
use crate::support::tables::count;

/// More runs than the ten that Postgres expects where it does not look at the list of ids.
const RUNS: usize = 30;

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
    let runs: [Uuid; RUNS] = std::array::from_fn(|_| new_id());
    daemon
        .submit(runs.map(|run| run_started(0, run)).into())
        .await;
    // A plan is kept from the sixth execution on, if it seems no dearer than one for these runs alone.
    for _ in 0..8 {
        assert_eq!(get(&daemon, "/api/runs").await.ids("run_id").len(), RUNS);
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
    assert_eq!(get(&daemon, "/api/runs").await.ids("run_id").len(), RUNS);
    // What a session read is counted when it ends, at the latest.
    daemon.finish().await;
    assert_eq!(count(&mut conn, read).await, 0);
}

/// Scenario: sums of two months, which are also added up by day; somebody asks about an hour, a day and
/// a week.
/// Guarantees: what is read of the quarters is about what lies between whole days.
#[tokio::test]
async fn statistics_read_the_sums_of_their_time_alone() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    raw_sql(TWO_MONTHS).execute(&mut conn).await.unwrap();
    // One long look into the index seems cheaper than many short ones.
    raw_sql("SET random_page_cost = 1000; SET enable_seqscan = off")
        .execute(&mut conn)
        .await
        .unwrap();
    for (since, until) in [
        ("2026-02-10 10:00Z", "2026-02-10 11:00Z"),
        ("2026-02-10 10:00Z", "2026-02-11 10:00Z"),
        ("2026-02-10 10:00Z", "2026-02-17 10:00Z"),
    ] {
        let before = sums_read(&mut conn).await;
        sqlx::query("SELECT FROM run_sums_between($1::text::timestamptz, $2::text::timestamptz, 'calls', true)")
            .bind(since)
            .bind(until)
            .execute(&mut conn)
            .await
            .unwrap();
        // At most the quarters of two days, of two agents.
        let read = sums_read(&mut conn).await - before;
        assert!(read <= 2 * 96 * 2, "{since} to {until}: {read}");
    }
}

/// How many sums of quarters were read so far.
async fn sums_read(conn: &mut PgConnection) -> i64 {
    raw_sql("SELECT pg_stat_force_next_flush()")
        .execute(&mut *conn)
        .await
        .unwrap();
    sqlx::query_scalar(
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'run_sums'",
    )
    .fetch_one(conn)
    .await
    .unwrap()
}

/// A sum for each quarter of an hour and for each day: of thirty agents, of which two called models.
const TWO_MONTHS: &str = "
    INSERT INTO run_sums (at, owner, part, agent_id, name, runs, running, failed, calls, unpriced_calls, tokens_input, tokens_output,
      tokens_cache_read, ms)
    SELECT timestamptz '2026-01-01 00:00Z' + n * INTERVAL '15 minutes', '00000000-0000-0000-0000-000000000000',
           CASE WHEN a <= 2 THEN 'calls' WHEN a <= 10 THEN 'tools' ELSE 'runs' END, 'agent ' || a, 'x', 1, 0, 0, 0, 0, 1, 1, 0, 1
    FROM generate_series(0, 60 * 96 - 1) AS n, generate_series(1, 30) AS a;
    INSERT INTO run_sums_days (at, owner, part, agent_id, name, runs, running, failed, calls, unpriced_calls, tokens_input, tokens_output,
      tokens_cache_read, ms)
    SELECT date_trunc('day', at, 'UTC'), owner, part, agent_id, name, sum(runs), 0, 0, 0, 0, sum(tokens_input), sum(tokens_output), 0,
           sum(ms)
    FROM run_sums
    GROUP BY 1, 2, 3, 4, 5;
    ANALYZE run_sums, run_sums_days";
