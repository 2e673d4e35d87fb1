//! In which month rows go.

use std::time::{Duration, Instant};

use runtraced::proto::EndStatus;
use serde_json::json;
use sqlx::Connection as _;
use uuid::Uuid;

use super::{PAST, months_of, move_to_past, this_month};
use crate::retention::rows::{below, ended_run, run_sql, send_run};
use crate::support::daemon::Daemon;
use crate::support::events::{
    message, new_id, run_ended, run_started, step, step_ended, step_started, tokens,
};
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::tables::{content, count, row};
use crate::support::writer::{ROLE, writer};

/// Scenario: one batch with rows of a run of a past month, of a run of this month, of a new one, and of one that only its rows name.
/// It is sent again.
/// Guarantees: each row is in the month of its run, whenever it comes; all are committed, and duplicates then.
#[tokio::test(flavor = "multi_thread")]
async fn rows_go_to_the_month_of_their_run() {
    let database = pg::database_by_month().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let past = send_run(&daemon, None, "a").await;
    let present = send_run(&daemon, None, "a").await;
    move_to_past(&mut conn, &[past]).await;
    let (new, placeholder) = (new_id(), new_id());
    let mut events = below(past, None);
    events.extend(below(present, None));
    events.extend(ended_run(new, None, "a"));
    events.extend(below(placeholder, None));
    events.push(run_ended(20, placeholder, EndStatus::Failed));
    let sent = events.len() as u64;
    assert_eq!(daemon.submit(events.clone()).await.committed, sent);
    assert_eq!(daemon.submit(events).await.duplicate, sent);
    assert_eq!(months_of(&mut conn, past).await, [PAST]);
    let today = this_month(&mut conn).await;
    for run in [present, new, placeholder] {
        assert_eq!(months_of(&mut conn, run).await, [today]);
    }
    assert_eq!(count(&mut conn, "agent_steps").await, 12);
    daemon.finish().await;
}

/// Scenario: the same runs to a daemon on the plain layout and to one on the layout by month, where some of the runs move to a past
/// month between the batches.
/// Guarantees: every column of every row is the same, and so is what the views show.
#[tokio::test(flavor = "multi_thread")]
async fn both_layouts_have_the_same_rows() {
    let (plain, by_month) = (pg::plain_database().await, pg::database_by_month().await);
    let daemons = [
        Daemon::start(plain.url()).await,
        Daemon::start(by_month.url()).await,
    ];
    let mut conns = [plain.connect().await, by_month.connect().await];
    let (session, runs) = (new_id(), [new_id(), new_id(), new_id()]);
    let open: Vec<Uuid> = runs.iter().map(|_| new_id()).collect();
    let mut first = Vec::new();
    let mut second = Vec::new();
    for (run, open) in runs.iter().zip(&open) {
        let mut events = ended_run(*run, Some(session), "a");
        events.push(step_started(3, *run, *open));
        second.push(events.split_off(5));
        first.push(events);
        let last = second.last_mut().unwrap();
        last.push(step_ended(30, *run, *open));
        last.push(step(31, 33, *run, new_id()));
        last.push(tokens(34, *run, new_id(), 7, 9));
        last.push(message(35, Some(*run), Some(session), new_id()));
    }
    for daemon in &daemons {
        daemon.submit(first.concat()).await;
    }
    move_to_past(&mut conns[1], &runs[..2]).await;
    for daemon in &daemons {
        let outcome = daemon.submit(second.concat()).await;
        assert_eq!(outcome.refused, []);
        // The ends again, and what came first.
        daemon.submit(first.concat()).await;
    }
    let [a, b] = &mut conns;
    let want = content(a, &runs, &[session]).await;
    assert_eq!(content(b, &runs, &[session]).await, want);
    assert_eq!(want.len(), 1 + 3 * (1 + 4 + 2 + 2 + 1 + 1));
    for view in ["run_timeline", "run_summary"] {
        let query = format!(
            "SELECT jsonb_agg(to_jsonb(v) ORDER BY v.run_id, to_jsonb(v) -> 'position') AS shown
             FROM {view} v WHERE run_id IN ('{}', '{}', '{}')",
            runs[0], runs[1], runs[2]
        );
        assert_eq!(row(b, &query).await, row(a, &query).await, "{view}");
    }
    for daemon in daemons {
        daemon.finish().await;
    }
}

/// Scenario: while a batch waits for a run, it turns out that the run is of another month than the batch saw: another writer created it
/// at the border of two months.
/// Guarantees: the batch is written to that month. Nothing is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_may_turn_out_to_be_of_another_month() {
    let database = pg::database_by_month().await;
    let daemon = Daemon::start(database.url()).await;
    let (mut conn, mut other) = (database.connect().await, database.connect().await);
    let run = new_id();
    daemon.submit(vec![run_started(0, run)]).await;
    move_to_past(&mut conn, &[]).await;
    let mut tx = other.begin().await.unwrap();
    run_sql(
        &mut tx,
        &format!("UPDATE agent_runs SET bucket = {PAST} WHERE id = '{run}'"),
    )
    .await;
    let events = below(run, None);
    let sent = events.len() as u64;
    let client = daemon.client().await;
    let sending = tokio::spawn(async move { client.submit(events).await.unwrap() });
    let waiting = "SELECT count(*) AS waiting FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while row(&mut conn, waiting).await == json!({"waiting": 0}) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tx.commit().await.unwrap();
    let outcome = sending.await.unwrap().outcome.unwrap();
    assert_eq!((outcome.committed, outcome.refused), (sent, vec![]));
    assert_eq!(months_of(&mut conn, run).await, [PAST]);
    daemon.finish().await;
}

/// Scenario: the daemon of a writer's role that was granted before the database changed its layout, and a month that has no
/// partitions yet.
/// Guarantees: it writes to the partitions, and makes those of the months to come. When its rights are revoked, it has none on partitions.
#[tokio::test(flavor = "multi_thread")]
async fn the_writers_role_writes_and_prepares() {
    let database = pg::plain_database().await;
    let url = writer(database.url()).await;
    let mut conn = database.connect().await;
    let (code, said) = runtraced(&["migrate", "--partition", "month"], database.url()).await;
    assert_eq!(code, 0, "{said}");
    let next: i32 = sqlx::query_scalar("SELECT max(bucket) FROM agent_months")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    run_sql(
        &mut conn,
        &format!(
            "DO $$ DECLARE place text := (SELECT schema_name FROM agent_months WHERE bucket = {next});
             BEGIN EXECUTE format('DROP SCHEMA %I CASCADE', place); END $$;
             DELETE FROM agent_months WHERE bucket = {next}"
        ),
    )
    .await;
    let daemon = Daemon::spawn_as_is(&url, &["--no-migrate", "--sweep-interval", "0.1"]).await;
    daemon.wait_ready().await;
    let run = send_run(&daemon, None, "a").await;
    let today = this_month(&mut conn).await;
    assert_eq!(months_of(&mut conn, run).await, [today]);
    let begun = Instant::now();
    loop {
        let made: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM agent_months WHERE bucket = $1)")
                .bind(next)
                .fetch_one(&mut conn)
                .await
                .unwrap();
        if made {
            daemon.finish_as(database.url()).await;
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "no partitions of {next}: {}",
            daemon.logs()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (code, said) = runtraced(&["grant", "--role", ROLE, "--revoke"], database.url()).await;
    assert_eq!(code, 0, "{said}");
    let left = format!(
        "SELECT count(*) AS rights FROM agent_months
         WHERE has_schema_privilege($role${ROLE}$role$, schema_name, 'USAGE')
            OR has_table_privilege($role${ROLE}$role$, schema_name || '.agent_steps', 'SELECT, INSERT, UPDATE, DELETE')"
    );
    assert_eq!(row(&mut conn, &left).await, json!({"rights": 0}));
}

/// Scenario: a run is read through its views, and there are rows of two months.
/// Guarantees: only the partitions of its month are read.
#[tokio::test(flavor = "multi_thread")]
async fn one_run_is_read_in_one_month() {
    let database = pg::database_by_month().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (past, present) = (
        send_run(&daemon, None, "a").await,
        send_run(&daemon, None, "a").await,
    );
    move_to_past(&mut conn, &[past]).await;
    daemon.submit(vec![run_started(0, new_id())]).await;
    for (view, run) in [("run_timeline", present), ("run_summary", past)] {
        let explain = format!(
            "EXPLAIN (ANALYZE, COSTS off, TIMING off, VERBOSE) SELECT * FROM {view} WHERE run_id = '{run}'"
        );
        let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(explain))
            .fetch_all(&mut conn)
            .await
            .unwrap();
        let read = |schema: &str| {
            let of = format!(" on {schema}.");
            let scans = plan.iter().filter(|line| line.contains(&of));
            scans
                .filter(|line| !line.contains("never executed"))
                .count()
        };
        let (month, other) = match run == past {
            true => ("runtraced_2026_01".to_owned(), present),
            false => (schema_of(&mut conn, present).await, past),
        };
        assert!(read(&month) >= 3, "{view}: {plan:#?}");
        let other = schema_of(&mut conn, other).await;
        assert_eq!(read(&other), 0, "{view}: {plan:#?}");
        assert_eq!(read("runtraced_first"), 0, "{view}: {plan:#?}");
    }
    daemon.finish().await;
}

async fn schema_of(conn: &mut sqlx::PgConnection, run: Uuid) -> String {
    sqlx::query_scalar("SELECT schema_name FROM agent_months NATURAL JOIN agent_runs WHERE id = $1")
        .bind(run)
        .fetch_one(conn)
        .await
        .unwrap()
}
