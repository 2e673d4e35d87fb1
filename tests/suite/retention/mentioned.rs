//! A user in steps, messages and scores of others.

use serde_json::json;
use uuid::Uuid;

use super::erased::{erase, mentions};
use super::others::add_customers;
use super::rows::{counts, run_sql, send_run, there};
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_started};
use crate::support::pg;
use crate::support::tables::{count, row};

/// Scenario: a step, a message and a score of somebody else's run name a user in their metadata, each in its own way; so does a message without
/// a run in somebody else's session. Other rows of the run name another user. The user has a run, whose step names the user too.
/// Guarantees: --dry-run counts what goes. The messages go. The step and the score stay without the user, and the score without its comment.
/// All else stays as it is, and the writer of the run forgets its totals. Nothing names the user any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_goes_from_rows_of_others() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (user, other, session) = (new_id(), new_id(), new_id());
    let theirs = send_run(&daemon, Some(session), "a").await;
    let left = counts(&mut conn).await;
    let own = send_run(&daemon, None, "a").await;
    let upper = user.to_string().to_uppercase();
    run_sql(
        &mut conn,
        &format!(
            r#"UPDATE agent_runs SET metadata = '{{"user": "{user}"}}' WHERE id = '{own}';
               UPDATE agent_steps SET metadata = '{{"user.id": "{user}", "kept": 1.0}}' WHERE run_id = '{own}';
               UPDATE agent_steps SET metadata = '{{"enduser.id": "{upper}", "user": {{"id": "{user}"}}, "kept": 1.0}}'
                 WHERE id = (SELECT min(id::text)::uuid FROM agent_steps WHERE run_id = '{theirs}');
               UPDATE agent_steps SET metadata = '{{"user": "{other}"}}'
                 WHERE id = (SELECT max(id::text)::uuid FROM agent_steps WHERE run_id = '{theirs}');
               UPDATE agent_messages SET metadata = '{{"user_id": "{other}"}}' WHERE run_id = '{theirs}';
               UPDATE agent_scores SET metadata = '{{"userId": "{user}"}}', comment = 'by her' WHERE run_id = '{theirs}';
               INSERT INTO agent_messages (session_id, run_id, role, content, metadata) VALUES
                 ('{session}', '{theirs}', 'user', 'I', '{{"user_id": "{user}"}}'),
                 ('{session}', NULL, 'user', 'I', '{{"user_id": "{user}"}}');
               UPDATE agent_runs SET summed_by = 7"#
        ),
    )
    .await;
    let user_text = user.to_string();
    for flag in ["--dry-run", "--yes"] {
        let (code, report) = erase(&["--user", &user_text, flag], database.url()).await;
        assert_eq!(code, 0, "{report}");
        assert_eq!(report["mentions"], 2, "{report}");
        assert_eq!(report["rows"]["agent_messages"], 3, "{report}");
        assert_eq!(report["rows"]["agent_runs"], 1, "{report}");
    }
    assert_eq!(mentions(&mut conn, user).await, 0);
    assert_eq!(counts(&mut conn).await, left);
    assert_eq!(there(&mut conn, &[theirs, own]).await, [theirs]);
    for (sql, want) in [
        (
            "SELECT metadata FROM agent_steps WHERE metadata ? 'kept'",
            json!({"metadata": {"kept": 1.0}}),
        ),
        (
            "SELECT metadata, comment FROM agent_scores",
            json!({"metadata": null, "comment": null}),
        ),
        (
            "SELECT summed_by FROM agent_runs",
            json!({"summed_by": null}),
        ),
    ] {
        assert_eq!(row(&mut conn, sql).await, want, "{sql}");
    }
    assert_eq!(mentions(&mut conn, other).await, 2);
    daemon.finish().await;
}

/// Scenario: steps of two customers name users of one name; one of them has a run too.
/// Guarantees: the name alone changes nothing. With a customer, only that customer's step loses the user.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_means_the_user_of_one_customer() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (one, two) = (new_id(), new_id());
    add_customers(&mut conn, &[one, two]).await;
    for customer in [one, two] {
        let run: Uuid = send_run(&daemon, None, "a").await;
        run_sql(
            &mut conn,
            &format!(
                "UPDATE agent_runs SET customer_id = '{customer}' WHERE id = '{run}';
                 UPDATE agent_steps SET metadata = '{{\"user\": \"ann\"}}' WHERE run_id = '{run}'"
            ),
        )
        .await;
    }
    daemon.submit(vec![run_started(0, new_id())]).await;
    let named = "agent_steps WHERE metadata ->> 'user' = 'ann'";
    let (code, report) = erase(&["--user", "ann", "--yes"], database.url()).await;
    assert_eq!((code, &report["customers"]), (1, &2.into()), "{report}");
    assert_eq!(count(&mut conn, named).await, 4);
    let args = ["--user", "ann", "--customer", &one.to_string(), "--yes"];
    let (code, report) = erase(&args, database.url()).await;
    assert_eq!((code, &report["mentions"]), (0, &2.into()), "{report}");
    assert_eq!(count(&mut conn, named).await, 2);
    daemon.finish().await;
}
