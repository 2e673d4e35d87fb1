//! How `runtraced erase` and `prune` find whom they are told.

use serde_json::json;

use super::erased::{erase, mentions};
use super::others::add_customers;
use super::rows::{age, run_sql, send_run, there};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::tables::count;

/// Scenario: metadata of runs and of a session, and dead letters, name a user by a UUID: without hyphens, as a URN, in braces, in capital
/// letters. It is erased by the usual form, and then again by 32 digits.
/// Guarantees: each time, all of it goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_id_is_found_in_every_spelling() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let user = new_id();
    let spellings = [
        user.to_string(),
        user.simple().to_string(),
        user.urn().to_string(),
        user.braced().to_string().to_uppercase(),
    ];
    for given in [&spellings[0], &spellings[1]] {
        for name in &spellings {
            let run = send_run(&daemon, None, "a").await;
            let metadata = json!({"user": {"id": name}});
            run_sql(
                &mut conn,
                &format!(
                    "UPDATE agent_runs SET metadata = '{metadata}' WHERE id = '{run}';
                     INSERT INTO agent_sessions (id, metadata) VALUES (gen_random_uuid(), '{{\"user\": \"{name}\"}}')"
                ),
            )
            .await;
            let letter =
                json!({"stepEnded": {"runId": new_id(), "metadataJson": metadata.to_string()}});
            sqlx::query("INSERT INTO ingest_dead_letters (source, code, reason, payload) VALUES ('test', 'x', 'x', $1)")
                .bind(letter)
                .execute(&mut conn)
                .await
                .unwrap();
        }
        let (code, report) = erase(&["--user", given, "--yes"], database.url()).await;
        assert_eq!(code, 0, "{report}");
        for table in ["agent_runs", "agent_sessions", "ingest_dead_letters"] {
            assert_eq!(report["rows"][table], 4, "{given} {table}: {report}");
        }
        assert_eq!(mentions(&mut conn, user).await, 0);
    }
    daemon.finish().await;
}

/// Scenario: traces name a customer by its id and by its name, another one by a name that the table of customers does not have. Two
/// customers have one name.
/// Guarantees: a name of one customer erases all of that customer, and repeating it is no fault. A name of two erases nothing, and the ids are
/// said. A name of nobody is a fault. Runs of others stay, also below an erased run.
#[tokio::test(flavor = "multi_thread")]
async fn a_customer_may_be_given_by_name() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let [acme, twin, other_twin] = [(); 3].map(|()| new_id());
    add_customers(&mut conn, &[acme, twin, other_twin]).await;
    let mut runs = Vec::new();
    for set in [
        format!("customer_id = '{acme}'"),
        "metadata = '{\"unresolved_customer_id\": \"Acme\"}'".to_owned(),
        "metadata = '{\"unresolved_customer_id\": \"globex\"}'".to_owned(),
        format!("customer_id = '{twin}'"),
    ] {
        let run = send_run(&daemon, None, "a").await;
        let sql = format!("UPDATE agent_runs SET {set} WHERE id = '{run}'");
        run_sql(&mut conn, &sql).await;
        runs.push(run);
    }
    let [of_id, of_name, globex, of_twin] = runs[..] else {
        panic!("{runs:?}")
    };
    run_sql(
        &mut conn,
        &format!(
            "UPDATE customers SET name = CASE WHEN id = '{acme}' THEN 'Acme' ELSE 'Twin' END;
             UPDATE agent_runs SET parent_run_id = '{globex}' WHERE id = '{of_twin}'"
        ),
    )
    .await;
    let (code, said) = runtraced(&["erase", "--customer", "Twin", "--yes"], database.url()).await;
    assert_eq!(code, 1, "{said}");
    for id in [twin, other_twin] {
        assert!(said.contains(&id.to_string()), "{said}");
    }
    let (code, said) = runtraced(&["erase", "--customer", "acme", "--yes"], database.url()).await;
    assert!(
        code == 1 && said.contains("neither the id nor the name"),
        "{said}"
    );
    assert_eq!(there(&mut conn, &runs).await, runs);
    for (name, left) in [("Acme", vec![globex, of_twin]), ("globex", vec![of_twin])] {
        for _ in 0..2 {
            let (code, report) = erase(&["--customer", name, "--yes"], database.url()).await;
            assert_eq!(code, 0, "{report}");
            assert_eq!(there(&mut conn, &runs).await, left, "{of_id} {of_name}");
        }
    }
    let run = send_run(&daemon, None, "a").await;
    run_sql(
        &mut conn,
        &format!("UPDATE agent_runs SET customer_id = '{acme}' WHERE id = '{run}'"),
    )
    .await;
    age(&mut conn, &[run, of_twin], 40).await;
    let args = ["prune", "--older-than", "30d", "--customer", "Acme"];
    let (code, said) = runtraced(&args, database.url()).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(count(&mut conn, "agent_runs").await, 1);
    assert_eq!(there(&mut conn, &[of_twin]).await, [of_twin]);
    daemon.finish().await;
}
