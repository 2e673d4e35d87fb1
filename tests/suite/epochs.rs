//! Only daemons that write by the same rules, in a schema that they know, write to one database.

use std::time::{Duration, Instant};

use runtraced::store::{EPOCH_LOCK_CLASS, MIGRATIONS, WRITE_EPOCH};
use sqlx::{AssertSqlSafe, PgConnection, raw_sql};

use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_started};
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::spool::SpoolDir;
use crate::support::tables::{count, value};

const OTHER: i32 = WRITE_EPOCH + 1;

async fn run(conn: &mut PgConnection, sql: String) {
    raw_sql(AssertSqlSafe(sql)).execute(conn).await.unwrap();
}

async fn wait_for_runs(conn: &mut PgConnection, want: i64) {
    let until = Instant::now() + Duration::from_secs(60);
    while count(conn, "agent_runs").await != want {
        assert!(
            Instant::now() < until,
            "{}",
            count(conn, "agent_runs").await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sends a run, which is to be spooled.
async fn spool_run(daemon: &Daemon) {
    let client = daemon.client().await;
    let outcome = client.submit(vec![run_started(0, new_id())]).await;
    assert_eq!(outcome.unwrap().outcome.unwrap().spooled, 1);
}

fn alarms(daemon: &Daemon, level: &str) -> Vec<String> {
    let level = format!("\"level\":\"{level}\"");
    let lines = daemon.logs();
    let lines = lines.lines().filter(|line| line.contains(&level));
    lines.map(str::to_owned).collect()
}

/// Scenario: a daemon that does not migrate meets a database without a schema, and one that is
/// four migrations behind; a client sends; then somebody migrates.
/// Guarantees: it is not ready and says why, in one ERROR that tells what to run; `status` fails;
/// events are spooled, and it does not go to and fro; then it goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_behind_is_waited_for() {
    for behind in [false, true] {
        let database = pg::empty_database().await;
        if behind {
            let mut conn = database.connect().await;
            let ups = MIGRATIONS
                .iter()
                .filter(|m| m.migration_type.is_up_migration());
            let versions: Vec<i64> = ups.map(|m| m.version).collect();
            let target = versions[versions.len() - 5];
            MIGRATIONS.run_to(target, &mut conn).await.unwrap();
        }
        let dir = SpoolDir::new();
        let flags = dir.flags(&["--no-migrate"]);
        let mut daemon = Daemon::spawn_as_is(database.url(), &flags).await;
        daemon.expect_warnings("not ready");
        spool_run(&daemon).await;
        // Much happens in this time if it goes to and fro.
        tokio::time::sleep(Duration::from_secs(3)).await;
        spool_run(&daemon).await;
        let (code, why) = daemon.get("/readyz").await;
        assert_eq!(code, 503, "{why}");
        assert!(why.contains("runtraced migrate"), "{why}");
        assert_eq!(daemon.metrics().await["runtraced_spooling"], 1);
        let errors = alarms(&daemon, "ERROR");
        assert!(
            matches!(&errors[..], [one] if one.contains("runtraced migrate")),
            "{errors:#?}"
        );
        assert!(daemon.logs().lines().count() < 10, "{}", daemon.logs());
        let status = ["status", "--http", daemon.http_address()];
        let (code, said) = runtraced(&status, database.url()).await;
        assert_eq!(code, 1, "{said}");

        let (code, said) = runtraced(&["migrate"], database.url()).await;
        assert_eq!(code, 0, "{said}");
        let last = MIGRATIONS.iter().last().unwrap();
        let last = format!(
            "applied {:04}_{}",
            last.version,
            last.description.replace(' ', "_")
        );
        assert!(said.contains(&last), "{said}");
        assert_eq!(said.contains("applied 0001_auth_shim\n"), !behind, "{said}");
        daemon.wait_ready().await;
        wait_for_runs(&mut database.connect().await, 2).await;
        let (code, said) = runtraced(&["migrate"], database.url()).await;
        assert_eq!(
            (code, said.as_str()),
            (0, "nothing to do: the schema is up to date\n")
        );
        daemon.finish().await;
    }
}

/// Scenario: a migration deadlocks with a session that reads, as daemons do, and is the victim.
/// Guarantees: it is tried again, and the schema is brought up to date.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_deadlocks_is_tried_again() {
    let database = pg::empty_database().await;
    let (mut reader, mut watch) = (database.connect().await, database.connect().await);
    // This one locks `customers` first and `ingest_keys` later.
    const POLICIES: i64 = 7;
    MIGRATIONS.run_to(POLICIES - 1, &mut watch).await.unwrap();
    run(
        &mut reader,
        "BEGIN; LOCK ingest_keys IN ACCESS SHARE MODE".into(),
    )
    .await;
    let url = database.url().to_owned();
    let migrating = tokio::spawn(async move { runtraced(&["migrate"], &url).await });
    let waiting = "pg_locks WHERE NOT granted AND relation = 'ingest_keys'::regclass";
    let until = Instant::now() + Duration::from_secs(60);
    while count(&mut watch, waiting).await == 0 {
        assert!(Instant::now() < until, "the migration does not wait");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The server ends who waits first.
    run(
        &mut reader,
        "LOCK customers IN ACCESS SHARE MODE; COMMIT".into(),
    )
    .await;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let (code, said) = migrating.await.unwrap();
    assert_eq!(code, 0, "{said}");
    // A server process tells its statistics when it exits.
    while value(&mut watch, deadlocks).await != 1 {
        assert!(Instant::now() < until, "no deadlock");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Scenario: a running daemon's schema loses its last migration, and gets it back.
/// Guarantees: it says so, spools, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_goes_back_is_noticed() {
    let database = pg::plain_database().await;
    let dir = SpoolDir::new();
    let flags = dir.flags(&["--no-migrate"]);
    let mut daemon = Daemon::spawn_as_is(database.url(), &flags).await;
    // What it wrote to while the tables changed failed; that is told, too.
    daemon.expect_warnings("");
    daemon.wait_ready().await;
    daemon.submit(vec![run_started(0, new_id())]).await;
    let mut conn = database.connect().await;
    MIGRATIONS.undo(&mut conn, 18).await.unwrap();
    daemon.wait_ready_state(false).await;
    spool_run(&daemon).await;
    MIGRATIONS.run(&mut conn).await.unwrap();
    daemon.wait_ready().await;
    wait_for_runs(&mut conn, 2).await;
    daemon.finish().await;
}

/// Scenario: a daemon of another epoch is connected; ours starts and is sent events. Then the other
/// one goes.
/// Guarantees: ours writes nothing, spools, stays ready, and says in one line which epochs they
/// are; `migrate` refuses; then ours writes, and its sessions show its own epoch.
#[tokio::test(flavor = "multi_thread")]
async fn daemons_of_two_epochs_do_not_write_at_once() {
    let database = pg::database().await;
    let (mut other, mut conn) = (database.connect().await, database.connect().await);
    let lock = format!("SELECT pg_advisory_lock_shared({EPOCH_LOCK_CLASS}, {OTHER})");
    run(&mut other, lock).await;
    let dir = SpoolDir::new();
    let flags = dir.flags(&["--no-migrate"]);
    let mut daemon = Daemon::spawn_as_is(database.url(), &flags).await;
    daemon.expect_warnings("nothing is written to the database");
    spool_run(&daemon).await;
    daemon.wait_ready().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    spool_run(&daemon).await;
    assert_eq!(count(&mut conn, "agent_runs").await, 0);
    assert_eq!(count(&mut conn, "ingest_ledger").await, 0);
    let warnings = alarms(&daemon, "WARN");
    let [one] = &warnings[..] else {
        panic!("{warnings:#?}");
    };
    for epoch in [WRITE_EPOCH, OTHER] {
        assert!(one.contains(&format!("epoch {epoch}")), "{one}");
    }
    let (code, said) = runtraced(&["migrate"], database.url()).await;
    assert!(
        code != 0 && said.contains(&format!("epoch {OTHER}")),
        "{said}"
    );

    run(&mut other, "SELECT pg_advisory_unlock_all()".to_owned()).await;
    wait_for_runs(&mut conn, 2).await;
    let epochs = format!(
        "SELECT coalesce(jsonb_agg(DISTINCT objid::bigint), '[]') FROM pg_locks
         WHERE locktype = 'advisory' AND classid::bigint = {EPOCH_LOCK_CLASS} AND objsubid = 2
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    );
    assert_eq!(
        value(&mut conn, &epochs).await,
        serde_json::json!([WRITE_EPOCH])
    );
    daemon.finish().await;
}

/// Scenario: the schema is of a newer epoch, and then of ours again.
/// Guarantees: the daemon counts the database as away, says in one line which epochs they are, and
/// goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_another_epoch_is_not_written() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let be = |epoch: i32| {
        format!(
            "CREATE OR REPLACE FUNCTION public.ingest_write_epoch() RETURNS integer
             LANGUAGE sql STABLE SET search_path = '' AS 'SELECT {epoch}'"
        )
    };
    run(&mut conn, be(OTHER)).await;
    let dir = SpoolDir::new();
    // It migrates, or would: a schema that it does not know is no reason to end.
    run(
        &mut conn,
        "INSERT INTO _sqlx_migrations VALUES (9999, 'of the future', now(), true, '', 0)".into(),
    )
    .await;
    let mut daemon = Daemon::spawn_as_is(database.url(), &dir.flags(&[])).await;
    daemon.expect_warnings("nothing is written to the database");
    spool_run(&daemon).await;
    daemon.wait_ready().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(count(&mut conn, "agent_runs").await, 0);
    let warnings = alarms(&daemon, "WARN");
    assert!(
        matches!(&warnings[..], [one] if one.contains(&format!("epoch {OTHER}"))),
        "{warnings:#?}"
    );
    run(&mut conn, be(WRITE_EPOCH)).await;
    wait_for_runs(&mut conn, 1).await;
    daemon.finish().await;
}
