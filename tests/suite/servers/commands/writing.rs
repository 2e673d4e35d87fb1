//! Commands that decide, repair and set.

use serde_json::json;

use super::{TwoServers, id_on};
use crate::retention::rows::run_sql;
use crate::support::events::{approval_requested, new_id, run_started};
use crate::support::process::runtraced;
use crate::support::tables::{count, value};

/// Scenario: a run of each server asks a person; the request on the second server is approved.
/// Guarantees: both are listed, the older one first; the decision is where the request is.
#[tokio::test(flavor = "multi_thread")]
async fn approvals_are_one_queue() {
    let servers = TwoServers::new().await;
    let (first, second) = (new_id(), new_id());
    let (one, two) = (id_on(0), id_on(1));
    servers
        .send(
            0,
            vec![run_started(0, one), approval_requested(2, one, second)],
        )
        .await;
    servers
        .send(
            1,
            vec![run_started(0, two), approval_requested(1, two, first)],
        )
        .await;
    servers.join().await;
    let ids = async |flags: &[&str]| {
        let rows = servers
            .json(&[&["approvals", "--json"], flags].concat())
            .await;
        let rows = rows.as_array().unwrap().clone().into_iter();
        rows.map(|row| row["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let [first, second] = [first, second].map(|id| id.to_string());
    assert_eq!(ids(&[]).await, [&*first, &*second]);
    assert_eq!(ids(&["--all"]).await, [&*second, &*first]);

    let approve = ["approvals", "approve", &*first];
    let (code, said) = runtraced(&approve, &servers.urls()).await;
    assert_eq!(code, 1, "{said}");
    let shown = said.trim_end().rsplit(' ').next().unwrap();
    servers
        .run(&[&approve[..], &["--shown", shown]].concat())
        .await;
    assert_eq!(ids(&[]).await, [&*second]);
    let mut conns = servers.connect().await;
    assert_eq!(
        count(&mut conns[1], "approvals WHERE status = 'approved'").await,
        1
    );
    let (code, said) = runtraced(&approve, &servers.urls()).await;
    assert!(code == 1 && said.contains("does not wait"), "{said}");
}

/// Scenario: each server has a dead letter.
/// Guarantees: both are listed, the older one first, and each is shown and dropped wherever it is.
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_one_list() {
    let servers = TwoServers::new().await;
    let ids = [new_id(), new_id()];
    for (server, (conn, id)) in servers.connect().await.iter_mut().zip(ids).enumerate() {
        let insert = format!(
            "INSERT INTO ingest_dead_letters (id, received_at, source, code, reason, payload)
             VALUES ('{id}', now() - interval '{server} hours', 'test', 'code_{server}', 'x', '{{}}')"
        );
        run_sql(conn, &insert).await;
    }
    servers.join().await;
    let said = servers.run(&["dead-letters", "list"]).await;
    let [newer, older] = ids.map(|id| said.find(&id.to_string()).unwrap());
    assert!(older < newer, "{said}");
    let said = servers.run(&["dead-letters", "list", "-n", "1"]).await;
    assert!(!said.contains(&ids[0].to_string()), "{said}");
    let letter = servers
        .json(&["dead-letters", "show", &ids[1].to_string()])
        .await;
    assert_eq!(letter["code"], "code_1");
    let said = servers.run(&["dead-letters", "drop", "--all"]).await;
    assert_eq!(said, "2 dropped\n");
    let said = servers.run(&["dead-letters", "list"]).await;
    assert_eq!(said, "No dead letters.\n");
}

/// Scenario: a customer is added, and lost on one server.
/// Guarantees: it is on both servers and listed once; repeating the command with its id brings it back; then it is refused.
#[tokio::test(flavor = "multi_thread")]
async fn customers_are_added_everywhere() {
    let servers = TwoServers::new().await;
    servers.run(&["migrate"]).await;
    let mut conns = servers.connect().await;
    let id = servers.run(&["customers", "add", "--name", "Acme"]).await;
    let id = id.trim();
    for conn in &mut conns {
        assert_eq!(
            count(conn, &format!("customers WHERE id = '{id}'")).await,
            1
        );
    }
    let listed = servers.json(&["customers", "list", "--json"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 1);

    run_sql(&mut conns[1], "DELETE FROM customers").await;
    let said = servers.run(&["customers", "list"]).await;
    assert!(
        said.contains("customers that are not on all servers: 1"),
        "{said}"
    );
    let again = ["customers", "add", "--name", "Acme", "--id", id];
    servers.run(&again).await;
    assert_eq!(count(&mut conns[1], "customers").await, 1);
    let (code, said) = runtraced(&again, &servers.urls()).await;
    assert!(code == 1 && said.contains("already"), "{said}");
}

/// Scenario: a key is made and revoked, and a role gets rights.
/// Guarantees: the key is on the first server; the rights are on both.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_on_the_first_server_and_rights_on_all() {
    let servers = TwoServers::new().await;
    servers.run(&["migrate"]).await;
    let mut conns = servers.connect().await;
    servers.run(&["keys", "create", "--name", "k"]).await;
    let keys = servers.json(&["keys", "list", "--json"]).await;
    servers
        .run(&["keys", "revoke", keys[0]["id"].as_str().unwrap()])
        .await;
    assert_eq!(
        count(&mut conns[0], "ingest_keys WHERE revoked_at IS NOT NULL").await,
        1
    );
    assert_eq!(count(&mut conns[1], "ingest_keys").await, 0);

    let role = format!("writer_{}", new_id().simple());
    run_sql(&mut conns[0], &format!("CREATE ROLE {role}")).await;
    let may_write = format!("SELECT has_table_privilege('{role}', 'agent_runs', 'INSERT')");
    for (flags, may) in [(&[][..], true), (&["--revoke"], false)] {
        servers
            .run(&[&["grant", "--role", &role], flags].concat())
            .await;
        for conn in &mut conns {
            assert_eq!(value(conn, &may_write).await, json!(may), "{flags:?}");
        }
    }
    run_sql(&mut conns[0], &format!("DROP ROLE {role}")).await;
}
