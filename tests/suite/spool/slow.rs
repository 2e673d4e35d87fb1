//! Postgres answers, but slowly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use runtraced::proto::Durability;
use runtraced_client::StreamOptions;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{SpoolDir, metric, replayed, settled, spool_frames, wait_until};
use crate::support::daemon::Daemon;
use crate::support::events::{long_message, message, new_id, tokens};
use crate::support::pg;
use crate::support::tables::count;

/// From now on each statement that inserts into these tables takes so many seconds, and
/// `test_slept` says when it did, by transaction.
async fn slow_down(conn: &mut PgConnection, tables: &[(&str, f64)]) {
    let made = "CREATE TABLE test_pace (slow name PRIMARY KEY, seconds float8);
        CREATE TABLE test_slept (slow name, transaction xid8, began timestamptz, ended timestamptz);
        CREATE FUNCTION test_sleep() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        DECLARE began timestamptz := clock_timestamp();
        BEGIN
            PERFORM pg_sleep(seconds) FROM public.test_pace WHERE slow = TG_TABLE_NAME;
            INSERT INTO public.test_slept
                VALUES (TG_TABLE_NAME, pg_current_xact_id(), began, clock_timestamp());
            RETURN NULL;
        END $$";
    sqlx::raw_sql(made).execute(&mut *conn).await.unwrap();
    for (table, seconds) in tables {
        let statements = format!(
            "CREATE TRIGGER test_sleep BEFORE INSERT ON {table}
                 FOR EACH STATEMENT EXECUTE FUNCTION test_sleep();
             INSERT INTO test_pace VALUES ('{table}', {seconds})"
        );
        let statements = AssertSqlSafe(statements);
        sqlx::raw_sql(statements).execute(&mut *conn).await.unwrap();
    }
}

/// Scenario: each transaction takes 1.8 s, one event goes in each, six come at once, and an event may
/// wait for 3 s; later Postgres is as fast as ever.
/// Guarantees: what its turn comes for in time is acked as COMMITTED, the others as SPOOLED, soon after
/// they have waited for 3 s; Postgres is not taken to be away, for no transaction is late; in the
/// end everything is there once.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_too_long_for_a_slow_postgres_is_spooled() {
    let database = pg::database().await;
    let dir = SpoolDir::new();
    let args = [
        "--spool-after",
        "3",
        "--writers",
        "1",
        "--batch-events",
        "1",
    ];
    // With no warning allowed for.
    let daemon = Daemon::with_args(database.url(), &dir.flags(&args)).await;
    let mut conn = database.connect().await;
    let hello = || message(0, Some(new_id()), None, new_id());
    daemon.submit(vec![hello()]).await;
    slow_down(&mut conn, &[("agent_messages", 1.8)]).await;

    let begin = Instant::now();
    let client = daemon.client().await;
    let calls: Vec<_> = (0..6)
        .map(|_| {
            let (client, event) = (client.clone(), hello());
            tokio::spawn(async move { client.submit(vec![event]).await.unwrap() })
        })
        .collect();
    let (mut committed, mut spooled) = (0, 0);
    for call in calls {
        let response = call.await.unwrap();
        let outcome = response.outcome.clone().unwrap();
        match response.durability() {
            Durability::Committed => committed += outcome.committed,
            _ => spooled += outcome.spooled,
        }
    }
    let took = begin.elapsed();
    println!("{committed} committed, {spooled} spooled in {took:?}");
    assert_eq!(committed + spooled, 6);
    assert!(committed >= 1 && spooled >= 2, "{committed}, {spooled}");
    // One after the other they would have taken 10.8 s.
    assert!(took >= Duration::from_secs(3), "{took:?}");
    assert!(took < Duration::from_secs(9), "{took:?}");
    assert_eq!(metric(&daemon, "runtraced_spooling").await, 0);

    let fast = "UPDATE test_pace SET seconds = 0";
    sqlx::raw_sql(fast).execute(&mut conn).await.unwrap();
    replayed(&daemon).await;
    assert_eq!(count(&mut conn, "agent_messages").await, 7);
    assert_eq!(settled(&daemon, "committed").await, 7);
    assert_eq!(settled(&daemon, "duplicate").await, 0);
    daemon.finish().await;
}

/// Scenario: eight frames are in the spool, the transaction of each takes 0.3 s, and a client streams
/// all the time.
/// Guarantees: while the spool is replayed, each ack of the client is COMMITTED; between two
/// transactions of the replay there is at least as long a pause as one of them takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_leaves_half_of_the_time_to_clients() {
    const FRAMES: usize = 8;
    let database = pg::database().await;
    let mut conn = database.connect().await;
    // Where the suite runs as another role, its rights are granted before the table is locked.
    Daemon::start(database.url()).await.finish().await;
    // The client's own are slow enough that some always wait.
    let paces = [("agent_messages", 0.3), ("agent_token_counts", 0.02)];
    slow_down(&mut conn, &paces).await;
    let dir = SpoolDir::new();
    spool_frames(&dir, (0..FRAMES).map(|_| vec![long_message(new_id(), 10)]));
    let args = ["--spool-after", "30", "--batch-events", "1"];
    let lock = "BEGIN; LOCK TABLE agent_messages IN SHARE ROW EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut conn).await.unwrap();
    let daemon = Daemon::with_args(database.url(), &dir.flags(&args)).await;

    let (committed, others) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let (good, bad) = (committed.clone(), others.clone());
    let client = daemon.client().await;
    let mut stream = client.stream_observed(StreamOptions::default(), move |settled| {
        match settled.durability {
            Durability::Committed => good.fetch_add(settled.events as u64, Relaxed),
            _ => bad.fetch_add(settled.events as u64, Relaxed),
        };
    });
    let stop = Arc::<AtomicBool>::default();
    let stopped = stop.clone();
    let run = new_id();
    let sender = tokio::spawn(async move {
        while !stopped.load(Relaxed) {
            let count = vec![tokens(1, run, new_id(), 1, 1)];
            stream.send(count, ()).await.unwrap();
        }
        stream.finish().await.unwrap()
    });
    wait_until("no acks", async || committed.load(Relaxed) >= 20).await;
    assert_eq!(settled(&daemon, "spooled").await, FRAMES as u64);
    let before = committed.load(Relaxed);
    sqlx::raw_sql("COMMIT").execute(&mut conn).await.unwrap();
    replayed(&daemon).await;
    let meanwhile = committed.load(Relaxed) - before;
    stop.store(true, Relaxed);
    let totals = sender.await.unwrap();
    println!("{meanwhile} events committed meanwhile");
    assert!(meanwhile >= 20, "{meanwhile}");
    assert_eq!(others.load(Relaxed), 0);
    assert_eq!(totals.committed, committed.load(Relaxed));

    let pauses = "SELECT extract(epoch FROM began - lag(ended) OVER (ORDER BY began))::float8
        FROM (SELECT min(began) AS began, max(ended) AS ended FROM test_slept
              WHERE slow = 'agent_messages' GROUP BY transaction) t ORDER BY began OFFSET 1";
    let pauses: Vec<f64> = sqlx::query_scalar(pauses)
        .fetch_all(&mut conn)
        .await
        .unwrap();
    println!("pauses: {pauses:?}");
    assert_eq!(pauses.len(), FRAMES - 1);
    assert!(pauses.iter().all(|pause| *pause >= 0.3), "{pauses:?}");
    daemon.finish().await;
}
