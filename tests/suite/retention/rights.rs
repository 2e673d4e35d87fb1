//! The daemon's role and the right to delete.

use std::process::Command;

use sqlx::{Connection as _, PgConnection};

use super::rows::{age, send_run, there, wait_for_runs};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::writer::{ROLE, writer};

const NEEDED: &str = "--retention";

/// Scenario: the writer's role deletes: by --retain, prune and erase; first without the right, then with it.
/// Guarantees: without the right nothing goes, and each says once, in one line, what to do; with it, all work. Events are written
/// in both.
#[tokio::test(flavor = "multi_thread")]
async fn the_right_to_delete_is_granted_apart() {
    let database = pg::database().await;
    let url = writer(database.url()).await;
    let mut owner = database.connect().await;
    let flags = ["--no-migrate", "--retain", "90d", "--sweep-interval", "0.1"];
    let mut daemon = Daemon::spawn_as_is(&url, &flags).await;
    daemon.expect_warnings("may not delete traces");
    daemon.wait_ready().await;
    let session = new_id();
    let old = send_run(&daemon, Some(session), "a").await;
    age(&mut owner, &[old], 100).await;
    for _ in 0..1_000 {
        if daemon.logs().contains(NEEDED) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let said = daemon.logs();
    assert_eq!(said.matches(NEEDED).count(), 1, "{said}");
    let id = session.to_string();
    for args in [
        &["prune", "--older-than", "30d"][..],
        &["erase", "--session", &id, "--yes"],
    ] {
        let (code, said) = runtraced(args, &url).await;
        assert_eq!((code, said.lines().count()), (1, 1), "{said}");
        assert!(said.contains(NEEDED), "{said}");
    }
    assert_eq!(there(&mut owner, &[old]).await, [old]);

    let granted = Command::new(env!("CARGO_BIN_EXE_runtraced"))
        .args(["grant", "--role", ROLE, "--retention"])
        .env("DATABASE_URL", database.url())
        .output()
        .unwrap();
    assert!(granted.status.success(), "{granted:?}");
    wait_for_runs(&mut owner, &[old], &[]).await;
    // A grant after an upgrade takes nothing away.
    let granted = Command::new(env!("CARGO_BIN_EXE_runtraced"))
        .args(["grant", "--role", ROLE])
        .env("DATABASE_URL", database.url())
        .output()
        .unwrap();
    assert!(granted.status.success(), "{granted:?}");
    let two = [
        send_run(&daemon, None, "a").await,
        send_run(&daemon, Some(session), "a").await,
    ];
    age(&mut owner, &two[..1], 40).await;
    let (code, said) = runtraced(&["prune", "--older-than", "30d"], &url).await;
    assert_eq!(code, 0, "{said}");
    let (code, said) = runtraced(&["erase", "--session", &id, "--yes"], &url).await;
    assert_eq!(code, 0, "{said}");
    assert!(there(&mut owner, &two).await.is_empty());
    daemon.finish_as(database.url()).await;
    // The role still may not touch rules.
    let mut conn = PgConnection::connect(&url).await.unwrap();
    let insert = sqlx::query("INSERT INTO retention_rules (keep) VALUES ('1 day')");
    let error = insert.execute(&mut conn).await.unwrap_err();
    assert_eq!(
        error.as_database_error().unwrap().code().as_deref(),
        Some("42501")
    );
}
