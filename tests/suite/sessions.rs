//! The daemon's sessions in Postgres: how many, and what becomes of those that it gives up.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, raw_sql};

use crate::support::daemon::{AWAY, Daemon};
use crate::support::events::{new_id, run_started, step};
use crate::support::pg;
use crate::support::spool::SpoolDir;
use crate::support::tables::count;

const WRITERS: i64 = 3;

/// The server processes of the daemons on this database.
async fn backends(conn: &mut PgConnection) -> i64 {
    count(
        conn,
        "pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'runtraced%'",
    )
    .await
}

/// What they do.
async fn activity(conn: &mut PgConnection) -> String {
    let sql = "SELECT string_agg(concat_ws(' ', pid, application_name, state, wait_event, \
               now() - backend_start, left(query, 60)), E'\\n') FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name LIKE 'runtraced%'";
    sqlx::query_scalar(sql).fetch_one(conn).await.unwrap()
}

async fn run(conn: &mut PgConnection, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    raw_sql(sql).execute(conn).await.unwrap();
}

/// Scenario: tables are locked for some seconds, again and again in other ways, while clients
/// send; the daemon gives up on Postgres after a fraction of a second.
/// Guarantees: it never has more server processes than writers and four more; when the tables are
/// free, everything gets there by itself.
#[tokio::test(flavor = "multi_thread")]
async fn locked_tables_do_not_pile_up_server_processes() {
    let database = pg::database().await;
    let dir = SpoolDir::new();
    let writers = WRITERS.to_string();
    let flags = [
        "--spool-after",
        "0.3",
        "--writers",
        &writers,
        "--sweep-interval",
        "0.2",
    ];
    let mut daemon = Daemon::with_args(database.url(), &dir.flags(&flags)).await;
    daemon.expect_warnings(AWAY);
    let (mut watch, mut locker) = (database.connect().await, database.connect().await);
    let client = daemon.client().await;
    let mut sent = 0;
    for lock in [
        "LOCK TABLE agent_steps IN SHARE MODE",
        "LOCK TABLE agent_runs, agent_steps, ingest_ledger, ingest_keys, agent_step_aliases, approvals",
        "LOCK TABLE ingest_ledger",
    ] {
        run(&mut locker, &format!("BEGIN; {lock}")).await;
        let until = Instant::now() + Duration::from_secs(6);
        while Instant::now() < until {
            let batch: Vec<_> = (0..8)
                .flat_map(|_| {
                    let run = new_id();
                    [run_started(0, run), step(1, 2, run, new_id())]
                })
                .collect();
            sent += 8;
            let sending = client.submit(batch);
            tokio::pin!(sending);
            loop {
                let now = backends(&mut watch).await;
                if now > WRITERS + 4 {
                    let activity = activity(&mut watch).await;
                    panic!("{now} server processes, {lock}: {activity}");
                }
                tokio::select! {
                    answer = &mut sending => {
                        answer.unwrap();
                        break;
                    }
                    () = tokio::time::sleep(Duration::from_millis(5)) => {}
                };
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        run(&mut locker, "COMMIT").await;
    }
    let until = Instant::now() + Duration::from_secs(60);
    while count(&mut watch, "agent_steps").await < sent {
        assert!(Instant::now() < until, "not replayed\n{}", daemon.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    daemon.finish().await;
}

/// Scenario: a daemon waits for a locked table, with its default timeouts, and is killed.
/// Guarantees: the server notices, and ends all that it did for it while the table is still locked.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_daemon_has_begun_is_ended() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let (mut watch, mut locker) = (database.connect().await, database.connect().await);
    run(&mut locker, "BEGIN; LOCK TABLE agent_steps IN SHARE MODE").await;
    let client = daemon.client().await;
    let (id, step_id) = (new_id(), new_id());
    let sending = tokio::spawn(async move { client.submit(vec![step(1, 2, id, step_id)]).await });
    let waiting =
        "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let until = Instant::now() + Duration::from_secs(30);
    while count(&mut watch, waiting).await == 0 {
        assert!(Instant::now() < until, "nobody waits");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    daemon.kill();
    sending.abort();
    // The daemon itself gives up after 30 seconds only.
    let until = Instant::now() + Duration::from_secs(20);
    while backends(&mut watch).await > 0 {
        assert!(Instant::now() < until, "server processes are left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Scenario: commits wait for a synchronous standby that is not there, for much longer than the
/// daemon waits, and longer than a session waits for its server process.
/// Guarantees: server processes do not pile up, although the server cannot end a commit by itself;
/// when the standby is not asked for any more, everything gets there.
#[tokio::test(flavor = "multi_thread")]
async fn commits_that_hang_do_not_pile_up_server_processes() {
    let cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    let writers = WRITERS.to_string();
    let flags = ["--spool-after", "0.3", "--writers", &writers];
    let mut daemon = Daemon::with_args(cluster.url(), &dir.flags(&flags)).await;
    daemon.expect_warnings(AWAY);
    let mut watch = PgConnection::connect(cluster.url()).await.unwrap();
    let standby = async |watch: &mut PgConnection, name: &str| {
        let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'");
        run(watch, &set).await;
        run(watch, "SELECT pg_reload_conf()").await;
    };
    standby(&mut watch, "nobody").await;
    let client = daemon.client().await;
    let (mut sent, mut seen) = (0, Vec::new());
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        client.submit(vec![run_started(0, new_id())]).await.unwrap();
        sent += 1;
        seen.push(backends(&mut watch).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    seen.sort_unstable();
    // One that replaces another is there with it for a moment.
    assert!(seen[seen.len() / 2] <= WRITERS + 4, "{seen:?}");
    assert!(seen[seen.len() - 1] <= 2 * (WRITERS + 4), "{seen:?}");
    standby(&mut watch, "").await;
    let until = Instant::now() + Duration::from_secs(60);
    while count(&mut watch, "agent_runs").await < sent {
        assert!(Instant::now() < until, "not replayed\n{}", daemon.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    daemon.finish().await;
}
