//! `runtraced migrate` with several servers.

use serde_json::json;

use super::TwoServers;
use crate::retention::rows::run_sql;
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::tables::value;

/// Asks a database which server it is.
const PLACE: &str = "SELECT public.store_server()";
const IS_PLACED: &str = "SELECT to_regprocedure('public.store_server()') IS NOT NULL";

/// Scenario: two databases become a store; then the command is repeated, and given with the servers in another order,
/// with one of them, and with one more.
/// Guarantees: each knows which server it is; repeating changes nothing; the others are refused, and change nothing.
#[tokio::test(flavor = "multi_thread")]
async fn databases_become_a_store_and_stay_one() {
    let servers = TwoServers::new().await;
    let mut conns = servers.connect().await;
    let said = servers.run(&["migrate", "--plan"]).await;
    assert!(
        said.contains("server 1/2, ") && said.contains("server 2/2, "),
        "{said}"
    );
    assert_eq!(value(&mut conns[0], IS_PLACED).await, json!(false));
    let said = servers.run(&["migrate"]).await;
    assert!(said.ends_with("2 servers are one store\n"), "{said}");
    let mut places = Vec::new();
    for conn in &mut conns {
        places.push(value(conn, PLACE).await.as_str().unwrap().to_owned());
    }
    let store = places[0].strip_suffix(" 1/2").unwrap();
    assert_eq!(places[1], format!("{store} 2/2"));
    servers.run(&["migrate"]).await;

    let more = pg::database().await;
    let three = format!("{} {}", servers.urls(), more.url());
    let one = servers.databases[0].url();
    for (urls, why) in [
        (
            &*servers.reversed(),
            "was given as server 1/2 is server 2/2",
        ),
        (
            one,
            "is server 1/2 of its store, and was given as server 1/1",
        ),
        (&*three, "was given as server 1/3 is server 1/2"),
    ] {
        let (code, said) = runtraced(&["migrate"], urls).await;
        assert!(code != 0 && said.contains(why), "{code} {said}");
    }
    for (conn, place) in conns.iter_mut().zip(&places) {
        assert_eq!(value(conn, PLACE).await, json!(place));
    }
    let mut conn = more.connect().await;
    assert_eq!(value(&mut conn, IS_PLACED).await, json!(false));
}

/// Scenario: the second of two databases has a session.
/// Guarantees: they do not become a store, and neither changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_begins_empty() {
    let servers = TwoServers::new().await;
    let mut conns = servers.connect().await;
    run_sql(
        &mut conns[1],
        "INSERT INTO agent_sessions (id) VALUES (gen_random_uuid())",
    )
    .await;
    let (code, said) = runtraced(&["migrate"], &servers.urls()).await;
    assert!(
        code == 1 && said.contains("has traces already"),
        "{code} {said}"
    );
    for conn in &mut conns {
        assert_eq!(value(conn, IS_PLACED).await, json!(false));
    }
}

/// Scenario: two databases become a store whose runs are in slots, and two others one in partitions by month.
/// Guarantees: each server has the layout.
#[tokio::test(flavor = "multi_thread")]
async fn every_server_gets_the_layout() {
    for (flags, layout) in [
        (
            ["--slots", "2"],
            "SELECT count(*) = 2 FROM pg_namespace WHERE nspname LIKE 'runtraced\\_0%'",
        ),
        (
            ["--partition", "month"],
            "SELECT relkind = 'p' FROM pg_class WHERE oid = 'public.agent_steps'::regclass",
        ),
    ] {
        let servers = TwoServers {
            databases: [pg::plain_database().await, pg::plain_database().await],
        };
        servers.run(&[&["migrate"][..], &flags].concat()).await;
        for conn in &mut servers.connect().await {
            assert_eq!(value(conn, layout).await, json!(true), "{flags:?}");
        }
    }
}
