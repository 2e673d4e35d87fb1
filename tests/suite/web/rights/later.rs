//! What streams tell after their first event, and when they end.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;
use uuid::Uuid;

use bytes::Bytes;
use runtraced::proto::Event;

use super::super::client::{Events, get_as};
use super::super::runtraced;
use super::world::{Asker, RightsWorld, Sees, key_file, token};
use super::{ask, open};
use crate::support::daemon::Daemon;
use crate::support::events::{id, new_id, run_started, started_with, step};
use crate::support::pg;

/// As long as several looks at the database take.
const LOOKS: Duration = Duration::from_secs(3);

/// Starts of runs of A, of B, of a user's session, and of nobody.
fn starts(world: &RightsWorld, at: i64, runs: [Uuid; 4]) -> Vec<Event> {
    let [a, b] = world.customers.map(id);
    let session = id(world.sessions[0]);
    let start = |run, customer: Bytes, session: Bytes| {
        started_with(run_started(at, run), |start| {
            start.customer_id = customer;
            start.session_id = session;
        })
    };
    let nobody = Bytes::new;
    let [of_a, of_b, of_user, nobodys] = runs;
    vec![
        start(of_a, a, nobody()),
        start(of_b, b, nobody()),
        start(of_user, nobody(), session),
        start(nobodys, nobody(), nobody()),
    ]
}

async fn visible(world: &RightsWorld, asker: &Asker, runs: [Uuid; 4]) -> HashSet<String> {
    let list = runs.map(|run| format!("'{run}'")).join(",");
    let query = format!("SELECT id::text FROM agent_runs WHERE id IN ({list})");
    world.sql(&asker.sees, &query).await.into_iter().collect()
}

/// The ids in a column of the rows of changes, until all these are among them.
async fn changed(stream: &mut Events, column: &str, wanted: &HashSet<String>) -> HashSet<String> {
    let mut told = HashSet::new();
    while !told.is_superset(wanted) {
        told.extend(ids(&stream.wait_for("change").await, column));
    }
    told
}

fn ids(change: &Value, column: &str) -> Vec<String> {
    let rows = change["rows"].as_array().unwrap();
    rows.iter()
        .map(|row| row[column].as_str().unwrap().to_owned())
        .collect()
}

/// Scenario: everybody who reads looks at the list and at four runs; then each run gets a step, and four
/// more runs begin, one each of A, of B, of a user and of nobody.
/// Guarantees: each stream tells what its reader sees in SQL, and nothing else, also later.
#[tokio::test]
async fn changes_are_told_to_those_who_see_them() {
    let world = RightsWorld::new().await;
    let [old, new] = [(); 2].map(|()| [(); 4].map(|()| new_id()));
    world.send(&world.writer, starts(&world, 5_000, old)).await;
    let readers = world
        .askers
        .iter()
        .filter(|asker| !matches!(asker.sees, Sees::Nothing(_)));
    let mut lists = Vec::new();
    let mut streams = Vec::new();
    for asker in readers {
        let (list, _) = open(&world, asker, "/api/runs/events").await.unwrap();
        lists.push((asker, list));
        let seen = visible(&world, asker, old).await;
        for (index, run) in old.iter().enumerate() {
            let stream = open(&world, asker, &format!("/api/runs/{run}/events")).await;
            let status = stream.as_ref().map_or_else(|status| *status, |_| 200);
            let expected = if seen.contains(&run.to_string()) {
                200
            } else {
                404
            };
            assert_eq!(status, expected, "{}: run {index}", asker.name);
            streams.extend(stream.map(|(stream, _)| (asker, index, stream)));
        }
    }
    let steps = [(); 4].map(|()| new_id());
    let mut events = starts(&world, 6_000, new);
    events.extend(
        old.iter()
            .zip(steps)
            .map(|(run, id)| step(5_100, 5_200, *run, id)),
    );
    world.send(&world.writer, events).await;
    for (asker, index, stream) in &mut streams {
        let wanted = HashSet::from([steps[*index].to_string()]);
        assert_eq!(
            changed(stream, "id", &wanted).await,
            wanted,
            "{}",
            asker.name
        );
    }
    for (asker, list) in &mut lists {
        let seen = visible(&world, asker, new).await;
        let all = seen
            .union(&visible(&world, asker, old).await)
            .cloned()
            .collect();
        let told = changed(list, "run_id", &seen).await;
        // The old ones change too, because they have a step more.
        assert!(
            told.is_subset(&all),
            "{}: {told:?} instead of {all:?}",
            asker.name
        );
        if let Ok(Some((_, change))) = timeout(LOOKS, list.next()).await {
            let told: HashSet<_> = ids(&change, "run_id").into_iter().collect();
            assert!(
                told.is_subset(&all),
                "{}: {told:?} instead of {all:?}",
                asker.name
            );
        }
    }
    drop((lists, streams));
    world.finish().await;
}

/// Scenario: a reader and a decider look at a list and at a run; their keys are revoked; then the run changes.
/// Guarantees: the streams end without the change, and neither comes in again.
#[tokio::test]
async fn a_stream_ends_with_its_key() {
    let world = RightsWorld::new().await;
    let run = new_id();
    world
        .send(&world.writer, vec![run_started(5_000, run)])
        .await;
    let run_path = format!("/api/runs/{run}/events");
    for name in ["reader", "decider"] {
        let asker = world
            .askers
            .iter()
            .find(|asker| asker.name == name)
            .unwrap();
        let (mut list, _) = open(&world, asker, "/api/runs/events").await.unwrap();
        let (mut one, _) = open(&world, asker, &run_path).await.unwrap();
        let key = asker.credential.split('_').nth(1).unwrap();
        runtraced(world.database.url(), &["keys", "revoke", key]);
        while ask(&world, asker, "/api/runs").await.status != 401 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let changed = vec![step(5_100, 5_200, run, new_id())];
        world.send(&world.writer, changed).await;
        for stream in [&mut list, &mut one] {
            assert_eq!(stream.next().await, None, "{name}");
        }
        assert_eq!(
            open(&world, asker, &run_path).await.err(),
            Some(401),
            "{name}"
        );
    }
    world.finish().await;
}

/// Scenario: a user looks at a live list with a token that expires meanwhile, and comes again with it.
/// Guarantees: the stream ends with the token, the user is told to come again, and is then refused.
#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let database = pg::database().await;
    runtraced(database.url(), &["migrate"]);
    // The first key of a customer makes the role under which users read, too.
    let customer = new_id();
    sqlx::query("INSERT INTO customers (id, name, arr) VALUES ($1, 'c', 1)")
        .bind(customer)
        .execute(&mut database.connect().await)
        .await
        .unwrap();
    let customer = customer.to_string();
    let args = ["keys", "create", "--name", "r", "--read", "--customer"];
    runtraced(database.url(), &[&args[..], &[&customer]].concat());
    let keys = key_file();
    let args = [
        "--require-keys",
        "--jwt-keys",
        keys.path().to_str().unwrap(),
    ];
    let daemon = Daemon::with_args(database.url(), &args).await;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    // Clocks may differ by a minute, so the token is good for six seconds more.
    let (token, _) = token(new_id(), now - 54, "");
    let bearer = format!("Bearer {token}");
    let path = "/api/runs/events";
    let mut list = Events::open(&daemon, path, &[("Authorization", &bearer)]).await;
    list.wait_for("snapshot").await;
    list.wait_for("resume").await;
    assert_eq!(list.next().await, None);
    assert_eq!(get_as(&daemon, &token, path).await.status, 401);
    daemon.finish().await;
}
