//! How far a spool is replayed is as durable as the events themselves.

use runtraced::proto::Event;
use sqlx::{Connection as _, PgConnection};

use super::{SpoolDir, daemon, ledger_sum, replayed, settled, spawn, spool_frames, wait_until};
use crate::support::daemon::Daemon;
use crate::support::events::{long_message, new_id, step};
use crate::support::pg;
use crate::support::product::{poisoned_step, refuse_poison};
use crate::support::tables::count;

/// From now on each insert into the steps takes so many milliseconds.
async fn slow_down(conn: &mut PgConnection, millis: u32) {
    let statements = format!(
        "CREATE OR REPLACE FUNCTION test_sleep() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN PERFORM pg_sleep({millis} / 1000.0); RETURN NULL; END $$;
         CREATE OR REPLACE TRIGGER test_sleep BEFORE INSERT ON agent_steps
             FOR EACH STATEMENT EXECUTE FUNCTION test_sleep()"
    );
    let statements = sqlx::AssertSqlSafe(statements);
    sqlx::raw_sql(statements).execute(conn).await.unwrap();
}

fn steps(count: usize) -> Vec<Event> {
    let run = new_id();
    (0..count).map(|_| step(1, 2, run, new_id())).collect()
}

/// What must hold once everything is replayed.
async fn finish(daemon: Daemon, conn: &mut PgConnection, want: [i64; 7]) {
    replayed(&daemon).await;
    daemon.check_counts().await;
    assert_eq!(ledger_sum(conn).await, want);
    daemon.finish().await;
}

/// Scenario: Postgres is away, 6,000 events come in small batches, and the daemon is killed with
/// SIGKILL. Of the next five, four are killed in the middle of their replay. One event in
/// fifty is one that Postgres refuses.
/// Guarantees: over all daemons each event is received once, and committed or dead-lettered once;
/// none is a duplicate.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_in_the_middle_of_a_replay_repeat_nothing() {
    const SENT: usize = 6_000;
    const BATCHES: usize = SENT / 50;
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    let first = daemon(cluster.url(), &dir, &[]).await;
    first.submit(steps(10)).await;
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    refuse_poison(&mut conn).await;
    slow_down(&mut conn, 20).await;
    drop(conn);
    cluster.stop_immediate().await;
    let client = first.client().await;
    for _ in 0..BATCHES {
        let mut batch = steps(50);
        batch[25] = poisoned_step();
        let outcome = client.submit(batch).await.unwrap().outcome.unwrap();
        assert_eq!(outcome.spooled, 50);
    }
    drop(client);
    first.kill();
    cluster.start().await;
    let small = ["--batch-events", "40"];
    for round in 0..4 {
        let next = spawn(cluster.url(), &dir, &small).await;
        let before = settled(&next, "spooled").await;
        wait_until("it does not replay", async || {
            settled(&next, "committed").await > 300 + 100 * round
        })
        .await;
        assert!(settled(&next, "spooled").await > 0, "{before}");
        next.kill();
    }
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    slow_down(&mut conn, 0).await;
    let last = daemon(cluster.url(), &dir, &small).await;
    let (sent, bad) = (SENT as i64 + 10, BATCHES as i64);
    finish(last, &mut conn, [sent, sent - bad, 0, 0, 0, bad, 0]).await;
    assert_eq!(count(&mut conn, "agent_steps").await, sent - bad);
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, bad);
    conn.close().await.unwrap();
}

/// Scenario: events are in flight, and others spooled, when a daemon is killed: a table is locked.
/// Guarantees: what was in flight and never acknowledged is no loss in the ledger, and counts once
/// more only when it is sent again.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_daemon_had_in_flight_is_counted_when_it_is_sent_again() {
    let database = pg::database().await;
    let dir = SpoolDir::new();
    let args = ["--spool-after", "1", "--writers", "1"];
    let mut first = daemon(database.url(), &dir, &args).await;
    first.expect_warnings("still open at the drain deadline");
    let mut conn = database.connect().await;
    let lock = "BEGIN; LOCK TABLE agent_steps IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut conn).await.unwrap();
    let client = first.client().await;
    let (spooled, lost) = (steps(7), steps(5));
    let outcome = client.submit(spooled).await.unwrap().outcome.unwrap();
    assert_eq!(outcome.spooled, 7);
    // It asks for Postgres, and waits.
    let patient = client.clone();
    let again = lost.clone();
    let waiting = tokio::spawn(async move { patient.submit_committed(again).await });
    let mut other = database.connect().await;
    wait_until("it is not in flight", async || {
        ledger_sum(&mut other).await[6] == 5
    })
    .await;
    first.kill();
    drop(client);
    waiting.abort();
    sqlx::raw_sql("COMMIT").execute(&mut conn).await.unwrap();

    let second = daemon(database.url(), &dir, &args).await;
    replayed(&second).await;
    assert_eq!(second.submit(lost).await.committed, 5);
    finish(second, &mut conn, [12, 12, 0, 0, 0, 0, 0]).await;
}

/// Scenario: the spool is emptied and filled again, by one daemon after the other, so that the
/// names of its files are used again.
/// Guarantees: progress in a file that is gone says nothing about a new file of the same name.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_name_that_was_used_before_is_replayed() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let dir = SpoolDir::new();
    let mut sent = 0;
    for events in [9, 5, 9, 1] {
        spool_frames(&dir, [steps(events)]);
        let daemon = daemon(database.url(), &dir, &[]).await;
        replayed(&daemon).await;
        daemon.kill();
        sent += events as i64;
        assert_eq!(ledger_sum(&mut conn).await, [sent, sent, 0, 0, 0, 0, 0]);
        assert_eq!(count(&mut conn, "agent_steps").await, sent);
    }
}

/// Scenario: a daemon is killed in the middle of a replay; then the database is as an older backup
/// has it, which knows nothing of the replay, or it holds a progress that nobody can read.
/// Guarantees: the files that are there are replayed once more; every event is stored once.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_known_progress_everything_is_replayed() {
    for progress in ["NULL", "'{\"later\": \"version\"}'"] {
        let database = pg::database().await;
        let mut conn = database.connect().await;
        slow_down(&mut conn, 50).await;
        let dir = SpoolDir::new();
        spool_frames(&dir, (0..200).map(|_| steps(10)));
        let small = ["--batch-events", "40"];
        let first = daemon(database.url(), &dir, &small).await;
        wait_until("it does not replay", async || {
            settled(&first, "committed").await > 100
        })
        .await;
        first.kill();
        let forget =
            format!("UPDATE ingest_ledger SET spool_progress = {progress} WHERE spool IS NOT NULL");
        let forget = sqlx::AssertSqlSafe(forget);
        sqlx::raw_sql(forget).execute(&mut conn).await.unwrap();
        slow_down(&mut conn, 0).await;
        let mut second = daemon(database.url(), &dir, &small).await;
        second.expect_warnings("the progress of the replay is not readable");
        replayed(&second).await;
        assert!(settled(&second, "duplicate").await > 100);
        assert_eq!(count(&mut conn, "agent_steps").await, 2_000);
        second.finish().await;
    }
}

/// Scenario: 5,000 frames of one event each.
/// Guarantees: they are gathered: the replay takes few transactions.
#[tokio::test(flavor = "multi_thread")]
async fn small_frames_are_gathered() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let dir = SpoolDir::new();
    spool_frames(&dir, (0..5_000).map(|_| vec![long_message(new_id(), 10)]));
    let daemon = daemon(database.url(), &dir, &[]).await;
    replayed(&daemon).await;
    let tables = pg::tables_of("agent_messages").into_iter();
    let all = tables.map(|table| format!("SELECT xmin FROM {table}"));
    let all = all.collect::<Vec<_>>().join(" UNION ALL ");
    let transactions: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "SELECT count(DISTINCT xmin::text) FROM ({all}) t"
    )))
    .fetch_one(&mut conn)
    .await
    .unwrap();
    println!("{transactions} transactions");
    // Ten or fewer, unless the machine is so busy that some take too long.
    assert!(transactions <= 100, "{transactions}");
    finish(daemon, &mut conn, [5_000, 5_000, 0, 0, 0, 0, 0]).await;
}
