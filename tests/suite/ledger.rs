//! Everything is counted (promise 6), in the transaction that it speaks of
//! (promise 3).

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use runtraced::proto::{EndStatus, Event};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::support::daemon::{AWAY, Daemon, OUTCOMES};
use crate::support::events::{
    approval_requested, heartbeat, id, message, new_id, run_ended, run_started, score, step,
    step_started, tokens,
};
use crate::support::pg::{self, TestDatabase};
use crate::support::product::{poisoned_step, refuse_poison};
use crate::support::tables::{AGENT_TABLES, count, value};
use crate::support::valid;

/// Per daemon: received, the outcomes in the order of `OUTCOMES`, in flight.
async fn ledger(conn: &mut PgConnection) -> Vec<[i64; 8]> {
    let rows: Vec<Vec<i64>> = sqlx::query_scalar(
        "SELECT ARRAY[received, committed, duplicate, refused, spooled, dead_lettered, ignored, in_flight]
         FROM ingest_reconciliation ORDER BY instance",
    )
    .fetch_all(conn)
    .await
    .unwrap();
    rows.into_iter()
        .map(|row| row.try_into().unwrap())
        .collect()
}

async fn wait_for(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}");
}

/// Scenario: a mix of which is known what must become of each event.
/// Guarantees: metrics and ledger have exactly these figures.
#[tokio::test(flavor = "multi_thread")]
async fn each_outcome_is_counted_exactly() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    refuse_poison(&mut conn).await;
    let (run, kept) = (new_id(), new_id());
    let other = pg::beside(run);
    let mut good: Vec<Event> = (0..20).map(|_| step(1, 2, run, new_id())).collect();
    good.push(message(1, Some(run), None, kept));
    daemon.submit(good.clone()).await;
    let mixed = [
        good[..7].to_vec(),
        vec![Event::default(); 3],
        vec![
            valid::heartbeat(|e| e.run_id = Bytes::from_static(b"?")),
            // Known only to the database: another run's, and against a rule of the product.
            message(1, Some(other), None, kept),
            poisoned_step(),
            poisoned_step(),
            tokens(1, run, new_id(), 1, 2),
            heartbeat(3, new_id()),
        ],
    ];
    let outcome = daemon.submit(mixed.concat()).await;
    assert_eq!(
        (outcome.committed, outcome.duplicate, outcome.refused.len()),
        (2, 7, 7)
    );
    daemon.submit(Vec::new()).await;

    let want = [37, 23, 7, 5, 0, 2, 0, 0];
    wait_for("the ledger is never up to date", async || {
        ledger(&mut conn).await == [want]
    })
    .await;
    let metrics = daemon.metrics().await;
    assert_eq!(metrics["runtraced_events_received_total"], 37);
    for (outcome, want) in OUTCOMES.iter().zip(&want[1..]) {
        let name = format!("runtraced_events_settled_total{{outcome=\"{outcome}\"}}");
        assert_eq!(metrics[&name], want.unsigned_abs(), "{outcome}");
    }
    daemon.finish().await;
}

/// Scenario: two daemons at once on one database, then a third after them.
/// Guarantees: each has rows of its own, one a shard, which nobody else
/// touches, not even a daemon that starts later.
#[tokio::test(flavor = "multi_thread")]
async fn each_daemon_process_has_rows_of_its_own() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let send = async |daemon: &Daemon, events: usize| {
        let batch = (0..events)
            .map(|_| step(1, 2, new_id(), new_id()))
            .collect();
        assert_eq!(daemon.submit(batch).await.committed, events as u64);
    };
    let one = Daemon::with_args(database.url(), &["--writers", "3"]).await;
    let two = Daemon::with_args(database.url(), &["--writers", "1"]).await;
    send(&one, 50).await;
    send(&two, 70).await;
    let rows = |n| [n, n, 0, 0, 0, 0, 0, 0];
    assert_eq!(ledger(&mut conn).await, [rows(50), rows(70)]);
    one.finish().await;
    two.finish().await;
    let before = value(
        &mut conn,
        "SELECT jsonb_agg(l ORDER BY instance, shard) FROM ingest_ledger l",
    )
    .await;
    assert_eq!(before.as_array().unwrap().len(), 4);

    let three = Daemon::start(database.url()).await;
    send(&three, 30).await;
    assert_eq!(ledger(&mut conn).await, [rows(50), rows(70), rows(30)]);
    three.finish().await;
    let query = "SELECT jsonb_agg(l ORDER BY instance, shard) FROM ingest_ledger l
                 WHERE instance IN (SELECT instance FROM ingest_reconciliation ORDER BY instance LIMIT 2)";
    assert_eq!(value(&mut conn, query).await, before);
}

/// Locks a run's row in a transaction of its own.
async fn lock_run(database: &TestDatabase, run: Uuid) -> PgConnection {
    let mut conn = database.connect().await;
    let table = pg::table_of("agent_runs", run);
    let lock = format!("BEGIN; SELECT FROM {table} WHERE id = '{run}' FOR UPDATE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock))
        .execute(&mut conn)
        .await
        .unwrap();
    conn
}

/// Scenario: one writer commits a batch while another batch waits in its queue.
/// Guarantees: the ledger that was committed with the first shows the second as
/// in flight, and as committed once it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_in_flight() {
    let database = pg::database().await;
    let daemon =
        Daemon::with_args(database.url(), &["--writers", "1", "--batch-events", "1"]).await;
    let mut conn = database.connect().await;
    let (first, second) = (new_id(), new_id());
    daemon
        .submit(vec![run_started(0, first), run_started(0, second)])
        .await;
    let mut locks = [
        lock_run(&database, first).await,
        lock_run(&database, second).await,
    ];
    let steps = |run| (0..5).map(|_| step(1, 2, run, new_id())).collect();
    let release = "COMMIT";
    let queue = async {
        let received = async |n| daemon.metrics().await["runtraced_events_received_total"] == n;
        wait_for("the first is not received", async || received(12).await).await;
        sqlx::raw_sql(release).execute(&mut locks[0]).await.unwrap();
        wait_for("nothing is in flight", async || {
            ledger(&mut conn).await == [[12, 7, 0, 0, 0, 0, 0, 5]]
        })
        .await;
        sqlx::raw_sql(release).execute(&mut locks[1]).await.unwrap();
    };
    let ((), _, _) = tokio::join!(queue, daemon.submit(steps(first)), async {
        // After the first, for there is one queue.
        wait_for("the first is not received", async || {
            daemon.metrics().await["runtraced_events_received_total"] == 7
        })
        .await;
        daemon.submit(steps(second)).await
    });
    assert_eq!(ledger(&mut conn).await, [[12, 12, 0, 0, 0, 0, 0, 0]]);
    daemon.finish().await;
}

/// The transactions that made the rows of a run as they are, and its ledger's.
async fn transactions(conn: &mut PgConnection, at_millis: i64) -> BTreeSet<String> {
    let since = "created_at >= '2026-01-01Z'::timestamptz + $1 * interval '1 ms'";
    let names = [
        ("agent_sessions", "true"),
        ("agent_runs", "true"),
        ("agent_steps", "true"),
        ("agent_messages", since),
        ("agent_token_counts", since),
        ("agent_scores", since),
        ("approvals", since),
        ("ingest_ledger", "true"),
    ];
    let parts = names.iter().flat_map(|(name, which)| {
        let tables = pg::tables_of(name).into_iter();
        tables.map(move |table| format!("SELECT xmin::text FROM {table} WHERE {which}"))
    });
    let all = parts.collect::<Vec<_>>().join(" UNION ALL ");
    let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(all))
        .bind(at_millis)
        .fetch_all(conn)
        .await
        .unwrap();
    assert!(rows.len() >= 7, "{rows:?}");
    rows.into_iter().collect()
}

/// One of each table, at one time.
fn one_of_each(millis: i64, run: Uuid, session: Uuid) -> Vec<Event> {
    let mut upsert = valid::session_upsert(|e| e.session_id = id(session));
    upsert.time = Some(crate::support::events::at(millis));
    vec![
        upsert,
        run_started(millis, run),
        step_started(millis, run, new_id()),
        message(millis, Some(run), Some(session), new_id()),
        tokens(millis, run, new_id(), 10, 20),
        approval_requested(millis, run, new_id()),
        score(millis, run, new_id(), 1.0),
    ]
}

/// Scenario: a batch that makes a row in every table, and another that adds
/// some, ends the run, and so closes its step and settles its totals.
/// Guarantees: all of a batch's rows, totals and counts are of one transaction.
#[tokio::test(flavor = "multi_thread")]
async fn rows_totals_and_counts_of_a_batch_are_one_transaction() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--writers", "1"]).await;
    let mut conn = database.connect().await;
    let run = new_id();
    // An upsert goes by its session. With several writers or slots, it may be in another transaction.
    let session = pg::beside(run);
    let outcome = daemon.submit(one_of_each(0, run, session)).await;
    assert_eq!(outcome.committed, 7);
    let first = transactions(&mut conn, 0).await;
    assert_eq!(first.len(), 1, "{first:?}");

    let mut second = one_of_each(1_000, run, session);
    second.push(run_ended(2_000, run, EndStatus::Completed));
    assert_eq!(daemon.submit(second).await.committed, 8);
    let after = transactions(&mut conn, 1_000).await;
    assert_eq!(after.len(), 1, "{after:?}");
    assert_ne!(after, first);
    let totals = value(&mut conn, "SELECT total_tokens_input FROM agent_runs").await;
    assert_eq!(totals, 20);
    daemon.finish().await;
}

/// Scenario: the last statement of a batch's transaction, its ledger, has to
/// wait; and while it does, the writer's connection is killed.
/// Guarantees: nothing of the batch is visible before all of it is; the writer
/// tries again, and each event counts once.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_visible_before_everything_is() {
    let database = pg::database().await;
    let mut daemon = Daemon::with_args(database.url(), &["--writers", "1"]).await;
    daemon.expect_warnings(AWAY);
    let (mut lock, mut conn) = (database.connect().await, database.connect().await);
    let statement = "BEGIN; LOCK TABLE ingest_ledger IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(statement).execute(&mut lock).await.unwrap();
    let mut events = one_of_each(0, new_id(), new_id());
    events.push(step(1, 2, new_id(), new_id()));
    let watch = async {
        let waiting =
            "pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        for _ in 0..2 {
            wait_for("it does not get to the ledger", async || {
                count(&mut conn, waiting).await == 1
            })
            .await;
            for table in AGENT_TABLES {
                assert_eq!(count(&mut conn, table).await, 0, "{table}");
            }
            let killed: Vec<bool> = sqlx::query_scalar(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                 WHERE wait_event_type = 'Lock' AND datname = current_database()",
            )
            .fetch_all(&mut conn)
            .await
            .unwrap();
            assert_eq!(killed, [true]);
        }
        sqlx::raw_sql("COMMIT").execute(&mut lock).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(daemon.submit(events), watch);
    assert_eq!((outcome.committed, outcome.duplicate), (8, 0));
    assert_eq!(ledger(&mut conn).await, [[8, 8, 0, 0, 0, 0, 0, 0]]);
    assert_eq!(transactions(&mut conn, 0).await.len(), 1);
    daemon.finish().await;
}
