//! Which sessions `--retain` deletes, and when.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::sleep;
use uuid::Uuid;

use super::kept::FLAGS;
use super::rows::{age, age_sessions, run_sql, send_run, wait_for_reaped, wait_for_runs};
use crate::support::daemon::Daemon;
use crate::support::events::{message, new_id, run_started, session_titled};
use crate::support::pg;
use crate::support::product::on_tables_of;
use crate::support::tables::{count, eventually};

/// Time for several rounds.
const ROUNDS: Duration = Duration::from_millis(700);

/// Waits until a session is gone.
async fn wait_until_gone(conn: &mut PgConnection, session: Uuid) {
    let query = format!("SELECT count(*) FROM agent_sessions WHERE id = '{session}'");
    eventually(conn, &query, serde_json::json!({"count": 0})).await;
}

/// Sends a message of no run. Returns its session, which has not changed for 100 days.
async fn idle_session(daemon: &Daemon, conn: &mut PgConnection) -> Uuid {
    let session = new_id();
    daemon
        .submit(vec![message(0, None, Some(session), new_id())])
        .await;
    run_sql(
        conn,
        &format!("UPDATE agent_messages SET created_at = now() - interval '100 days' WHERE session_id = '{session}'"),
    )
    .await;
    age_sessions(conn, &[session], 100).await;
    session
}

/// Scenario: an old session without runs has a message of a run that goes on elsewhere; another one has none.
/// Guarantees: only the other one goes.
#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_a_run_stays() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (shared, run) = (new_id(), new_id());
    let parts = [
        run_started(0, run),
        message(0, Some(run), Some(shared), new_id()),
    ];
    daemon.submit(parts.to_vec()).await;
    age_sessions(&mut conn, &[shared], 100).await;
    let idle = idle_session(&daemon, &mut conn).await;
    daemon.finish().await;
    let daemon = Daemon::with_args(database.url(), &FLAGS).await;
    wait_until_gone(&mut conn, idle).await;
    sleep(ROUNDS).await;
    let stays = format!("agent_messages WHERE session_id = '{shared}' AND run_id = '{run}'");
    assert_eq!(count(&mut conn, &stays).await, 1);
    daemon.finish().await;
}

/// Scenario: of two idle sessions, somebody writes a message into one, in a transaction that stays open for long.
/// Guarantees: the other one goes meanwhile; the message and its session stay.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_use_is_left_alone() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let used = idle_session(&daemon, &mut conn).await;
    let idle = idle_session(&daemon, &mut conn).await;
    daemon.finish().await;
    let mut other = database.connect().await;
    let mut open = other.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO agent_messages (session_id, role, content) VALUES ($1, 'user', 'new')",
    )
    .bind(used)
    .execute(&mut *open)
    .await
    .unwrap();
    let daemon = Daemon::with_args(database.url(), &FLAGS).await;
    wait_until_gone(&mut conn, idle).await;
    open.commit().await.unwrap();
    sleep(ROUNDS).await;
    let all = format!("agent_messages WHERE session_id = '{used}'");
    assert_eq!(count(&mut conn, &all).await, 2);
    daemon.finish().await;
}

/// Scenario: the last run of a session with a title is old; an event has named the session a moment ago. Later the session has not
/// been named for long either.
/// Guarantees: the run goes and the session stays; in the end it goes too.
#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_session_outlives_its_last_run() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let session = new_id();
    let run = send_run(&daemon, Some(session), "a").await;
    daemon
        .submit(vec![session_titled(1, session, "Plans")])
        .await;
    age(&mut conn, &[run], 100).await;
    daemon.finish().await;
    let daemon = Daemon::with_args(database.url(), &FLAGS).await;
    wait_for_runs(&mut conn, &[run], &[]).await;
    sleep(ROUNDS).await;
    assert_eq!(
        count(&mut conn, "agent_sessions WHERE title = 'Plans'").await,
        1
    );
    age_sessions(&mut conn, &[session], 100).await;
    wait_until_gone(&mut conn, session).await;
    daemon.finish().await;
}

/// Scenario: an event names a session that was named last two hours ago, and then one does a moment later.
/// Guarantees: the first one moves `changed_at`; the second one does not, so that it locks nothing.
#[tokio::test(flavor = "multi_thread")]
async fn naming_a_session_keeps_it() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let session = new_id();
    send_run(&daemon, Some(session), "a").await;
    run_sql(
        &mut conn,
        "UPDATE agent_sessions SET changed_at = now() - interval '2 hours'",
    )
    .await;
    send_run(&daemon, Some(session), "a").await;
    let fresh = "agent_sessions WHERE changed_at > now() - interval '1 minute'";
    assert_eq!(count(&mut conn, fresh).await, 1);
    let version = "SELECT xmin::text FROM agent_sessions";
    let before: String = sqlx::query_scalar(version)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    send_run(&daemon, Some(session), "a").await;
    let after: String = sqlx::query_scalar(version)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(before, after);
    daemon.finish().await;
}

/// Scenario: an idle session has 7,000 messages, each of which takes a millisecond to delete: together longer than a statement
/// may take.
/// Guarantees: it goes, some messages at a time.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_session_goes_in_slices() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let session = idle_session(&daemon, &mut conn).await;
    daemon.finish().await;
    run_sql(
        &mut conn,
        &format!(
            "INSERT INTO agent_messages (session_id, role, content, created_at)
             SELECT '{session}', 'user', 'x', now() - interval '100 days' FROM generate_series(1, 6999);
             CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN PERFORM pg_sleep(0.001); RETURN OLD; END $f$"
        ),
    )
    .await;
    let slowly = "CREATE TRIGGER slowly BEFORE DELETE ON TABLE_OF_ROWS FOR EACH ROW EXECUTE FUNCTION slowly()";
    on_tables_of(&mut conn, "agent_messages", slowly).await;
    let daemons = [Daemon::with_args(database.url(), &FLAGS).await];
    wait_until_gone(&mut conn, session).await;
    wait_for_reaped(&daemons, "agent_messages", 7_000).await;
    let [daemon] = daemons;
    daemon.finish().await;
}
