//! What tables of the product do not let go, and what filters of `prune` leave alone.

use super::erased::erase;
use super::rows::{age, run_sql, send_run, there};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::pg;
use crate::support::process::runtraced;

/// Scenario: tables of the product refer to an old run and to the session of another one. Nobody has locked anything.
/// Guarantees: prune and erase name the table, the foreign key and a row, and do not say that others work on them or send more. Then the rows
/// of the product go, and the traces too.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_key_is_named_as_the_cause() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let session = new_id();
    let [held, free, in_session] = [
        send_run(&daemon, None, "a").await,
        send_run(&daemon, None, "a").await,
        send_run(&daemon, Some(session), "a").await,
    ];
    daemon.finish().await;
    run_sql(
        &mut conn,
        &format!(
            "CREATE TABLE tickets (run_id UUID CONSTRAINT ticket_run REFERENCES agent_runs(id));
             CREATE TABLE chats (session_id UUID CONSTRAINT chat_session REFERENCES agent_sessions(id));
             INSERT INTO tickets VALUES ('{held}'); INSERT INTO chats VALUES ('{session}');
             UPDATE agent_runs SET metadata = '{{\"user\": \"ann\"}}' WHERE id = '{held}'"
        ),
    )
    .await;
    age(&mut conn, &[held, free], 40).await;
    let prune = ["prune", "--older-than", "30d"];
    let (code, said) = runtraced(&prune, database.url()).await;
    assert_eq!(code, 1, "{said}");
    let cause =
        format!("runs that stay: 1, for example {held}: foreign key ticket_run of table tickets");
    assert!(said.contains(&cause), "{said}");
    assert!(!said.contains("working on"), "{said}");
    assert_eq!(there(&mut conn, &[held, free]).await, [held]);
    let session = session.to_string();
    for (args, key, id) in [
        (["--user", "ann"], "ticket_run", held.to_string()),
        (["--session", &session], "chat_session", session.clone()),
    ] {
        let args = [&args[..], &["--yes"]].concat();
        let (code, report) = erase(&args, database.url()).await;
        assert_eq!(code, 1, "{report}");
        assert_eq!(report["comes_again"], false, "{report}");
        assert_eq!(report["held"][0]["foreign_key"], key, "{report}");
        assert_eq!(report["held"][0]["example"], *id, "{report}");
        let said = runtraced(&[&["erase"], &args[..]].concat(), database.url())
            .await
            .1;
        assert!(
            said.contains(key) && !said.contains("More is being sent"),
            "{said}"
        );
    }
    run_sql(&mut conn, "DELETE FROM tickets; DELETE FROM chats").await;
    assert!(there(&mut conn, &[in_session]).await.is_empty());
    let (code, report) = erase(&["--session", &session, "--yes"], database.url()).await;
    assert_eq!((code, &report["rows"]["agent_sessions"]), (0, &1.into()));
    let (code, said) = runtraced(&prune, database.url()).await;
    assert_eq!(code, 0, "{said}");
    assert!(there(&mut conn, &[held]).await.is_empty());
}

/// Scenario: the deletion of runs of two agents was interrupted.
/// Guarantees: prune with a filter counts and deletes only those that meet it; without one, it deletes all.
#[tokio::test(flavor = "multi_thread")]
async fn filters_hold_for_what_was_begun() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (customer, other) = (new_id().to_string(), new_id().to_string());
    let all = [
        send_run(&daemon, None, "a").await,
        send_run(&daemon, None, "b").await,
        send_run(&daemon, None, "b").await,
    ];
    daemon.finish().await;
    run_sql(
        &mut conn,
        &format!(
            "UPDATE agent_runs SET gone_at = now();
             UPDATE agent_runs SET tenant_id = '{customer}', status = 'failed' WHERE id = '{}'",
            all[2]
        ),
    )
    .await;
    for (filter, found, left) in [
        (&["--agent", "c"][..], false, &all[..]),
        (&["--customer", &other], false, &all),
        (&["--agent", "a", "--dry-run"], true, &all),
        (&["--agent", "a"], true, &all[1..]),
        (
            &["--status", "completed", "--customer", &customer],
            false,
            &all[1..],
        ),
        (&["--status", "failed"], true, &all[1..2]),
        (&[], true, &all[..0]),
    ] {
        let args = [&["prune", "--older-than", "30d"], filter].concat();
        let (code, said) = runtraced(&args, database.url()).await;
        assert_eq!(code, 0, "{said}");
        assert_eq!(said.contains("No such runs"), !found, "{filter:?}: {said}");
        assert_eq!(there(&mut conn, &all).await, left, "{filter:?}");
    }
}
