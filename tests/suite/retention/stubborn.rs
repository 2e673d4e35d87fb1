//! What cannot be deleted holds up nothing else.

use std::time::Duration;

use super::kept::FLAGS;
use super::rows::{age, orphans, run_sql, send_run, there, wait_for_runs, wait_for_runs_within};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::pg;
use crate::support::process::runtraced;

/// Scenario: of some old runs, one has 1,500 steps of which each takes four milliseconds to delete: together longer than a statement
/// may take.
/// Guarantees: it goes, in smaller and smaller parts, and so do the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_heavy_run_goes_in_smaller_parts() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let runs = [
        send_run(&daemon, None, "a").await,
        send_run(&daemon, None, "a").await,
    ];
    let heavy = runs[0];
    run_sql(
        &mut conn,
        &format!(
            "INSERT INTO agent_steps (id, run_id, step_type, name) SELECT gen_random_uuid(), '{heavy}', 'tool_call', 'x' FROM generate_series(1, 1500);
             CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN PERFORM pg_sleep(0.004); RETURN OLD; END $f$;
             CREATE TRIGGER slowly BEFORE DELETE ON agent_steps FOR EACH ROW EXECUTE FUNCTION slowly()"
        ),
    )
    .await;
    age(&mut conn, &runs, 100).await;
    daemon.finish().await;
    let daemon = Daemon::with_args(database.url(), &FLAGS).await;
    // Each statement that takes too long costs five seconds.
    let limit = Duration::from_secs(120);
    wait_for_runs_within(&mut conn, &runs, &[], limit).await;
    assert_eq!(orphans(&mut conn, heavy).await, 0);
    daemon.finish().await;
}

/// Scenario: a table of the product refers to one of three old runs.
/// Guarantees: the others go, by prune and by the daemon; that one stays whole, and both say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_others_refer_to_stays_alone() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(send_run(&daemon, None, "a").await);
    }
    let kept = runs[1];
    run_sql(
        &mut conn,
        &format!(
            "CREATE TABLE tickets (run_id UUID REFERENCES agent_runs(id));
             INSERT INTO tickets VALUES ('{kept}')"
        ),
    )
    .await;
    let steps = orphans(&mut conn, kept).await;
    age(&mut conn, &runs, 100).await;
    daemon.finish().await;
    let mut daemon = Daemon::with_args(database.url(), &FLAGS).await;
    daemon.expect_warnings("a run cannot be deleted");
    wait_for_runs(&mut conn, &runs, &[kept]).await;
    let (code, said) = runtraced(&["prune", "--older-than", "30d"], database.url()).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("that stay: 1"), "{said}");
    assert_eq!(orphans(&mut conn, kept).await, steps);
    run_sql(&mut conn, "DELETE FROM tickets").await;
    wait_for_runs(&mut conn, &runs, &[]).await;
    daemon.finish().await;
}

/// Scenario: an old run of a customer that has no row in `customers`, whose traces a rule keeps for ever; one that was scored a
/// moment ago; and rules that no database can count with.
/// Guarantees: both runs stay; `prune --customer` finds the first one; such rules are refused.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_customers_have_rules_and_scores_are_changes() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let customer = new_id().to_string();
    let [theirs, scored, old] = [
        send_run(&daemon, None, "a").await,
        send_run(&daemon, None, "a").await,
        send_run(&daemon, None, "a").await,
    ];
    daemon.finish().await;
    run_sql(
        &mut conn,
        &format!(
            "UPDATE agent_runs SET metadata = jsonb_build_object('unresolved_customer_id', '{customer}') WHERE id = '{theirs}';
             UPDATE agent_scores SET created_at = now() WHERE run_id = '{scored}';
             INSERT INTO retention_rules (customer_id, keep) VALUES ('{customer}', NULL)"
        ),
    )
    .await;
    let all = [theirs, scored, old];
    age(&mut conn, &all, 100).await;
    let daemon = Daemon::with_args(database.url(), &FLAGS).await;
    wait_for_runs(&mut conn, &all, &[theirs, scored]).await;
    let (code, said) = runtraced(&["prune", "--older-than", "30d"], database.url()).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(there(&mut conn, &all).await, [scored]);
    daemon.finish().await;
    let customer = ["prune", "--older-than", "30d", "--customer", &customer];
    run_sql(
        &mut conn,
        "UPDATE agent_scores SET created_at = now() - interval '99 days'",
    )
    .await;
    let (code, said) = runtraced(&customer, database.url()).await;
    assert_eq!((code, said.trim()), (0, "No such runs."));
    for keep in ["'10000 years'", "'1 minute'"] {
        let rule = format!("INSERT INTO retention_rules (keep) VALUES ({keep})");
        let refused = sqlx::query(sqlx::AssertSqlSafe(rule))
            .execute(&mut conn)
            .await;
        let error = refused.unwrap_err();
        let code = error.as_database_error().unwrap().code();
        assert_eq!(code.as_deref(), Some("23514"), "{keep}");
    }
}
