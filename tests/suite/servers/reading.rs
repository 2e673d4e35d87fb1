//! The page's API over two servers says the same as over one database with the same events.

mod world;

use std::time::Duration;

use runtraced::proto;
use runtraced::proto::trace_ingest_client::TraceIngestClient;
use serde_json::{Value, json};

use self::world::World;
use crate::support::daemon::Daemon;
use crate::support::events::{approval_requested, id};
use crate::support::valid;
use crate::web::client::{Events, decide_as, get, get_as, post_as};

/// An answer without its queries and without what goes on with the clock.
async fn answer(daemon: &Daemon, key: &str, path: &str) -> Value {
    let answer = get_as(daemon, key, path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    let mut answer = answer.json();
    forget(&mut answer, &["sql", "running_ms", "waiting_ms"]);
    answer
}

/// Removes members of these names.
fn forget(value: &mut Value, names: &[&str]) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !names.contains(&name.as_str()));
            members.values_mut().for_each(|one| forget(one, names));
        }
        Value::Array(items) => items.iter_mut().for_each(|one| forget(one, names)),
        _ => {}
    }
}

/// Where two answers differ, and how.
fn differences(found: &Value, expected: &Value) -> Vec<String> {
    match (found, expected) {
        (Value::Object(one), Value::Object(other)) if one.keys().eq(other.keys()) => one
            .iter()
            .flat_map(|(name, value)| {
                let below = differences(value, &other[name]);
                below.into_iter().map(move |what| format!("{name}.{what}"))
            })
            .collect(),
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let pairs = one.iter().zip(other).enumerate();
            pairs
                .flat_map(|(index, (one, other))| {
                    let below = differences(one, other);
                    below.into_iter().map(move |what| format!("{index}.{what}"))
                })
                .collect()
        }
        _ if found == expected => Vec::new(),
        _ => vec![format!(": {found} instead of {expected}")],
    }
}

/// All pages of a list, one after the other.
async fn pages(daemon: &Daemon, key: &str, path: &str) -> Vec<Value> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = answer(daemon, key, &format!("{path}{cursor}")).await;
        let next = page["next"].as_str().map(str::to_owned);
        pages.push(page);
        match next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
    }
}

/// Both say the same at this path.
async fn same(world: &World, key: usize, path: &str) -> Value {
    let [one, several] = &world.daemons;
    let [of_one, of_several] = &world.keys[key];
    let expected = answer(one, of_one, path).await;
    let found = answer(several, of_several, path).await;
    let differs = differences(&found, &expected);
    assert!(differs.is_empty(), "{path}: {}", differs.join("\n"));
    expected
}

/// Scenario: forty runs, half of them on each server; a person turns the pages of many lists.
/// Guarantees: every page is as with one database: rows, order, ends and totals, also for a reader who sees only one
/// customer.
#[tokio::test]
async fn lists_have_the_same_pages_as_over_one_database() {
    let world = World::new().await;
    let [one, several] = &world.daemons;
    for (key, [of_one, of_several]) in world.keys.iter().enumerate() {
        for list in [
            "/api/runs?limit=7",
            "/api/runs?limit=7&order=asc",
            "/api/runs?limit=1&agent=writer",
            "/api/runs?limit=7&sort=duration",
            "/api/runs?limit=7&sort=tokens&order=asc",
            "/api/runs?limit=7&sort=cost",
            "/api/runs?limit=3&status=failed&since=2026-01-01T00:00:00Z",
            "/api/runs?limit=5&q=search",
            "/api/runs?limit=200",
            "/api/approvals?limit=2",
            "/api/approvals?limit=2&status=pending",
            "/api/approvals?limit=2&status=rejected&status=pending",
        ] {
            let expected = pages(one, of_one, list).await;
            assert_eq!(pages(several, of_several, list).await, expected, "{list}");
            assert!(key > 0 || expected[0]["rows"][0].is_object(), "{list}");
        }
        if key == 0 {
            let mut live = Events::open(several, "/api/runs/events?limit=7", &[]).await;
            let mut snapshot = live.wait_for("snapshot").await;
            forget(&mut snapshot, &["running_ms", "waiting_ms"]);
            let first = answer(one, "", "/api/runs?limit=7").await;
            assert_eq!(snapshot["rows"], first["rows"]);
        }
        let session = format!("/api/sessions/{}/conversation?limit=3", world.session);
        if key == 0 {
            let expected = pages(one, of_one, &session).await;
            assert_eq!(pages(several, of_several, &session).await, expected);
            assert!(expected.len() > 2 && expected[0]["session"]["title"] == "A long talk");
        }
    }
    world.finish().await;
}

/// Scenario: a run with children on both servers, which have grandchildren.
/// Guarantees: everything about each run is as with one database: its rows, texts, messages, what surrounds it and its
/// export.
#[tokio::test]
async fn each_run_is_read_from_its_server_and_knows_its_relatives() {
    let world = World::new().await;
    for run in &world.runs {
        let found = same(&world, 0, &format!("/api/runs/{run}?digests=1")).await;
        if *run == world.parent {
            assert_eq!(found["children"].as_array().unwrap().len(), 6);
        }
        for path in ["payload?item=run", "conversation?limit=2", "find?q=search"] {
            same(&world, 0, &format!("/api/runs/{run}/{path}")).await;
        }
        let export = format!("/api/runs/{run}/export");
        let [one, several] = &world.daemons;
        assert_eq!(
            get(several, &export).await.body,
            get(one, &export).await.body
        );
        let mut live = Events::open(several, &format!("/api/runs/{run}/events"), &[]).await;
        let mut snapshot = live.wait_for("snapshot").await;
        forget(&mut snapshot, &["running_ms", "waiting_ms"]);
        for around in ["children", "siblings", "parent", "session", "run"] {
            assert_eq!(snapshot[around], found[around], "{around}");
        }
    }
    let theirs = world.run_of(1);
    let path = format!("/api/runs/{theirs}");
    let [of_one, of_several] = &world.keys[1];
    for (daemon, key) in world.daemons.iter().zip([of_one, of_several]) {
        assert_eq!(get_as(daemon, key, &path).await.status, 404);
    }
    world.finish().await;
}

/// Scenario: statistics, costs and values of filters, for everybody and for a reader of one customer.
/// Guarantees: all figures are as with one database, also percentiles.
#[tokio::test]
async fn sums_are_those_of_one_database() {
    let world = World::new().await;
    let since = "since=2025-12-31T00:00:00Z&until=2026-02-01T00:00:00Z";
    for key in [0, 1] {
        for path in [
            format!("/api/stats?{since}"),
            format!("/api/stats?{since}&agent=writer"),
            format!("/api/stats?{since}&tool=search"),
            "/api/stats?since=2026-01-01T00:00:00Z&until=2026-01-01T00:30:00Z".to_owned(),
            format!("/api/stats?{since}&model=m&status=completed"),
        ] {
            let found = same(&world, key, &path).await;
            assert!(found["totals"]["runs"].as_i64().unwrap() > 0, "{path}");
        }
        for by in ["agent", "model", "session", "customer", "user", "day"] {
            for filter in ["", "&tool=search", "&agent=writer"] {
                let path = format!("/api/cost?by={by}&{since}{filter}");
                let found = same(&world, key, &path).await;
                assert!(!found["totals"]["cost_usd"].is_null(), "{path}");
            }
        }
        same(&world, key, "/api/facets").await;
    }
    world.finish().await;
}

/// Scenario: approvals on both servers; agents wait for two of them; a person decides both.
/// Guarantees: each decision reaches its agent, and stands on the server that has the request.
#[tokio::test]
async fn approvals_are_decided_where_they_are() {
    let world = World::new().await;
    let [_, several] = &world.daemons;
    for approval in world.approvals.iter().take(2) {
        let path = format!("/api/approvals/{approval}?wait=60s");
        let agent = async { get(several, &path).await.json() };
        let person = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            decide_as(several, "", *approval, "rejected", "not today").await
        };
        let (waited, decided) = tokio::join!(agent, person);
        assert_eq!(decided.status, 200, "{decided:?}");
        assert_eq!(waited["approval"]["notes"], "not today");
        let second = decide_as(several, "", *approval, "approved", "").await;
        assert_eq!(
            (second.status, &second.json()["code"]),
            (409, &json!("decided"))
        );
    }
    let queue = get(several, "/api/approvals?status=pending").await.json();
    assert_eq!(queue["pending"], world.approvals.len() - 2);
    let unknown = get(several, &format!("/api/approvals/{}", world.parent)).await;
    assert_eq!(unknown.status, 404);
    world.finish().await;
}

/// Scenario: a database is gone.
/// Guarantees: lists and sums say so instead of showing a part; a run on the other server is read, and says whose
/// relatives are missing.
#[tokio::test]
async fn nothing_looks_complete_while_a_server_is_away() {
    let world = World::new().await;
    let [_, several] = &world.daemons;
    world.close_second().await;
    for path in [
        "/api/runs".to_owned(),
        "/api/stats?since=2025-12-31T00:00:00Z".to_owned(),
        "/api/cost?since=2025-12-31T00:00:00Z".to_owned(),
        "/api/facets".to_owned(),
        "/api/approvals".to_owned(),
        format!("/api/sessions/{}/conversation", world.session),
        format!("/api/runs/{}", world.on_server(1)),
        format!("/api/approvals/{}", world.parent),
    ] {
        let answer = get(several, &path).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (503, &json!("unavailable")),
            "{path}"
        );
    }
    let run = world.on_server(0);
    let found = get(several, &format!("/api/runs/{run}")).await.json();
    assert_eq!(found["servers_away"], json!([2]));
    assert_eq!(found["run"]["run_id"], json!(run));
    let export = get(several, &format!("/api/runs/{run}/export")).await;
    assert!(export.status == 200 && export.body.contains("runStarted"));
    world.open_second().await;
    world.finish().await;
}

/// Scenario: an approval waits on one server. Somebody asks for another one with the same id, in a run on the other server, and
/// decides it there.
/// Guarantees: who waits for the first is not told that it is decided; a person who saw the first decides the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_about_the_same_id_on_another_server_is_none() {
    let world = World::new().await;
    let several = &world.daemons[1];
    let asked = world.approvals[0];
    let one = format!("/api/approvals/{asked}");
    let shown = get(several, &one).await.json()["approval"].clone();
    let forged = valid::approval_decided(|decision| {
        (decision.approval_id, decision.run_id) = (id(asked), id(world.on_server(1)));
        (decision.session_id, decision.decided_by) = (Vec::new().into(), Vec::new().into());
    });
    let request = approval_requested(1, world.on_server(1), asked);
    assert_eq!(several.submit(vec![request, forged]).await.committed, 2);
    let waited = get(several, &format!("{one}?wait=2s")).await.json();
    assert_eq!(waited["approval"]["status"], "pending", "{waited}");
    let mut agent = TraceIngestClient::connect(several.grpc_url().to_owned())
        .await
        .unwrap();
    let watched = proto::WatchApprovalsRequest {
        approval_id: id(asked),
        ..Default::default()
    };
    let told = async {
        let mut told = agent.watch_approvals(watched).await.unwrap().into_inner();
        told.message().await
    };
    let early = tokio::time::timeout(Duration::from_secs(3), told).await;
    assert!(early.is_err(), "{early:?}");
    let body = json!({"decision": "rejected", "shown": shown["revision"]}).to_string();
    let decided = post_as(several, "", &format!("{one}/decision"), &body).await;
    assert_eq!(decided.status, 200, "{decided:?}");
    assert_eq!(decided.json()["approval"]["run_id"], shown["run_id"]);
    world.finish().await;
}
