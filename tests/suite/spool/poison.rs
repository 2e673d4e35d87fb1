//! Events that Postgres cannot write although it writes others.

use std::time::{Duration, Instant};

use runtraced::proto::Event;
use runtraced::proto::event::Event as Body;
use runtraced::spool::list;
use sqlx::PgConnection;

use super::{SpoolDir, daemon, ledger_sum, metric, replayed, settled, spool_frames, wait_until};
use crate::alerts::assert_firing;
use crate::support::daemon::Daemon;
use crate::support::events::{long_message, new_id, tokens};
use crate::support::pg;
use crate::support::product::{execute, on_tables_of};
use crate::support::tables::{count, value};
use crate::support::valid;

const MARKER: &str = "poison";

/// From now on this happens for each row of a table whose text has the marker.
pub async fn when_marked(conn: &mut PgConnection, table: &str, column: &str, happens: &str) {
    let function = format!(
        "CREATE FUNCTION test_{table}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
         BEGIN {happens}; RETURN NEW; END $$"
    );
    execute(conn, function).await;
    let trigger = format!(
        "CREATE TRIGGER test_{table} BEFORE INSERT ON TABLE_OF_ROWS FOR EACH ROW
             WHEN (NEW.{column}::text LIKE '%{MARKER}%') EXECUTE FUNCTION test_{table}()"
    );
    on_tables_of(conn, table, &trigger).await;
}

pub fn marked() -> Event {
    let mut event = long_message(new_id(), 10);
    if let Some(Body::MessageAppended(message)) = &mut event.event {
        message.content = Some(MARKER.into());
    }
    event
}

/// Frames of ten events each, of different clients; some have marked events in between.
fn frames(count: usize, with_marked: &[usize]) -> Vec<Vec<Event>> {
    let frame = |number: usize| {
        let mut events: Vec<Event> = (0..10).map(|_| long_message(new_id(), 10)).collect();
        if with_marked.contains(&number) {
            events[number % 10] = marked();
        }
        events
    };
    (0..count).map(frame).collect()
}

/// Scenario: a spool with 400 events, of which three make Postgres sleep beyond every deadline, end
/// the session, or run out of memory.
/// Guarantees: the other events arrive; each of the three becomes a dead letter, with an ERROR; the
/// ledger is exact, and the next daemon finds nothing.
async fn poison_is_isolated(happens: &str) {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    when_marked(&mut conn, "agent_messages", "content", happens).await;
    let dir = SpoolDir::new();
    spool_frames(&dir, frames(40, &[0, 17, 39]));
    let args = ["--spool-after", "0.5", "--commit-timeout", "5"];
    let mut daemon = daemon(database.url(), &dir, &args).await;
    daemon.expect_warnings("it becomes a dead letter");
    wait_until("the others do not arrive", async || {
        count(&mut conn, "agent_messages").await == 397
    })
    .await;
    replayed(&daemon).await;
    daemon.check_counts().await;
    assert_eq!(ledger_sum(&mut conn).await, [400, 397, 0, 0, 0, 3, 0]);
    let letters = "ingest_dead_letters WHERE payload::text LIKE '%poison%'";
    assert_eq!(count(&mut conn, letters).await, 3);
    assert_eq!(daemon.logs().matches("it becomes a dead letter").count(), 3);
    assert!(list(dir.path()).unwrap().is_empty());
    daemon.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_takes_forever_blocks_no_other() {
    poison_is_isolated("PERFORM pg_sleep(20)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_ends_its_session_blocks_no_other() {
    poison_is_isolated("PERFORM pg_terminate_backend(pg_backend_pid())").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_exhausts_memory_blocks_no_other() {
    poison_is_isolated("RAISE EXCEPTION 'out of memory' USING ERRCODE = '53200'").await;
}

/// Scenario: a spool with 400 events, of which Postgres refuses every second one.
/// Guarantees: the refused ones become dead letters, many in one transaction, so they do not hold
/// up the others for the time of a commit each.
#[tokio::test(flavor = "multi_thread")]
async fn refused_events_share_transactions() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let refuse = "RAISE EXCEPTION 'no' USING ERRCODE = '23514'";
    when_marked(&mut conn, "agent_messages", "content", refuse).await;
    let dir = SpoolDir::new();
    let pair = |_| [long_message(new_id(), 10), marked()];
    let frames = (0..40).map(|_| (0..5).flat_map(pair).collect());
    spool_frames(&dir, frames.collect::<Vec<_>>());
    let daemon = daemon(database.url(), &dir, &[]).await;
    replayed(&daemon).await;
    assert_eq!(ledger_sum(&mut conn).await, [400, 200, 0, 0, 0, 200, 0]);
    let query = "SELECT count(DISTINCT xmin::text) FROM ingest_dead_letters";
    let transactions = value(&mut conn, query).await.as_i64().unwrap();
    assert!(transactions <= 100, "{transactions} transactions");
    daemon.finish().await;
}

/// Scenario: a spool with an event that exhausts memory or is refused, as a row and as a dead
/// letter; then the daemon is restarted twice.
/// Guarantees: the others arrive; the file of the event is kept, with an ERROR; status says so; the
/// restarts count nothing twice.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_can_be_stored_nowhere_is_kept_in_its_file() {
    for code in ["53200", "23514"] {
        let database = pg::database().await;
        let mut conn = database.connect().await;
        let raise = format!("RAISE EXCEPTION 'no' USING ERRCODE = '{code}'");
        when_marked(&mut conn, "agent_messages", "content", &raise).await;
        when_marked(&mut conn, "ingest_dead_letters", "payload", &raise).await;
        let dir = SpoolDir::new();
        spool_frames(&dir, frames(20, &[7]));
        let args = ["--spool-after", "0.5"];
        let mut first = daemon(database.url(), &dir, &args).await;
        first.expect_warnings("it becomes a dead letter");
        first.expect_warnings("not even as a dead letter");
        replayed(&first).await;
        first.check_counts().await;
        assert_eq!(ledger_sum(&mut conn).await, [200, 199, 0, 1, 0, 0, 0]);
        assert_eq!(count(&mut conn, "agent_messages").await, 199);
        assert_eq!(metric(&first, "runtraced_spool_quarantined_files").await, 1);
        assert_firing(&first, &["RuntracedSpoolQuarantined"]).await;
        first.finish().await;
        for _ in 0..2 {
            let next = daemon(database.url(), &dir, &args).await;
            replayed(&next).await;
            next.finish().await;
        }
        assert_eq!(ledger_sum(&mut conn).await, [200, 199, 0, 1, 0, 0, 0]);
        let files = list(dir.path()).unwrap();
        assert!(files.len() == 1 && files[0].quarantined, "{files:?}");
    }
}

/// Scenario: the same, and the daemon is killed before the file is done: the last events of it wait
/// for long.
/// Guarantees: the next daemon does not try the event again, and keeps its file all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_event_is_remembered_over_a_restart() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let refuse = "RAISE EXCEPTION 'no' USING ERRCODE = '23514'";
    when_marked(&mut conn, "agent_messages", "content", refuse).await;
    when_marked(&mut conn, "ingest_dead_letters", "payload", refuse).await;
    let dir = SpoolDir::new();
    let slow = (0..20).map(|_| long_message(new_id(), 20)).collect();
    let mut all = frames(20, &[7]);
    all.push(slow);
    spool_frames(&dir, all);
    let block = "CREATE TABLE test_gate (open boolean); INSERT INTO test_gate VALUES (false);
         CREATE FUNCTION test_wait() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
         BEGIN
           PERFORM pg_sleep(0.01);
           WHILE length(NEW.content) = 20 AND EXISTS (SELECT FROM public.test_gate WHERE NOT open) LOOP
             PERFORM pg_sleep(0.05);
           END LOOP;
           RETURN NEW;
         END $$";
    sqlx::raw_sql(block).execute(&mut conn).await.unwrap();
    let block = "CREATE TRIGGER test_wait BEFORE INSERT ON TABLE_OF_ROWS FOR EACH ROW EXECUTE FUNCTION test_wait()";
    on_tables_of(&mut conn, "agent_messages", block).await;
    let args = ["--spool-after", "60", "--batch-events", "20"];
    let mut first = daemon(database.url(), &dir, &args).await;
    first.expect_warnings("not even as a dead letter");
    wait_until("the event is not kept", async || {
        let sum = ledger_sum(&mut conn).await;
        sum[3] == 1 && sum[1] > 150
    })
    .await;
    first.kill();
    let open = "UPDATE test_gate SET open = true";
    sqlx::raw_sql(open).execute(&mut conn).await.unwrap();
    let next = daemon(database.url(), &dir, &args).await;
    replayed(&next).await;
    next.check_counts().await;
    assert_eq!(ledger_sum(&mut conn).await, [220, 219, 0, 1, 0, 0, 0]);
    let files = list(dir.path()).unwrap();
    assert!(files.len() == 1 && files[0].quarantined, "{files:?}");
    next.finish().await;
}

/// Scenario: a spool of an older version holds numbers that no endpoint takes any more: some that
/// grow, each event twice, and some that no `numeric` can hold.
/// Guarantees: the first are stored as they are, the others become dead letters, and what is behind
/// them arrives.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_no_endpoint_takes_any_more_are_replayed() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let with = |json: &str| valid::step_ended(|step| step.output_json = Some(json.to_owned()));
    let growing = with("[1e131071, 1e-16383, 1]");
    let dir = SpoolDir::new();
    let mut all = vec![vec![growing.clone(), with("1e999999"), growing]];
    all.extend(frames(3, &[]));
    spool_frames(&dir, all);
    let daemon = daemon(database.url(), &dir, &[]).await;
    replayed(&daemon).await;
    daemon.check_counts().await;
    assert_eq!(ledger_sum(&mut conn).await, [33, 31, 1, 0, 0, 1, 0]);
    let stored = "agent_steps WHERE output -> 0 = '1e131071' AND output -> 2 = '1'";
    assert_eq!(count(&mut conn, stored).await, 1);
    assert_eq!(count(&mut conn, "agent_messages").await, 30);
    let letters = "ingest_dead_letters WHERE code = '22003'";
    assert_eq!(count(&mut conn, letters).await, 1);
    daemon.finish().await;
}

/// Scenario: the tables that all spooled events need are locked, for much longer than any deadline.
/// Guarantees: nothing commits, so no event is to blame: none becomes a dead letter, and all are
/// stored once the lock is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_on_everything_makes_no_dead_letters() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    // Where the suite runs as another role, its rights are granted before the table is locked.
    Daemon::start(database.url()).await.finish().await;
    let dir = SpoolDir::new();
    spool_frames(&dir, frames(20, &[]));
    let lock = "BEGIN; LOCK TABLE agent_messages IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut conn).await.unwrap();
    let args = ["--spool-after", "0.1", "--commit-timeout", "1"];
    let daemon = daemon(database.url(), &dir, &args).await;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(12) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(settled(&daemon, "spooled").await, 200);
    }
    sqlx::raw_sql("COMMIT").execute(&mut conn).await.unwrap();
    replayed(&daemon).await;
    daemon.check_counts().await;
    assert_eq!(count(&mut conn, "agent_messages").await, 200);
    assert_eq!(
        value(&mut conn, "SELECT count(*) FROM ingest_dead_letters").await,
        0
    );
    daemon.finish().await;
}

/// Scenario: one table is locked, as by the build of an index, for much longer than an event may
/// take while others commit; the spool holds events for it, and a client sends others.
/// Guarantees: none becomes a dead letter, and all are stored once the lock is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_on_one_table_makes_no_dead_letters() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    // Where the suite runs as another role, its rights are granted before the table is locked.
    Daemon::start(database.url()).await.finish().await;
    let dir = SpoolDir::new();
    spool_frames(&dir, frames(3, &[]));
    let lock = "BEGIN; LOCK TABLE agent_messages IN SHARE MODE";
    sqlx::raw_sql(lock).execute(&mut conn).await.unwrap();
    let args = ["--spool-after", "0.2", "--commit-timeout", "2"];
    let daemon = daemon(database.url(), &dir, &args).await;
    let client = daemon.client().await;
    let begin = Instant::now();
    let mut sent = 0;
    while begin.elapsed() < Duration::from_secs(10) {
        let other = vec![tokens(1, new_id(), new_id(), 1, 1)];
        let outcome = client.submit(other).await.unwrap();
        sent += outcome.outcome.unwrap().committed;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(sent > 10, "{sent} others were committed");
    assert_eq!(settled(&daemon, "spooled").await, 30);
    sqlx::raw_sql("COMMIT").execute(&mut conn).await.unwrap();
    replayed(&daemon).await;
    daemon.check_counts().await;
    assert_eq!(count(&mut conn, "agent_messages").await, 30);
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, 0);
    daemon.finish().await;
}
