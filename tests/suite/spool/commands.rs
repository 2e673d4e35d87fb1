//! `runtraced spool`, `status` and `dead-letters` as an operator uses them.

use runtraced::proto::Event;
use runtraced::spool::list;
use sqlx::{Connection as _, PgConnection};

use super::{SpoolDir, daemon, replayed, settled};
use crate::support::daemon::Daemon;
use crate::support::events::{message, new_id, step};
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::product::{before_insert, on_tables_of, poisoned_step};
use crate::support::tables::{count, value};

fn steps(count: usize) -> Vec<Event> {
    (0..count).map(|_| step(1, 2, new_id(), new_id())).collect()
}

/// Scenario: a daemon spools, and ends; one looks at its spool, damages a byte of it, and sends what
/// is sound to another daemon, twice.
/// Guarantees: ls and verify tell what is there; verify exits with 1 after the damage; replay puts
/// every sound event into Postgres once, leaves an empty spool but for the damaged file, and finds
/// nothing the second time.
#[tokio::test(flavor = "multi_thread")]
async fn a_spool_can_be_looked_at_checked_and_sent() {
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    let folder = dir.path().to_str().unwrap();
    let mut gone = daemon(cluster.url(), &dir, &[]).await;
    cluster.stop_immediate().await;
    for count in [3, 5] {
        gone.client().await.submit(steps(count)).await.unwrap();
    }
    assert_eq!(settled(&gone, "spooled").await, 8);
    let spool = |command| ["spool", command, "--spool-dir", folder];
    let (code, said) = runtraced(&spool("ls"), cluster.url()).await;
    assert!(
        code == 0 && said.contains(".spool") && said.contains("sound"),
        "{said}"
    );
    let (code, said) = runtraced(&spool("verify"), cluster.url()).await;
    assert!(code == 0 && said.contains("8 events in"), "{said}");
    let endpoint = ["--endpoint", gone.grpc_url()];
    let (code, said) = runtraced(&[&spool("replay")[..], &endpoint].concat(), cluster.url()).await;
    assert!(
        code == 1 && said.contains("in use by another daemon"),
        "{said}"
    );
    assert!(gone.terminate().await.success(), "{}", gone.logs());

    let file = &list(dir.path()).unwrap()[0];
    let path = dir.path().join(&file.name);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[48 + 28 + 4] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let sound = list(dir.path())
        .unwrap()
        .iter()
        .map(|file| file.events)
        .sum::<u64>();
    assert!((1..8).contains(&sound), "{sound}");
    let (code, said) = runtraced(&spool("verify"), cluster.url()).await;
    assert!(code == 1 && said.contains("1 damaged place\n"), "{said}");

    cluster.start().await;
    let taker = Daemon::start(cluster.url()).await;
    let endpoint = ["--endpoint", taker.grpc_url()];
    let replay = [&spool("replay")[..], &endpoint].concat();
    let (code, said) = runtraced(&replay, cluster.url()).await;
    assert!(
        code == 0 && said.contains(&format!("{sound} events sent, 0 refused")),
        "{said}"
    );
    let (code, said) = runtraced(&replay, cluster.url()).await;
    assert!(code == 0 && said.contains("0 events sent"), "{said}");
    let (_, said) = runtraced(&spool("ls"), cluster.url()).await;
    assert!(said.contains("quarantined"), "{said}");
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    assert_eq!(count(&mut conn, "agent_steps").await as u64, sound);
    conn.close().await.unwrap();
    taker.finish().await;
}

/// Scenario: status before, while and after Postgres is away.
/// Guarantees: it tells what is spooled, that the database is away, and the ledger once it is back.
#[tokio::test(flavor = "multi_thread")]
async fn status_tells_what_is_where() {
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    let daemon = daemon(cluster.url(), &dir, &[]).await;
    daemon.submit(steps(4)).await;
    let http = daemon.http_address().to_owned();
    let status = ["status", "--http", &http];
    cluster.stop_immediate().await;
    daemon.client().await.submit(steps(3)).await.unwrap();
    let (code, said) = runtraced(&status, cluster.url()).await;
    let line = |said: &str, name: &str| {
        let found = said.lines().find(|line| line.starts_with(name));
        found
            .unwrap_or_default()
            .split_whitespace()
            .last()
            .map(str::to_owned)
    };
    // The ledger is not to be had.
    assert_eq!(code, 69, "{said}");
    assert_eq!(line(&said, "received").as_deref(), Some("7"), "{said}");
    assert_eq!(line(&said, "spooled").as_deref(), Some("3"), "{said}");
    assert_eq!(line(&said, "in flight").as_deref(), Some("0"), "{said}");
    assert!(
        said.contains("the database is away, new events are spooled"),
        "{said}"
    );
    assert!(
        said.contains("ledger        unknown: cannot connect to the database at "),
        "{said}"
    );

    cluster.start().await;
    replayed(&daemon).await;
    daemon.check_counts().await;
    let (code, said) = runtraced(&status, cluster.url()).await;
    assert_eq!(code, 0, "{said}");
    let ledger = "7 received = 7 committed + 0 duplicate + 0 refused + 0 spooled";
    assert!(said.contains(ledger), "{said}");
    let (code, _) = runtraced(&["status", "--http", "127.0.0.1:1"], cluster.url()).await;
    assert_eq!(code, 69);
    daemon.finish().await;
}

/// Scenario: three events that Postgres refuses, two of which it takes once a constraint of the
/// operator's is gone; replay before, after, and again; then the rest is dropped.
/// Guarantees: list and show tell them; what is refused again stays; what is taken is there once and
/// marked as replayed; replaying again does nothing; drop deletes what was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_shown_replayed_and_dropped() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let rule = "ALTER TABLE TABLE_OF_ROWS ADD CONSTRAINT no_hello CHECK (content <> 'hello')";
    on_tables_of(&mut conn, "agent_messages", rule).await;
    let rule = "IF NEW.output::text LIKE '%poison%' THEN RAISE 'no'; END IF; RETURN NEW;";
    before_insert(&mut conn, "agent_steps", rule).await;
    let run = new_id();
    let outcome = daemon
        .submit(vec![
            message(0, Some(run), None, new_id()),
            message(0, Some(run), None, new_id()),
            poisoned_step(),
        ])
        .await;
    assert_eq!(outcome.refused.len(), 3);
    let url = database.url();
    let letters = |more: &[&str]| {
        [&["dead-letters"], more]
            .concat()
            .iter()
            .map(|s| (*s).to_owned())
            .collect::<Vec<_>>()
    };
    let run_it = async |more: &[&str]| {
        let args = letters(more);
        runtraced(&args.iter().map(String::as_str).collect::<Vec<_>>(), url).await
    };
    let (code, said) = run_it(&["list"]).await;
    assert!(
        code == 0 && said.contains("23514") && said.contains("P0001"),
        "{said}"
    );
    let id = value(
        &mut conn,
        "SELECT id FROM ingest_dead_letters WHERE code = 'P0001'",
    )
    .await;
    let id = id.as_str().unwrap();
    let (code, said) = run_it(&["show", id]).await;
    assert!(code == 0 && said.contains("poison"), "{said}");
    assert_eq!(run_it(&["show", &new_id().to_string()]).await.0, 1);
    assert_eq!(run_it(&["replay"]).await.0, 64, "it does not say which");

    let replay = ["replay", "--all", "--endpoint", daemon.grpc_url()];
    let (code, said) = run_it(&replay).await;
    assert!(
        code == 1 && said.contains("0 replayed, 3 refused"),
        "{said}"
    );
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, 3);
    let rule = "ALTER TABLE TABLE_OF_ROWS DROP CONSTRAINT no_hello";
    on_tables_of(&mut conn, "agent_messages", rule).await;
    let (code, said) = run_it(&replay).await;
    assert!(
        code == 1 && said.contains("2 replayed, 1 refused"),
        "{said}"
    );
    assert_eq!(count(&mut conn, "agent_messages").await, 2);
    let (code, said) = run_it(&replay).await;
    assert!(
        code == 1 && said.contains("0 replayed, 1 refused"),
        "{said}"
    );
    assert_eq!(count(&mut conn, "agent_messages").await, 2);
    let (_, said) = run_it(&["list"]).await;
    assert!(said.contains("P0001") && !said.contains("23514"), "{said}");

    let (code, said) = run_it(&["drop", id]).await;
    assert!(code == 0 && said.contains("1 dropped"), "{said}");
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, 2);
    daemon.finish().await;
}
