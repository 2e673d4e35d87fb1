//! What `runtraced erase` finds beside the traces: the sums of statistics, and the spool of a daemon that died.

use std::process::Command;

use sqlx::{Connection as _, PgConnection};

use super::erased::erase;
use super::rows::{below, run_sql, send_run};
use crate::support::daemon::{AWAY, Daemon};
use crate::support::events::new_id;
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::spool::SpoolDir;
use crate::support::tables::count;
use crate::support::writer::{ROLE, writer};

/// Sums up all that has changed, and then the days.
async fn sum_up(conn: &mut PgConnection) {
    while count(conn, "run_sums_changes").await > 0 {
        run_sql(conn, "SELECT fill_run_sums(1000, 20000, '0 seconds')").await;
    }
    run_sql(conn, "SELECT fill_run_sums_days()").await;
}

/// Scenario: no daemon runs. The sums of quarters and of a day name two users. One is erased by the owner, the other one by a role that may
/// not delete sums.
/// Guarantees: after the first command no sum names the user. The second one says that sums may. Statistics are right each time.
#[tokio::test(flavor = "multi_thread")]
async fn sums_forget_the_user_at_once() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let role_url = writer(database.url()).await;
    let granted = Command::new(env!("CARGO_BIN_EXE_runtraced"))
        .args(["grant", "--role", ROLE, "--retention"])
        .env("DATABASE_URL", database.url())
        .output()
        .unwrap();
    assert!(granted.status.success(), "{granted:?}");
    for user in ["ann", "ben", "zoe"] {
        let run = send_run(&daemon, None, "a").await;
        let metadata = format!("metadata = '{{\"user\": \"{user}\"}}'");
        let sql = format!("UPDATE agent_runs SET {metadata} WHERE id = '{run}'");
        run_sql(&mut conn, &sql).await;
    }
    daemon.finish().await;
    let in_sums = async |conn: &mut PgConnection, user: &str| {
        let named = format!("t WHERE t::text LIKE '%{user}%'");
        let quarters = count(conn, &format!("run_sums {named}")).await;
        quarters + count(conn, &format!("run_sums_days {named}")).await
    };
    for (user, url, is_left, runs) in [
        ("ann", database.url(), false, 2),
        ("ben", &role_url, true, 1),
    ] {
        sum_up(&mut conn).await;
        assert!(in_sums(&mut conn, user).await >= 2);
        let (code, report) = erase(&["--user", user, "--yes"], url).await;
        assert_eq!(code, 0, "{report}");
        assert_eq!(report["names_in_statistics"], is_left, "{report}");
        assert_eq!(in_sums(&mut conn, user).await > 0, is_left);
        let sum =
            "SELECT sum(runs)::bigint FROM run_sums_between('-infinity', 'infinity', 'runs', true)";
        let seen: i64 = sqlx::query_scalar(sum).fetch_one(&mut conn).await.unwrap();
        assert_eq!(seen, runs);
    }
}

/// Scenario: Postgres is away, so events go to the spool; then the daemon is killed, and Postgres comes back. The ledger knows nothing of the
/// events. Then the spool belongs to another database.
/// Guarantees: erase names the spool and its events and exits with 1, unless that is to be ignored. It does not mind a spool that does not
/// concern it, is empty, or is not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_spool_without_a_daemon_is_told() {
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    let mut daemon = Daemon::spawn(cluster.url(), &dir.flags(&["--spool-after", "3"])).await;
    daemon.expect_warnings(AWAY);
    daemon.wait_ready().await;
    let session = new_id();
    let run = send_run(&daemon, Some(session), "a").await;
    cluster.stop_immediate().await;
    let late = below(run, Some(session));
    daemon.client().await.submit(late).await.unwrap();
    daemon.kill();
    cluster.start().await;
    let (session, folder) = (session.to_string(), dir.path().to_str().unwrap());
    let args = ["--session", &session, "--yes", "--spool-dir", folder];
    let (code, report) = erase(&args, cluster.url()).await;
    assert_eq!(
        (code, &report["spooled_events"]),
        (1, &0.into()),
        "{report}"
    );
    assert_eq!(report["unused_spool"]["events"], 6, "{report}");
    let (code, said) = runtraced(&[&["erase"], &args[..]].concat(), cluster.url()).await;
    assert!(code == 1 && said.contains("no daemon uses: 6"), "{said}");
    assert!(said.contains(folder), "{said}");
    let ignoring = [&args[..], &["--ignore-old-spools"]].concat();
    assert_eq!(erase(&ignoring, cluster.url()).await.0, 0);

    let empty = SpoolDir::new();
    for folder in [empty.path().to_owned(), empty.path().join("missing")] {
        let args = [
            "--session",
            &session,
            "--yes",
            "--spool-dir",
            folder.to_str().unwrap(),
        ];
        let (code, report) = erase(&args, cluster.url()).await;
        assert!(code == 0 && report["unused_spool"].is_null(), "{report}");
    }
    std::fs::write(dir.path().join("spool.database"), "7/1\nelsewhere\n").unwrap();
    let (code, report) = erase(&args, cluster.url()).await;
    assert!(code == 0 && report["unused_spool"].is_null(), "{report}");
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    assert_eq!(count(&mut conn, "agent_runs").await, 0);
}
