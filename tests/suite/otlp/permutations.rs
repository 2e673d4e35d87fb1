//! Every way to deliver the captures gives the same rows.

use std::{collections::BTreeMap, env};

use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use sqlx::{AssertSqlSafe, PgConnection};

use super::{
    corpus::{Capture, Export, chosen},
    deliver::{Endpoints, Way},
    rows::clear,
};
use crate::support::{daemon::Daemon, pg, tables::AGENT_TABLES};

/// The number of requests that are sent at the same time.
const LANES: usize = 8;

/// The exports of one sender in order, each with its daemon and way.
type Lane = Vec<(usize, Way, Export)>;

/// Scenario: all captures are delivered over gRPC in their original order. They
/// are delivered again over HTTP in both encodings; in reverse; twice; one span
/// per request; and shuffled with repetitions over all endpoints of two daemons
/// on one database.
/// Guarantees: every column of every row is the same.
/// `RUNTRACED_TEST_SEED` repeats a run, `RUNTRACED_TEST_CAPTURE=SDK/SCENARIO`
/// selects one capture.
#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_delivery_gives_the_same_rows() {
    let seed = env::var("RUNTRACED_TEST_SEED").ok();
    let seed = seed.map_or_else(
        || rand::random::<u32>().into(),
        |text| text.parse().unwrap(),
    );
    println!("RUNTRACED_TEST_SEED={seed}");
    let captures = chosen();
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let daemons = [
        Daemon::start(database.url()).await,
        Daemon::start(database.url()).await,
    ];
    let endpoints = [
        Endpoints::of(&daemons[0]).await,
        Endpoints::of(&daemons[1]).await,
    ];
    let mut reference = None;
    for (name, lanes) in deliveries(&captures, seed) {
        clear(&mut conn).await;
        deliver(&endpoints, lanes).await;
        let rows = content(&mut conn).await;
        let Some(reference) = &reference else {
            assert!(!rows.is_empty());
            reference = Some(rows);
            continue;
        };
        let differences = differences(reference, &rows);
        assert!(
            differences.is_empty(),
            "{name}, RUNTRACED_TEST_SEED={seed}: {} rows differ, for example\n{}",
            differences.len(),
            differences[..differences.len().min(10)].join("\n")
        );
    }
    for daemon in daemons {
        daemon.finish().await;
    }
}

/// The ways to deliver the captures. The first is the reference.
fn deliveries(captures: &[&Capture], seed: u64) -> Vec<(&'static str, Vec<Lane>)> {
    let in_order = |way| lanes(captures, |capture| exports(capture, 0, way));
    let backwards = |capture: &Capture| {
        let exports = exports(capture, 0, Way::Grpc).into_iter().rev();
        exports
            .map(|(to, way, export)| (to, way, export.reversed()))
            .collect()
    };
    let twice = |capture: &Capture| {
        let both = [Way::HttpProtobuf, Way::Grpc].map(|way| exports(capture, 0, way));
        both.concat()
    };
    vec![
        ("in order, gRPC", in_order(Way::Grpc)),
        ("in order, HTTP with protobuf", in_order(Way::HttpProtobuf)),
        ("in order, HTTP with JSON", in_order(Way::HttpJson)),
        ("backwards", lanes(captures, backwards)),
        ("twice", lanes(captures, twice)),
        (
            "a span per request",
            lanes(captures, |capture| singly(capture, Way::Grpc)),
        ),
        ("shuffled over two daemons", shuffled(captures, seed)),
    ]
}

fn exports(capture: &Capture, to: usize, way: Way) -> Lane {
    let requests = capture.requests.iter();
    requests
        .map(|request| (to, way, request.export.clone()))
        .collect()
}

fn singly(capture: &Capture, way: Way) -> Lane {
    let single = capture
        .requests
        .iter()
        .flat_map(|request| request.export.singly());
    single.map(|export| (0, way, export)).collect()
}

/// Distributes the captures over lanes. Each capture stays in one lane.
fn lanes(captures: &[&Capture], lane: impl Fn(&Capture) -> Lane) -> Vec<Lane> {
    let mut lanes = vec![Vec::new(); LANES];
    for (number, capture) in captures.iter().enumerate() {
        lanes[number % LANES].extend(lane(capture));
    }
    lanes
}

/// Single spans and whole requests of all captures: every span arrives twice, in
/// any order, at any endpoint of either daemon.
fn shuffled(captures: &[&Capture], seed: u64) -> Vec<Lane> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut all: Lane = captures
        .iter()
        .flat_map(|capture| [singly(capture, Way::Grpc), exports(capture, 0, Way::Grpc)].concat())
        .collect();
    all.shuffle(&mut random);
    let mut lanes = vec![Vec::new(); LANES];
    for (number, (_, _, export)) in all.into_iter().enumerate() {
        let way = Way::ALL[number % Way::ALL.len()];
        lanes[number % LANES].push((number % 2, way, export));
    }
    lanes
}

async fn deliver(endpoints: &[Endpoints; 2], lanes: Vec<Lane>) {
    let sends = lanes.into_iter().map(|lane| {
        let endpoints = endpoints.clone();
        tokio::spawn(async move {
            for (to, way, export) in lane {
                endpoints[to].send(&export, way).await;
            }
        })
    });
    for send in sends.collect::<Vec<_>>() {
        send.await.unwrap();
    }
}

/// Every row of the agent tables by table and id, without `abandon_at` and
/// `summed_by`, which depend on the clock of the database.
async fn content(conn: &mut PgConnection) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    for table in AGENT_TABLES {
        let query = format!(
            "SELECT '{table} ' || id, (to_jsonb(t) - '{{abandon_at,summed_by,changed_at}}'::text[])::text FROM {table} t"
        );
        let found: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(query))
            .fetch_all(&mut *conn)
            .await
            .unwrap();
        rows.extend(found);
    }
    rows
}

fn differences(wanted: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> Vec<String> {
    let ids: std::collections::BTreeSet<_> = wanted.keys().chain(found.keys()).collect();
    let differ = ids
        .into_iter()
        .filter(|id| wanted.get(*id) != found.get(*id));
    differ
        .map(|id| format!("{id}\n got {:?}\nwant {:?}", found.get(id), wanted.get(id)))
        .collect()
}
