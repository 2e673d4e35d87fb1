//! `runtraced prune`.

use super::rows::{age, counts, run_sql, send_run, there};
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_started};
use crate::support::pg;
use crate::support::process::runtraced;

/// Scenario: runs of two agents, failed and completed, of a customer and of none, old and young; one that goes on.
/// Guarantees: --dry-run counts and deletes nothing; each filter narrows; what was counted is what is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn filters_narrow_and_a_dry_run_only_counts() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (customer, session) = (new_id(), new_id());
    let [a, b, failed, theirs, young] = [
        send_run(&daemon, None, "a").await,
        send_run(&daemon, None, "b").await,
        send_run(&daemon, None, "b").await,
        send_run(&daemon, Some(session), "b").await,
        send_run(&daemon, None, "a").await,
    ];
    let goes_on = new_id();
    daemon.submit(vec![run_started(0, goes_on)]).await;
    daemon.finish().await;
    age(&mut conn, &[a, b, failed, theirs, goes_on], 40).await;
    age(&mut conn, &[young], 20).await;
    run_sql(
        &mut conn,
        "INSERT INTO agent_sessions (id) VALUES (gen_random_uuid())",
    )
    .await;
    run_sql(
        &mut conn,
        "UPDATE agent_sessions SET changed_at = now() - interval '40 days'",
    )
    .await;
    run_sql(
        &mut conn,
        &format!(
            "UPDATE agent_runs SET status = 'failed' WHERE id = '{failed}';
             UPDATE agent_runs SET tenant_id = '{customer}' WHERE id = '{theirs}'"
        ),
    )
    .await;
    let all = [a, b, failed, theirs, young, goes_on];
    let before = counts(&mut conn).await;
    let dry = ["prune", "--older-than", "30d", "--dry-run"];
    let (code, said) = runtraced(&dry, database.url()).await;
    assert_eq!(code, 0, "{said}");
    for line in ["agent_runs 4", "agent_steps 8", "agent_token_counts 4"] {
        let words = line.split(' ').collect::<Vec<_>>();
        let is_said = |text: &str| text.split_whitespace().collect::<Vec<_>>() == words;
        assert!(said.lines().any(is_said), "{line}: {said}");
    }
    assert_eq!(counts(&mut conn).await, before);

    let customer = customer.to_string();
    for (args, left) in [
        (
            &["--status", "failed"][..],
            &[a, b, theirs, young, goes_on][..],
        ),
        (&["--agent", "a"], &[b, theirs, young, goes_on]),
        (&["--customer", &customer], &[b, young, goes_on]),
        (&[], &[young, goes_on]),
        (&[], &[young, goes_on]),
    ] {
        let args = [&["prune", "--older-than", "30d"], args].concat();
        let (code, said) = runtraced(&args, database.url()).await;
        assert_eq!(code, 0, "{said}");
        assert_eq!(there(&mut conn, &all).await, left, "{args:?}");
    }
    // The session of the one that had one went with it, and so did one without a run.
    assert_eq!(counts(&mut conn).await[0], 0);
    let (code, said) = runtraced(&["prune", "--older-than", "5m"], database.url()).await;
    assert_eq!(code, 64, "{said}");
}
