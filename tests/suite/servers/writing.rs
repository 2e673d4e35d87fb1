//! Writing to a store on several servers: where rows go, and what befalls one server alone.

use std::time::{Duration, Instant};

use rand::{random, random_range};
use runtraced::proto::{Durability, Event};
use runtraced::store::server_of;
use runtraced_client::{Client, RetryPolicy};
use serde_json::json;
use sqlx::PgConnection;
use tokio::time::timeout;
use uuid::Uuid;

use crate::order::{deliver, populate};
use crate::retention::rows::ended_run;
use crate::support::daemon::{AWAY, Daemon};
use crate::support::events::{message, new_id, run_started, session_titled};
use crate::support::load::Load;
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::random::{Random, from_env};
use crate::support::servers::{connect_all, id_on, join, store};
use crate::support::spool::SpoolDir;
use crate::support::stream::{deliver as deliver_all, lanes};
use crate::support::tables::{content, count, eventually, value};

/// Every run, and everything below one, is on its server.
async fn check_places(conns: &mut [PgConnection]) {
    let servers = conns.len();
    for (server, conn) in conns.iter_mut().enumerate() {
        for (table, run) in [
            ("agent_runs", "id"),
            ("agent_steps", "run_id"),
            ("agent_messages", "run_id"),
            ("agent_token_counts", "run_id"),
        ] {
            let runs = format!("SELECT DISTINCT {run} FROM {table} WHERE {run} IS NOT NULL");
            let runs: Vec<Uuid> = sqlx::query_scalar(sqlx::AssertSqlSafe(runs))
                .fetch_all(&mut *conn)
                .await
                .unwrap();
            let strays = runs
                .iter()
                .filter(|run| server_of(**run, servers) != server);
            assert_eq!(strays.count(), 0, "{table} on server {server}");
        }
    }
}

/// Sends sessions one after the other until the daemon is gone. Returns those that were acknowledged.
async fn describe_sessions(client: Client) -> Vec<Uuid> {
    let mut acked = Vec::new();
    loop {
        let session = new_id();
        let described = session_titled(1, session, "a title");
        let answer = timeout(Duration::from_millis(300), client.submit(vec![described])).await;
        match answer {
            Ok(Ok(answer)) if answer.durability() == Durability::Committed => acked.push(session),
            _ => return acked,
        }
    }
}

/// How many events a server has settled, by its ledger.
async fn received(conn: &mut PgConnection) -> i64 {
    let sum = "SELECT coalesce(sum(received), 0)::bigint FROM ingest_reconciliation";
    value(conn, sum).await.as_i64().unwrap()
}

/// Scenario: the same runs, messages and sessions come to a store of three servers and to one of one, in
/// batches of several runs, twice.
/// Guarantees: each run is on its server and nowhere else, with the same rows; each server has all that was
/// said of sessions; clients are told of each event once, and the ledger of a server counts what it has.
#[tokio::test(flavor = "multi_thread")]
async fn the_rows_are_those_of_one_server() {
    const SERVERS: usize = 3;
    let (spread, whole) = (store(SERVERS).await, pg::database().await);
    let mut conns = spread.connect().await;
    let mut whole_conn = whole.connect().await;
    let daemons = [
        Daemon::spawn_as_is(&spread.urls(), &[]).await,
        Daemon::spawn_as_is(whole.url(), &[]).await,
    ];
    let sessions: Vec<Uuid> = (0..6).map(|_| new_id()).collect();
    let runs: Vec<Uuid> = (0..40).map(|_| new_id()).collect();
    let mut events = Vec::new();
    for (run, session) in runs.iter().zip(sessions.iter().cycle()) {
        events.extend(ended_run(*run, Some(*session), "a"));
    }
    for (number, session) in sessions.iter().enumerate() {
        events.push(session_titled(1, *session, &format!("the {number}th")));
        events.push(message(2, None, Some(*session), new_id()));
    }
    for daemon in &daemons {
        daemon.wait_ready().await;
        for batch in events.chunks(17) {
            let outcome = daemon.submit(batch.to_vec()).await;
            assert_eq!(outcome.committed, batch.len() as u64, "{outcome:?}");
        }
        let again = daemon.submit(events.clone()).await;
        assert_eq!(again.duplicate, events.len() as u64, "{again:?}");
    }
    for (server, conn) in conns.iter_mut().enumerate() {
        let here = |id: &&Uuid| server_of(**id, SERVERS) == server;
        let own: Vec<Uuid> = runs.iter().filter(here).copied().collect();
        assert!(!own.is_empty());
        let own_sessions: Vec<Uuid> = sessions.iter().filter(here).copied().collect();
        assert_eq!(
            content(conn, &own, &[]).await,
            content(&mut whole_conn, &own, &[]).await
        );
        let all = i64::try_from(own.len()).unwrap();
        assert_eq!(count(conn, "agent_runs").await, all, "no others");
        let alone = "agent_messages WHERE run_id IS NULL";
        let alone = count(conn, alone).await;
        assert_eq!(alone, i64::try_from(own_sessions.len()).unwrap());
        let titles = "SELECT jsonb_agg(title ORDER BY title) FROM agent_sessions";
        assert_eq!(
            value(conn, titles).await,
            value(&mut whole_conn, titles).await
        );
    }
    let [spread_daemon, whole_daemon] = daemons;
    spread_daemon.check_counts().await;
    let mut counted = 0;
    for conn in &mut conns {
        counted += received(conn).await;
    }
    // What is said of a session is an event on each server.
    let copies = 2 * sessions.len() * (SERVERS - 1);
    assert_eq!(counted, i64::try_from(2 * events.len() + copies).unwrap());
    spread_daemon.finish().await;
    whole_daemon.finish().await;
}

/// Scenario: events of every kind, contradicting each other, are delivered once to one server, and again
/// shuffled, repeated and split, over concurrent calls to two daemons, to a store of two servers. Every
/// second scenario comes with the power of one customer alone.
/// The runs and sessions of a scenario are on one server: what differs between two is documented.
/// Guarantees: that server has the same rows, with the same columns; the other has the sessions that events
/// describe, described alike, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn any_order_and_split_over_servers_ends_in_the_same_rows() {
    let (whole, spread) = (pg::database().await, store(2).await);
    let world = populate(spread.each().chain([whole.url()])).await;
    let reference = Daemon::spawn_as_is(whole.url(), &[]).await;
    let daemons = [
        Daemon::spawn_as_is(&spread.urls(), &[]).await,
        Daemon::spawn_as_is(&spread.urls(), &[]).await,
    ];
    for daemon in daemons.iter().chain([&reference]) {
        daemon.wait_ready().await;
    }
    let one = [reference.client().await];
    let two = [daemons[0].client().await, daemons[1].client().await];
    let (mut whole_conn, mut conns) = (whole.connect().await, spread.connect().await);
    let first = from_env("RUNTRACED_TEST_SEED", random::<u32>().into());
    let together = (first..).filter_map(|seed| {
        let mut random = Random::new(seed, &world);
        let scenario = random.scenario();
        let mut ids = scenario.runs.iter().chain(&scenario.sessions);
        let home = server_of(*ids.next()?, 2);
        ids.all(|id| server_of(*id, 2) == home)
            .then_some((seed, random, scenario, home))
    });
    let cases = usize::try_from(from_env("RUNTRACED_TEST_CASES", 30)).unwrap();
    let described = "SELECT coalesce(jsonb_agg(to_jsonb(s) - '{created_at,updated_at,changed_at}'::text[] ORDER BY s.id), '[]')
                     FROM agent_sessions AS s WHERE s.merge_times IS NOT NULL";
    for (seed, mut random, scenario, home) in together.take(cases) {
        println!("RUNTRACED_TEST_SEED={seed} RUNTRACED_TEST_CASES=1");
        let as_sender = |clients: &[Client]| -> Vec<Client> {
            let bound = |client: &Client| client.clone().for_customer(world.customers[0]);
            match seed % 2 {
                0 => clients.to_vec(),
                _ => clients.iter().map(bound).collect(),
            }
        };
        let in_order = scenario.events.chunks(7).map(<[Event]>::to_vec).collect();
        deliver(&as_sender(&one), in_order).await;
        let batches = random.delivery(&scenario.events);
        deliver(&as_sender(&two), batches).await;
        let want = content(&mut whole_conn, &scenario.runs, &scenario.sessions).await;
        let got = content(&mut conns[home], &scenario.runs, &scenario.sessions).await;
        for (got, want) in got.iter().zip(&want) {
            assert_eq!(got, want);
        }
        assert_eq!(got.len(), want.len());
        let copies = content(&mut conns[1 - home], &scenario.runs, &scenario.sessions).await;
        let others: Vec<&String> = copies
            .iter()
            .filter(|row| !row.starts_with("agent_sessions "))
            .collect();
        assert_eq!(others, Vec::<&String>::new());
        let [one, other] = &mut conns[..] else {
            panic!("two servers");
        };
        assert_eq!(value(one, described).await, value(other, described).await);
    }
    for daemon in daemons {
        daemon.finish().await;
    }
    reference.finish().await;
}

/// Scenario: the daemon is killed with SIGKILL five times under load; everything is sent again to a new one.
/// Guarantees: after each kill the row of every acked event is on its server, and every acked session is on all; after the retry
/// everything is there exactly once, with exact totals.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_nothing_acked_on_any_server() {
    let spread = store(2).await;
    let mut conns = spread.connect().await;
    let mut daemon = Daemon::spawn_as_is(&spread.urls(), &[]).await;
    daemon.wait_ready().await;
    let mut acked = 0;
    for _ in 0..5 {
        let patience = Duration::from_millis(200);
        let load = Load::on_mortal(patience, random(), daemon.grpc_url(), 3).await;
        let sessions = tokio::spawn(describe_sessions(daemon.client().await));
        tokio::time::sleep(Duration::from_millis(random_range(20..500))).await;
        daemon.kill();
        let oracle = load.given_up().await;
        acked += oracle.acked();
        oracle.check_acked_on(&mut conns).await;
        let described = sessions.await.unwrap();
        for conn in &mut conns {
            let ids: Vec<String> = described.iter().map(|id| format!("'{id}'")).collect();
            let there = format!(
                "agent_sessions WHERE title = 'a title' AND id = ANY (ARRAY[{}]::uuid[])",
                ids.join(", ")
            );
            assert_eq!(count(conn, &there).await, i64::try_from(ids.len()).unwrap());
        }
        daemon = Daemon::spawn_as_is(&spread.urls(), &[]).await;
        daemon.wait_ready().await;
        deliver_all(&[daemon.client().await], lanes(oracle.batches(), 3)).await;
        oracle.check_all_on(&mut conns).await;
        check_places(&mut conns).await;
    }
    assert!(acked > 5, "too few acks to prove anything: {acked}");
    daemon.finish().await;
}

/// Scenario: under load, one of two servers crashes; the daemon is killed with SIGKILL while it is away, and a
/// new one starts; then the server comes back.
/// Guarantees: the other server goes on; the daemon stays ready, and metrics tell which server is away; in the
/// end every acked event is there once.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_does_not_stop_the_other() {
    let mut clusters = [pg::own_cluster().await, pg::own_cluster().await];
    let urls = clusters.each_ref().map(|cluster| cluster.url().to_owned());
    let urls = urls.join(" ");
    join(&urls).await;
    let spool = SpoolDir::new();
    let flags = spool.flags(&["--spool-after", "300ms"]);
    let mut daemon = Daemon::spawn_as_is(&urls, &flags).await;
    daemon.wait_ready().await;
    daemon.expect_warnings(AWAY);
    let seed = random::<u32>().into();
    let load = Load::spooled_too(seed, &[daemon.grpc_url()], 2, RetryPolicy::default()).await;
    load.wait_for_acks(20).await;
    clusters[1].stop_immediate().await;
    let mut first = clusters_conn(clusters[0].url()).await;
    let before = count(&mut first, "agent_runs").await;
    let more = format!("SELECT count(*) > {} AS more FROM agent_runs", before + 5);
    eventually(&mut first, &more, json!({"more": true})).await;
    assert_eq!(daemon.get("/readyz").await.0, 200);
    let metrics = daemon.metrics().await;
    let spooling = |server: &str| metrics[&format!("runtraced_spooling{{server=\"{server}\"}}")];
    assert_eq!((spooling("1/2"), spooling("2/2")), (0, 1));
    let status = ["status", "--http", daemon.http_address()];
    let (code, said) = runtraced(&status, &urls).await;
    assert!(
        code != 0 && said.contains("new events are spooled"),
        "{said}"
    );
    let oracle = load.finish().await;
    assert!(oracle.spooled() > 0);
    daemon.kill();

    let mut daemon = Daemon::spawn_as_is(&urls, &flags).await;
    daemon.expect_warnings(AWAY);
    let (on_first, on_second) = (id_on(0, 2), id_on(1, 2));
    let sent = vec![run_started(0, on_first), run_started(0, on_second)];
    let client = daemon.client().await;
    let answer = client.submit(sent).await.unwrap();
    assert_eq!(answer.durability(), Durability::Spooled);
    let there = format!("SELECT count(*) AS n FROM agent_runs WHERE id = '{on_first}'");
    eventually(&mut first, &there, json!({"n": 1})).await;
    clusters[1].start().await;
    let mut second = clusters_conn(clusters[1].url()).await;
    let there = format!("SELECT count(*) AS n FROM agent_runs WHERE id = '{on_second}'");
    eventually(&mut second, &there, json!({"n": 1})).await;
    let mut conns = connect_all(&urls).await;
    let until = Instant::now() + Duration::from_secs(60);
    while daemon.metrics().await["runtraced_events_settled_total{outcome=\"spooled\"}"] > 0 {
        assert!(Instant::now() < until, "the spool is not replayed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    oracle.check_all_on(&mut conns).await;
    oracle.check_acked_on(&mut conns).await;
    check_places(&mut conns).await;
    daemon.finish().await;
}

async fn clusters_conn(url: &str) -> PgConnection {
    connect_all(url).await.remove(0)
}

/// Scenario: daemons with spools are given the servers in another order, and a server of another store; one is given one of them.
/// Guarantees: they write nothing and spool nothing, are not ready, and say what is wrong. The last one does not start.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_writes_only_to_the_servers_that_it_was_made_for() {
    let (spread, other) = (store(2).await, store(2).await);
    let mut conns = spread.connect().await;
    conns.extend(other.connect().await);
    let urls: Vec<&str> = spread.each().chain(other.each()).collect();
    for (given, why) in [
        (
            [urls[1], urls[0]].join(" "),
            "is server 2/2 of its store, and the daemon takes it for server 1/2",
        ),
        (
            [urls[0], urls[3]].join(" "),
            "the servers belong to different stores",
        ),
    ] {
        let spool = SpoolDir::new();
        let mut daemon =
            Daemon::spawn_as_is(&given, &spool.flags(&["--submit-timeout", "1s"])).await;
        for expected in [
            "not ready",
            "the server cannot be used",
            "nor the spool accepts events",
            "events not settled",
        ] {
            daemon.expect_warnings(expected);
        }
        let until = Instant::now() + Duration::from_secs(30);
        while !daemon.logs().contains(why) {
            assert!(Instant::now() < until, "{}", daemon.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        daemon.wait_ready_state(false).await;
        let client = Client::connect(
            daemon.grpc_url(),
            RetryPolicy {
                give_up_after: Duration::ZERO,
                ..RetryPolicy::default()
            },
        );
        let runs = (0..4).map(|_| run_started(0, new_id())).collect();
        let answer = client.await.unwrap().submit(runs).await;
        assert!(answer.is_err(), "{answer:?}");
        daemon.terminate().await;
        daemon.check_logs();
    }
    // One alone is no store.
    let alone = [
        "serve",
        "--spool-bytes",
        "0",
        "--grpc-listen",
        "127.0.0.1:0",
        "--http-listen",
        "127.0.0.1:0",
    ];
    let (code, said) = runtraced(&alone, urls[0]).await;
    assert!(
        code != 0 && said.contains("takes it for server 1/1"),
        "{said}"
    );
    for conn in &mut conns {
        assert_eq!(count(conn, "agent_runs").await, 0);
    }
}

/// Scenario: a daemon on one server leaves events in its spool; the next one with this spool has two servers.
/// Guarantees: it does not start, and says what to do with them.
#[tokio::test(flavor = "multi_thread")]
async fn a_spool_of_another_number_of_servers_is_not_forgotten() {
    let mut cluster = pg::own_cluster().await;
    let spool = SpoolDir::new();
    let mut daemon =
        Daemon::with_args(cluster.url(), &spool.flags(&["--spool-after", "200ms"])).await;
    daemon.expect_warnings(AWAY);
    daemon.expect_warnings("events stay in the spool");
    cluster.stop_immediate().await;
    let answer = daemon
        .client()
        .await
        .submit(vec![run_started(0, new_id())])
        .await;
    assert_eq!(answer.unwrap().durability(), Durability::Spooled);
    assert!(daemon.terminate().await.success());
    let folder = spool.path().to_str().unwrap();
    let args = [
        "serve",
        "--spool-dir",
        folder,
        "--grpc-listen",
        "127.0.0.1:0",
        "--http-listen",
        "127.0.0.1:0",
    ];
    let two = format!("{0} {0}_2", cluster.url());
    let (code, said) = runtraced(&args, &two).await;
    assert_ne!(code, 0);
    assert!(
        said.contains("not for the number of servers") && said.contains("spool replay"),
        "{said}"
    );
}
