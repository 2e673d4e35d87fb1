//! Runs of some age, and how many rows there are.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use uuid::Uuid;

use runtraced::proto::event::Event as Body;
use runtraced::proto::{EndStatus, Event, StepAliased};

use crate::support::daemon::Daemon;
use crate::support::events::{
    approval_requested, event, id, message, new_id, run_ended, run_started, score, started_with,
    step, tokens,
};
use crate::support::tables::{AGENT_TABLES, count};

/// Everything that a run may have below it: seven events.
pub fn below(run: Uuid, session: Option<Uuid>) -> Vec<Event> {
    let alias = StepAliased {
        run_id: id(run),
        alias_id: id(new_id()),
        step_id: id(new_id()),
        ..Default::default()
    };
    vec![
        step(1, 2, run, new_id()),
        step(2, 3, run, new_id()),
        message(3, Some(run), session, new_id()),
        tokens(4, run, new_id(), 5, 7),
        score(5, run, new_id(), 1.0),
        event(6, Body::StepAliased(alias)),
    ]
}

/// A run of an agent with everything below it, which has ended.
pub fn ended_run(run: Uuid, session: Option<Uuid>, agent: &str) -> Vec<Event> {
    let started = started_with(run_started(0, run), |started| {
        started.agent_id = agent.into();
        if let Some(session) = session {
            started.session_id = id(session);
        }
    });
    let mut events = vec![started];
    events.extend(below(run, session));
    events.push(run_ended(9, run, EndStatus::Completed));
    events
}

/// Sends an ended run and returns it.
pub async fn send_run(daemon: &Daemon, session: Option<Uuid>, agent: &str) -> Uuid {
    let run = new_id();
    let events = ended_run(run, session, agent);
    let sent = events.len() as u64;
    assert_eq!(daemon.submit(events).await.committed, sent);
    run
}

/// A request for approval of a run, which nobody has decided.
pub fn asked(run: Uuid) -> Event {
    approval_requested(7, run, new_id())
}

/// Lets runs have changed last so many days ago.
pub async fn age(conn: &mut PgConnection, runs: &[Uuid], days: i32) {
    sqlx::query(
        "UPDATE agent_runs SET changed_at = now() - make_interval(days => $2) WHERE id = ANY ($1)",
    )
    .bind(runs)
    .bind(days)
    .execute(conn)
    .await
    .unwrap();
}

/// Lets sessions have changed last so many days ago.
pub async fn age_sessions(conn: &mut PgConnection, sessions: &[Uuid], days: i32) {
    sqlx::query(
        "UPDATE agent_sessions SET changed_at = now() - make_interval(days => $2) WHERE id = ANY ($1)",
    )
    .bind(sessions)
    .bind(days)
    .execute(conn)
    .await
    .unwrap();
}

/// Runs a statement.
pub async fn run_sql(conn: &mut PgConnection, sql: &str) {
    conn.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
        .await
        .unwrap();
}

/// The rows of all agent tables, aliases, dead letters and contents, in this order.
pub async fn counts(conn: &mut PgConnection) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in AGENT_TABLES.iter().chain(&[
        "agent_step_aliases",
        "ingest_dead_letters",
        "agent_contents",
    ]) {
        counts.push(count(conn, table).await);
    }
    counts
}

/// Those of some runs that are there.
pub async fn there(conn: &mut PgConnection, runs: &[Uuid]) -> Vec<Uuid> {
    let found: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM agent_runs WHERE id = ANY ($1)")
        .bind(runs)
        .fetch_all(conn)
        .await
        .unwrap();
    runs.iter()
        .filter(|run| found.contains(run))
        .copied()
        .collect()
}

/// Waits for half a minute until only these of some runs are there.
pub async fn wait_for_runs(conn: &mut PgConnection, runs: &[Uuid], want: &[Uuid]) {
    wait_for_runs_within(conn, runs, want, Duration::from_secs(30)).await;
}

/// Waits until only these of some runs are there.
pub async fn wait_for_runs_within(
    conn: &mut PgConnection,
    runs: &[Uuid],
    want: &[Uuid],
    limit: Duration,
) {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if there(conn, runs).await == want {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("there are {:?}, want {want:?}", there(conn, runs).await);
}

/// Rows of any table of a run that is gone.
pub async fn orphans(conn: &mut PgConnection, run: Uuid) -> i64 {
    sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM agent_runs WHERE id = $1)
              + (SELECT count(*) FROM agent_steps WHERE run_id = $1)
              + (SELECT count(*) FROM agent_messages WHERE run_id = $1)
              + (SELECT count(*) FROM agent_token_counts WHERE run_id = $1)
              + (SELECT count(*) FROM agent_scores WHERE run_id = $1)
              + (SELECT count(*) FROM agent_step_aliases WHERE run_id = $1)
              + (SELECT count(*) FROM agent_contents WHERE run_id = $1)
              + (SELECT count(*) FROM approvals WHERE run_id = $1)",
    )
    .bind(run)
    .fetch_one(conn)
    .await
    .unwrap()
}

/// Waits until daemons say that they deleted so many rows of a table together.
pub async fn wait_for_reaped(daemons: &[Daemon], table: &str, want: u64) {
    let name = format!("runtraced_reaped_rows_total{{table=\"{table}\"}}");
    let mut rows = 0;
    for _ in 0..500 {
        rows = 0;
        for daemon in daemons {
            rows += daemon.metrics().await[&name];
        }
        if rows == want {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{table}: {rows}, want {want}");
}
