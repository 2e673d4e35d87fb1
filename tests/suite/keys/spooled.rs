//! For whom an event is outlives the spool, and the dead letter.

use runtraced::proto::{Durability, RefusalCode};
use sqlx::{Connection as _, PgConnection};

use super::world::{World, world};
use super::{Said, refusals, runtraced, submit};
use crate::support::daemon::{AWAY, Daemon};
use crate::support::events::{message, new_id, run_started, step};
use crate::support::pg::{self, OwnCluster};
use crate::support::spool::SpoolDir;
use crate::support::tables::{content, count, row, value};

/// A cluster that will go, a daemon with a spool, and the world there.
async fn spooling(spool: &SpoolDir) -> (OwnCluster, Daemon, World, PgConnection) {
    let cluster = pg::own_cluster().await;
    let mut daemon = Daemon::with_args(cluster.url(), &spool.flags(&[])).await;
    daemon.expect_warnings(AWAY);
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    let world = World::new(cluster.url(), &daemon, &mut conn).await;
    (cluster, daemon, world, conn)
}

/// Sends all dead letters again, as the operator does.
async fn replay_all(database: &str, daemon: &Daemon) -> Said {
    let args = ["dead-letters", "replay", "--all", "--endpoint"];
    runtraced(database, &[&args[..], &[daemon.grpc_url()]].concat()).await
}

/// Scenario: while Postgres is away two customers and an unbound client send; one of the customers sends for
/// the other's run, too. The daemon is killed and started again; Postgres comes back; the dead letters are sent
/// again by the operator.
/// Guarantees: everybody's own is written as theirs; what was for another's run is a dead letter with its
/// customer, and stays refused when it is sent again; nothing of the other's run changes.
#[tokio::test(flavor = "multi_thread")]
async fn the_spool_lends_nobody_more_power() {
    let spool = SpoolDir::new();
    let (mut cluster, daemon, world, mut conn) = spooling(&spool).await;
    let before = content(&mut conn, &[world.others.run], &[world.others.session]).await;
    assert!(!before.is_empty());
    conn.close().await.unwrap();
    cluster.stop_immediate().await;
    let [own, theirs, free] = world.clients(&daemon).await;
    let runs = [new_id(), new_id(), new_id()];
    for (client, run) in [&own, &theirs, &free].into_iter().zip(runs) {
        let events = vec![run_started(0, run), step(1, 2, run, new_id())];
        let answer = client.submit(events).await.unwrap();
        assert_eq!(answer.durability(), Durability::Spooled);
    }
    let raid = vec![
        message(0, Some(world.others.run), None, new_id()),
        run_started(0, runs[1]),
    ];
    let answer = own.submit(raid).await.unwrap();
    assert_eq!(answer.durability(), Durability::Spooled);
    daemon.kill();
    let mut daemon = Daemon::spawn_as_is(cluster.url(), &spool.flags(&[])).await;
    daemon.expect_warnings(AWAY);
    cluster.start().await;
    daemon.wait_ready().await;
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while count(&mut conn, "ingest_dead_letters").await < 2 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let whose = |run| format!("SELECT tenant_id, customer_id FROM agent_runs WHERE id = '{run}'");
    for (run, tenant) in runs
        .into_iter()
        .zip([Some(world.acme), Some(world.other), None])
    {
        let want = serde_json::json!({"tenant_id": tenant, "customer_id": tenant});
        assert_eq!(row(&mut conn, &whose(run)).await, want);
    }
    let letters = format!(
        "SELECT count(*) FROM ingest_dead_letters WHERE code = 'permission_denied' AND tenant_id = '{}'",
        world.acme
    );
    assert_eq!(value(&mut conn, &letters).await, 2);
    let said = replay_all(cluster.url(), &daemon).await;
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.out.contains("0 replayed, 2 refused"), "{}", said.out);
    let after = content(&mut conn, &[world.others.run], &[world.others.session]).await;
    assert_eq!(after, before);
    conn.close().await.unwrap();
    daemon.finish().await;
}

/// Scenario: Postgres refuses a message of a customer; its cause is gone; the operator sends it again, without
/// a key.
/// Guarantees: it is written as the customer's, with the run that it makes.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_comes_back_as_whose_it_was() {
    let (world, daemon, mut conn) = world(&[]).await;
    let [own, theirs, free] = world.clients(&daemon).await;
    let rule =
        "ALTER TABLE agent_messages ADD CONSTRAINT no_hello CHECK (content <> 'hello') NOT VALID";
    sqlx::raw_sql(rule).execute(&mut conn).await.unwrap();
    let run = new_id();
    let lost = message(0, Some(run), None, new_id());
    // The same event of two customers is two letters, and of nobody a third.
    for client in [&own, &theirs, &free] {
        let outcome = submit(client, vec![lost.clone()]).await;
        assert_eq!(refusals(&outcome), [(RefusalCode::DeadLettered, 0)]);
    }
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, 3);
    let rule = "ALTER TABLE agent_messages DROP CONSTRAINT no_hello";
    sqlx::raw_sql(rule).execute(&mut conn).await.unwrap();
    let letter = format!(
        "SELECT id FROM ingest_dead_letters WHERE tenant_id = '{}'",
        world.acme
    );
    let letter = value(&mut conn, &letter).await;
    let list = runtraced(&world.url, &["dead-letters", "list"]).await.out;
    assert!(list.contains(&world.acme.to_string()), "{list}");
    let replay = ["dead-letters", "replay", letter.as_str().unwrap()];
    let replay = [&replay[..], &["--endpoint", daemon.grpc_url()]].concat();
    let said = runtraced(&world.url, &replay).await;
    assert_eq!(said.code, 0, "{}", said.err);
    let whose = format!("SELECT tenant_id FROM agent_runs WHERE id = '{run}'");
    assert_eq!(value(&mut conn, &whose).await, world.acme.to_string());
    // The run is the customer's now: the other's letter stays.
    let said = replay_all(&world.url, &daemon).await;
    assert_eq!(said.code, 1);
    assert!(said.out.contains("1 replayed, 1 refused"), "{}", said.out);
    daemon.finish().await;
}

/// Scenario: what customers and others sent is in the spool of a daemon that is gone; the operator sends it to
/// another one, without a key.
/// Guarantees: it is written as whose it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_is_sent_is_written_as_whose_it_was() {
    let spool = SpoolDir::new();
    let (mut cluster, mut gone, world, conn) = spooling(&spool).await;
    conn.close().await.unwrap();
    cluster.stop_immediate().await;
    let runs = [new_id(), new_id()];
    let [own, _, free] = world.clients(&gone).await;
    for (client, run) in [own, free].iter().zip(runs) {
        client.submit(vec![run_started(0, run)]).await.unwrap();
    }
    assert!(gone.terminate().await.success(), "{}", gone.logs());
    cluster.start().await;
    let taker = Daemon::start(cluster.url()).await;
    let folder = spool.path().to_str().unwrap();
    let replay = ["spool", "replay", "--spool-dir", folder];
    let replay = [&replay[..], &["--endpoint", taker.grpc_url()]].concat();
    let said = runtraced(cluster.url(), &replay).await;
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains(" events sent, 0 refused"), "{}", said.out);
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    for (run, tenant) in runs.into_iter().zip([Some(world.acme), None]) {
        let whose = format!("SELECT tenant_id FROM agent_runs WHERE id = '{run}'");
        let want = serde_json::json!({"tenant_id": tenant});
        assert_eq!(row(&mut conn, &whose).await, want);
    }
    conn.close().await.unwrap();
    taker.finish().await;
}
