//! Commands that read.

use std::time::{SystemTime, UNIX_EPOCH};

use runtraced::proto::event::Event as Body;
use runtraced::proto::{EndStatus, Event};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{TwoServers, id_on};
use crate::support::daemon::Daemon;
use crate::support::events::{
    BASE_SECONDS, new_id, run_ended, run_started, started_with, step, tokens,
};
use crate::support::pg;
use crate::support::process::runtraced;

/// A run that started less than a minute ago, so many seconds after others, with a step and a call of a model.
fn run(run: Uuid, second: i64) -> Vec<Event> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    let start = (now - BASE_SECONDS - 50 + second * 10) * 1_000;
    let mut call = tokens(start + 3, run, new_id(), 1_000_000, 0);
    if let Some(Body::TokenCount(count)) = &mut call.event {
        count.model = Some("m".into());
    }
    vec![
        run_started(start, run),
        step(start + 1, start + 2, run, new_id()),
        call,
        run_ended(start + 9, run, EndStatus::Completed),
    ]
}

/// A store with three runs: the second one to start is on the second server.
async fn three_runs() -> (TwoServers, [Uuid; 3]) {
    let servers = TwoServers::new().await;
    let runs = [id_on(0), id_on(1), id_on(0)];
    let [first, second, third] = runs;
    servers
        .send(0, [run(first, 1), run(third, 3)].concat())
        .await;
    servers.send(1, run(second, 2)).await;
    servers.join().await;
    (servers, runs)
}

fn ids(rows: &Value) -> Vec<Uuid> {
    let ids = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["run_id"].as_str());
    ids.map(|id| Uuid::try_parse(id.unwrap()).unwrap())
        .collect()
}

/// Scenario: runs on two servers are listed and searched.
/// Guarantees: they are one list, from the newest, with as many as asked for.
#[tokio::test(flavor = "multi_thread")]
async fn runs_are_one_list() {
    let (servers, [first, second, third]) = three_runs().await;
    for flags in [
        &["runs", "--json"][..],
        &["runs", "--json", "--since", "1h"],
    ] {
        assert_eq!(ids(&servers.json(flags).await), [third, second, first]);
        let two = [flags, &["-n", "2"]].concat();
        assert_eq!(ids(&servers.json(&two).await), [third, second]);
    }
    assert!(
        servers
            .run(&["runs", "--failed"])
            .await
            .contains("No runs.")
    );
}

/// Scenario: runs are asked for by their id, by a part of it, and by one that several have; one server is away.
/// Guarantees: each is found on its server; a whole id asks no other server.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_found_wherever_it_is() {
    let (servers, runs) = three_runs().await;
    for run in runs {
        let id = run.to_string();
        for prefix in [&*id, &id[..35]] {
            let said = servers.json(&["timeline", prefix, "--json"]).await;
            assert!(said.to_string().contains(&id), "{said}");
            let said = servers.run(&["export", prefix]).await;
            assert_eq!(said.lines().count(), 4, "{said}");
        }
    }
    let ids = runs.map(|run| run.to_string());
    let said = servers.run(&["diff", &ids[0], &ids[1]]).await;
    assert!(!said.contains("only in"), "{said}");

    let urls = servers.urls();
    let (code, said) = runtraced(&["timeline", "0"], &urls).await;
    assert!(code == 1 && said.contains("several runs"), "{said}");
    assert!(ids.iter().all(|id| said.contains(id)), "{said}");
    let (code, said) = runtraced(&["timeline", &new_id().to_string()], &urls).await;
    assert!(code == 1 && said.contains("no such run"), "{said}");

    let away = format!(
        "{} postgresql://nobody@localhost:1/none",
        servers.databases[0].url()
    );
    let (code, said) = runtraced(&["timeline", &ids[0]], &away).await;
    assert_eq!(code, 0, "{said}");
    let (code, said) = runtraced(&["runs"], &away).await;
    assert_eq!(code, 69, "{said}");
}

/// Scenario: commands are given the servers in another order, and only one of them.
/// Guarantees: they refuse, and say what is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn other_servers_are_refused() {
    let (servers, [first, ..]) = three_runs().await;
    let id = first.to_string();
    let commands: [&[&str]; 12] = [
        &["runs"],
        &["timeline", &id],
        &["export", &id],
        &["cost"],
        &["approvals"],
        &["dead-letters", "list"],
        &["erase", "--session", &id, "--yes"],
        &["prune", "--older-than", "1h"],
        &["customers", "list"],
        &["keys", "list"],
        &["prices", "missing"],
        &["grant", "--role", "somebody"],
    ];
    for urls in [servers.reversed(), servers.databases[0].url().to_owned()] {
        for command in commands {
            let (code, said) = runtraced(command, &urls).await;
            assert_eq!(code, 64, "{command:?}: {said}");
            assert!(
                said.contains("give --database-url once for each server"),
                "{said}"
            );
        }
    }
    let (code, said) = runtraced(&["psql"], &servers.urls()).await;
    assert!(
        code == 64 && said.contains("one --database-url"),
        "{code} {said}"
    );
}

/// Scenario: runs of two servers call a model, which gets a price then.
/// Guarantees: costs are sums over both servers; so is the list of models without a price; the price is on both.
#[tokio::test(flavor = "multi_thread")]
async fn costs_are_added_up() {
    let (servers, _) = three_runs().await;
    let missing = servers.json(&["prices", "missing", "--json"]).await;
    assert_eq!(
        (&missing[0]["model"], &missing[0]["calls"]),
        (&json!("m"), &json!(3))
    );
    servers
        .run(&["prices", "set", "m", "--input", "0.1", "--output", "10"])
        .await;
    let prices = servers.json(&["prices", "list", "--json"]).await;
    assert_eq!(prices[0]["model"], "m");
    assert_eq!(prices.as_array().unwrap().len(), 1);
    for by in ["agent", "model", "day"] {
        let costs = servers
            .json(&["cost", "--by", by, "--since", "1h", "--json"])
            .await;
        assert_eq!(costs.as_array().unwrap().len(), 1, "{costs}");
        let sums = [
            "runs",
            "calls",
            "tokens_input",
            "cost_usd",
            "unpriced_calls",
        ];
        let sums = sums.map(|name| costs[0][name].clone());
        // In binary fractions, three times 0.1 is not 0.3.
        assert_eq!(
            sums,
            [json!(3), json!(3), json!(3_000_000), json!(0.3), json!(0)],
            "{by}"
        );
    }
    let table = servers.run(&["cost", "--since", "1h"]).await;
    assert!(table.lines().last().unwrap().contains("0.3000"), "{table}");
}

/// Scenario: one server has runs of more agents than are listed, and the other has one of an agent that both have.
/// Guarantees: the list has the dearest agents of both, with the runs of both; it says that there are more; the total has all.
#[tokio::test(flavor = "multi_thread")]
async fn costs_are_added_up_before_the_list_is_cut() {
    let servers = TwoServers::new().await;
    let of_agent = |id, agent: usize| {
        let mut events = run(id, 1);
        events[0] = started_with(events[0].clone(), |run| {
            run.agent_id = format!("agent-{agent:03}")
        });
        events
    };
    servers
        .send(
            0,
            (0..401)
                .flat_map(|agent| of_agent(id_on(0), agent))
                .collect(),
        )
        .await;
    servers.send(1, of_agent(id_on(1), 0)).await;
    servers.join().await;
    let (code, said) = runtraced(&["cost", "--since", "1h"], &servers.urls()).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("only the first 400 are listed"), "{said}");
    let total = said
        .lines()
        .find(|line| line.trim_start().starts_with("total"))
        .unwrap();
    assert!(total.contains("402,000,000"), "{total}");
    let (_, said) = runtraced(&["cost", "--since", "1h", "--json"], &servers.urls()).await;
    let rows: Value = serde_json::from_str(&said[..said.rfind(']').unwrap() + 1]).unwrap();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 400);
    assert_eq!(
        (&rows[0]["key"], &rows[0]["runs"]),
        (&json!("agent-000"), &json!(2))
    );
}

/// Scenario: the status of a store whose servers have counts of a daemon each.
/// Guarantees: they are added up.
#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_is_that_of_all_servers() {
    let (servers, _) = three_runs().await;
    let other = pg::database().await;
    let daemon = Daemon::start(other.url()).await;
    let args = ["status", "--http", daemon.http_address()];
    let (_, said) = runtraced(&args, &servers.urls()).await;
    assert!(said.contains("daemon starts so far: 2"), "{said}");
    assert!(said.contains("12 received = 12 committed"), "{said}");
    daemon.finish().await;
}
