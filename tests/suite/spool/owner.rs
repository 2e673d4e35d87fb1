//! A spool belongs to one database.

use std::process::Command;

use runtraced::proto::Event;
use sqlx::{Connection as _, PgConnection};

use super::{SpoolDir, daemon, ledger_sum, metric, replayed, settled, spawn, wait_until};
use crate::alerts::assert_firing;
use crate::support::daemon::{AWAY, Daemon};
use crate::support::events::{new_id, step};
use crate::support::pg;
use crate::support::tables::count;
use crate::support::writer::{as_role, is_wanted, writer};

const REFUSED: &str = "the spool holds events of another database";

fn steps(count: usize) -> Vec<Event> {
    (0..count).map(|_| step(1, 2, new_id(), new_id())).collect()
}

/// Runs the program; exit code and what it said.
async fn runtraced(args: &[&str], database: &str) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtraced"));
    command.args(args).env("DATABASE_URL", database);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    (output.status.code().unwrap(), said)
}

/// A spool with so many events for a database, which is away from then on.
async fn spooled_for(cluster: &mut pg::OwnCluster, dir: &SpoolDir, events: usize) {
    let mut first = daemon(cluster.url(), dir, &[]).await;
    // The database is known now.
    first.submit(steps(2)).await;
    cluster.stop_immediate().await;
    let client = first.client().await;
    let outcome = client.submit(steps(events)).await.unwrap().outcome;
    assert_eq!(outcome.unwrap().spooled, events as u64);
    drop(client);
    assert!(first.terminate().await.success());
    let last = first.logs();
    assert!(last.contains("events stay in the spool"), "{last}");
    assert!(!last.contains("all settled"), "{last}");
}

/// Scenario: a daemon is started with the spool of another database; then with the old database
/// again.
/// Guarantees: it writes none of the spooled events to the new database, says so once as an ERROR
/// that names both, in `/readyz` and in `status`; it serves, and counts only its own events; what
/// its own database cannot take waits instead of being spooled. The old database gets everything.
#[tokio::test(flavor = "multi_thread")]
async fn events_of_another_database_are_not_replayed() {
    let mut cluster = pg::own_cluster().await;
    let database = pg::database().await;
    let dir = SpoolDir::new();
    spooled_for(&mut cluster, &dir, 7).await;

    let mut second = spawn(database.url(), &dir, &[]).await;
    second.expect_warnings(REFUSED);
    second.expect_warnings("events stay in the spool");
    second.wait_ready().await;
    wait_until("it does not notice", async || {
        metric(&second, "runtraced_spool_other_database").await == 1
    })
    .await;
    assert_firing(&second, &["RuntracedSpoolOfOtherDatabase"]).await;
    let mut conn = database.connect().await;
    second.submit(steps(3)).await;
    second.check_counts().await;
    assert_eq!(ledger_sum(&mut conn).await, [3, 3, 0, 0, 0, 0, 0]);
    assert_eq!(count(&mut conn, "agent_steps").await, 3);
    let (code, body) = second.get("/readyz").await;
    assert_eq!(code, 200);
    assert!(body.contains("another database"), "{body}");
    let status = ["status", "--http", second.http_address()];
    let (code, said) = runtraced(&status, database.url()).await;
    assert!(code == 1 && said.contains("OF ANOTHER DATABASE"), "{said}");
    let logs = second.logs();
    assert_eq!(logs.matches(REFUSED).count(), 1, "{logs}");
    for text in [
        &database.name,
        "rebind",
        "--spool-dir",
        dir.path().to_str().unwrap(),
    ] {
        assert!(logs.contains(text), "{text} in {logs}");
    }
    second.finish().await;

    cluster.start().await;
    let third = daemon(cluster.url(), &dir, &[]).await;
    replayed(&third).await;
    third.check_counts().await;
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    assert_eq!(ledger_sum(&mut conn).await, [9, 9, 0, 0, 0, 0, 0]);
    conn.close().await.unwrap();
    third.finish().await;
}

/// Scenario: as before, but the new database is away when the daemon starts, and it is sent an
/// event meanwhile.
/// Guarantees: the event is not mixed with those of the other database: it waits, and is committed
/// to its own database.
#[tokio::test(flavor = "multi_thread")]
async fn events_of_two_databases_are_not_mixed() {
    let mut cluster = pg::own_cluster().await;
    let mut other = pg::own_cluster().await;
    let dir = SpoolDir::new();
    spooled_for(&mut cluster, &dir, 7).await;
    // All clusters of these tests are copies of one: their first databases look the same.
    let mut conn = PgConnection::connect(other.url()).await.unwrap();
    let create = "CREATE DATABASE other";
    sqlx::raw_sql(create).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let url = other.url().replace("/runtraced?", "/other?");
    if is_wanted() {
        writer(&url).await;
    }
    other.stop_immediate().await;

    let mut second = spawn(&url, &dir, &[]).await;
    second.expect_warnings(REFUSED);
    second.expect_warnings("events stay in the spool");
    second.expect_warnings("neither Postgres nor the spool accepts events");
    second.expect_warnings("cannot be made durable");
    let client = second.client().await;
    let waiting = tokio::spawn(async move { client.submit(steps(1)).await });
    wait_until("it does not wait", async || {
        metric(&second, "runtraced_spool_refusing").await == 1
    })
    .await;
    other.start().await;
    let outcome = waiting.await.unwrap().unwrap().outcome.unwrap();
    assert_eq!((outcome.committed, outcome.spooled), (1, 0));
    second.check_counts().await;
    let mut conn = PgConnection::connect(&url).await.unwrap();
    assert_eq!(count(&mut conn, "agent_steps").await, 1);
    assert_eq!(ledger_sum(&mut conn).await, [1, 1, 0, 0, 0, 0, 0]);
    conn.close().await.unwrap();
    second.finish().await;
}

/// Scenario: the spool is rebound by hand; and a spool that is empty meets another database.
/// Guarantees: the next daemon replays the former into its database; the latter needs no hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_spool_can_be_rebound_and_an_empty_one_binds_itself() {
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    spooled_for(&mut cluster, &dir, 7).await;
    let folder = dir.path().to_str().unwrap();
    let rebind = ["spool", "rebind", "--spool-dir", folder];
    let (code, said) = runtraced(&rebind, cluster.url()).await;
    assert!(code == 0 && said.contains("7 events"), "{said}");
    for events in [7, 0] {
        let database = pg::database().await;
        let second = daemon(database.url(), &dir, &[]).await;
        let (code, said) = runtraced(&rebind, database.url()).await;
        assert!(code == 1 && said.contains("in use"), "{said}");
        replayed(&second).await;
        assert_eq!(settled(&second, "committed").await, events);
        assert_eq!(second.get("/readyz").await.1, "ready\n");
        second.finish().await;
    }
}

/// Scenario: a role that may not ask for the cluster's identifier.
/// Guarantees: the daemon works, and still tells databases of one cluster apart.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_need_not_know_the_cluster() {
    let mut cluster = pg::own_cluster().await;
    let one = cluster.url().to_owned();
    let mut conn = PgConnection::connect(&one).await.unwrap();
    let create = "CREATE DATABASE other";
    sqlx::raw_sql(create).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let other = one.replace("/runtraced?", "/other?");
    for owner in [&one, &other] {
        writer(owner).await;
        let mut conn = PgConnection::connect(owner).await.unwrap();
        let revoke = "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC";
        sqlx::raw_sql(revoke).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    }
    let dir = SpoolDir::new();
    let flags = dir.flags(&["--no-migrate"]);
    let mut first = Daemon::spawn_as_is(&as_role(&one), &flags).await;
    first.expect_warnings(AWAY);
    first.wait_ready().await;
    first.submit(steps(1)).await;
    let owner = std::fs::read_to_string(dir.path().join("spool.database")).unwrap();
    assert!(owner.starts_with("?/"), "{owner}");
    cluster.stop_immediate().await;
    first.client().await.submit(steps(4)).await.unwrap();
    assert!(first.terminate().await.success());
    cluster.start().await;
    for (owner, stored) in [(&other, 0), (&one, 5)] {
        let mut next = Daemon::spawn_as_is(&as_role(owner), &flags).await;
        next.expect_warnings(REFUSED);
        next.expect_warnings("events stay in the spool");
        next.wait_ready().await;
        let refused = u64::from(stored == 0);
        wait_until("it does not notice", async || {
            metric(&next, "runtraced_spool_other_database").await == refused
        })
        .await;
        replayed(&next).await;
        let mut conn = PgConnection::connect(owner).await.unwrap();
        assert_eq!(count(&mut conn, "agent_steps").await, stored);
        conn.close().await.unwrap();
        next.finish_as(owner).await;
    }
}
