//! The statements of docs/SCHEMA.md that delete runs.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use runtraced::proto::event::Event as Body;
use runtraced::proto::{EndStatus, Event, StepAliased};

use super::markdown;
use crate::support::daemon::Daemon;
use crate::support::events::{
    approval_requested, event, id, message, new_id, run_ended, run_started, score, started_with,
    step, tokens,
};
use crate::support::pg;
use crate::support::tables::{AGENT_TABLES, count};

/// Milliseconds of the tests' clock that are long ago.
const LONG_AGO: i64 = -400 * 86_400_000;

fn statements() -> String {
    let page = markdown::page("docs/SCHEMA.md");
    let section = page.section("## Deleting");
    let (_, block) = section.split_once("```sql\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

/// A run of a session with everything that hangs off a run, from `begin` on; ended if so told.
fn whole_run(begin: i64, session: Uuid, ended: bool) -> Vec<Event> {
    let run = new_id();
    let alias = StepAliased {
        run_id: id(run),
        alias_id: id(new_id()),
        step_id: id(new_id()),
        ..Default::default()
    };
    let mut events = vec![
        started_with(run_started(begin, run), |e| e.session_id = id(session)),
        step(begin + 1, begin + 2, run, new_id()),
        message(begin + 3, Some(run), Some(session), new_id()),
        tokens(begin + 4, run, new_id(), 5, 7),
        approval_requested(begin + 5, run, new_id()),
        score(begin + 5, run, new_id(), 1.0),
        event(begin + 6, Body::StepAliased(alias)),
    ];
    if ended {
        events.push(run_ended(begin + 9, run, EndStatus::Completed));
    }
    events
}

/// Milliseconds of the tests' clock that are now.
async fn now(conn: &mut PgConnection) -> i64 {
    let query = "SELECT (extract(epoch FROM now() - '2026-01-01T00:00:00Z') * 1000)::bigint";
    sqlx::query_scalar(query).fetch_one(conn).await.unwrap()
}

/// Scenario: sessions whose runs ended long ago, one of which has also a new run, one a run that goes on, one a
/// message of its own, one an approval of its own; sessions that are empty since long ago, and since now. The
/// statements run, twice.
/// Guarantees: the old runs go, with everything below them, and the sessions that nothing needs any more; everything
/// else stays as it was.
#[tokio::test(flavor = "multi_thread")]
async fn old_runs_go_with_the_sessions_that_nothing_needs() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let now = now(&mut conn).await;
    let [
        done,
        also_new,
        goes_on,
        with_message,
        with_approval,
        empty,
        new_and_empty,
    ] = [(); 7].map(|()| new_id());
    let mut kept = whole_run(now, also_new, true);
    kept.extend(whole_run(LONG_AGO, goes_on, false));
    kept.push(message(LONG_AGO, None, Some(with_message), new_id()));
    daemon.submit(kept).await;
    for (session, at) in [
        (with_approval, "2020-01-01"),
        (new_and_empty, "now"),
        (empty, "2020-01-01"),
    ] {
        let sql =
            format!("INSERT INTO agent_sessions (id, created_at) VALUES ('{session}', '{at}')");
        conn.execute(AssertSqlSafe(sql)).await.unwrap();
    }
    let sql =
        format!("INSERT INTO approvals (session_id, action_type) VALUES ('{with_approval}', 'x')");
    conn.execute(AssertSqlSafe(sql)).await.unwrap();
    let tables = [&AGENT_TABLES[..], &["agent_contents", "agent_step_aliases"]].concat();
    // A piece of contents for each run.
    let contents = "INSERT INTO agent_contents (run_id, hash, kind, body) SELECT id, id, 0, '1' FROM agent_runs ON CONFLICT DO NOTHING";
    conn.execute(contents).await.unwrap();
    let mut want = Vec::new();
    for table in &tables {
        want.push(count(&mut conn, table).await);
    }
    // The sessions that go, and are counted with what stays so far.
    let sessions = &mut want[0];
    assert_eq!((tables[0], *sessions), ("agent_sessions", 6));
    *sessions -= 1;

    let old = [done, also_new, goes_on, with_message, with_approval];
    for session in old {
        for _ in 0..3 {
            daemon.submit(whole_run(LONG_AGO, session, true)).await;
        }
    }
    conn.execute(contents).await.unwrap();
    for _ in 0..2 {
        conn.execute(sqlx::raw_sql(AssertSqlSafe(statements())))
            .await
            .unwrap();
        let mut left = Vec::new();
        for table in &tables {
            left.push(count(&mut conn, table).await);
        }
        assert_eq!(left, want, "{tables:?}");
    }
    let gone = format!("agent_sessions WHERE id IN ('{done}', '{empty}')");
    assert_eq!(count(&mut conn, &gone).await, 0);
    daemon.finish().await;
}

/// Scenario: a session is deleted while an event that names it is being written: the event waits for the delete.
/// Guarantees: the event is written, and the session is there again.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_deleted_meanwhile_comes_back() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let session = new_id();
    let sql =
        format!("INSERT INTO agent_sessions (id, created_at) VALUES ('{session}', '2020-01-01')");
    conn.execute(AssertSqlSafe(sql)).await.unwrap();
    let mut delete = conn.begin().await.unwrap();
    delete
        .execute(sqlx::raw_sql(AssertSqlSafe(statements())))
        .await
        .unwrap();
    let client = daemon.client().await;
    let events = whole_run(0, session, true);
    let count_of_events = events.len() as u64;
    let write = tokio::spawn(async move { client.submit_committed(events).await });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(!write.is_finished(), "the event did not wait");
    delete.commit().await.unwrap();
    let outcome = write.await.unwrap().unwrap().outcome.unwrap();
    assert_eq!(outcome.committed, count_of_events, "{outcome:?}");
    let there = format!("agent_sessions WHERE id = '{session}'");
    assert_eq!(count(&mut conn, &there).await, 1);
    daemon.finish().await;
}
