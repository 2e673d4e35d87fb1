//! Large values while daemons are killed, and while Postgres is away.

use std::time::{Duration, Instant};

use rand::RngExt as _;
use runtraced::proto::Event;
use runtraced_client::{Client, RetryPolicy};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::sent::{ONCE, conversation, sent, shown};
use crate::support::daemon::{AWAY, Daemon};
use crate::support::events::new_id;
use crate::support::pg;
use crate::support::spool::SpoolDir;
use crate::support::stream::{deliver, lanes};

const CALLS: usize = 40;

/// Batches of one call each, of some runs in turn.
fn calls(runs: &[Uuid]) -> Vec<Vec<Event>> {
    let all: Vec<_> = runs.iter().map(|run| conversation(*run, CALLS)).collect();
    let turn = |n: usize| all.iter().map(move |calls| vec![calls[n].1.clone()]);
    (0..CALLS).flat_map(turn).collect()
}

/// Scenario: the daemon is killed with SIGKILL three times while it writes histories; then
/// everything is sent again, to two daemons.
/// Guarantees: after each kill, whatever a row names is there; in the end everybody reads what
/// was sent, once.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_leaves_no_half_of_a_value() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let runs: Vec<Uuid> = (0..6).map(|_| new_id()).collect();
    let batches = calls(&runs);
    for _ in 0..3 {
        let daemon = Daemon::with_args(database.url(), ONCE).await;
        let policy = RetryPolicy {
            give_up_after: Duration::from_millis(300),
            ..RetryPolicy::default()
        };
        let client = Client::connect(daemon.grpc_url(), policy).await.unwrap();
        let sending: Vec<_> = lanes(batches.clone(), 4)
            .into_iter()
            .map(|lane| {
                let client = client.clone();
                tokio::spawn(async move {
                    for batch in lane {
                        if client.submit(batch).await.is_err() {
                            return;
                        }
                    }
                })
            })
            .collect();
        let moment = rand::rng().random_range(20..400);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        daemon.kill();
        for lane in sending {
            lane.await.unwrap();
        }
        shown(&mut conn, &runs).await;
    }
    let daemons = [
        Daemon::with_args(database.url(), ONCE).await,
        Daemon::with_args(database.url(), ONCE).await,
    ];
    let clients = [daemons[0].client().await, daemons[1].client().await];
    deliver(&clients, lanes(batches.clone(), 4)).await;
    assert_eq!(shown(&mut conn, &runs).await, sent(&batches.concat()));
    for daemon in daemons {
        daemon.finish().await;
    }
}

/// Scenario: Postgres is away while histories come; the daemon is killed; the next one replays.
/// Guarantees: the values of the spool are cut when they are replayed, and read as they were sent.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_spooled_is_cut_when_it_is_replayed() {
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    let flags = dir.flags(&["--content-once", "--spool-after", "300ms"]);
    let mut first = Daemon::with_args(cluster.url(), &flags).await;
    first.expect_warnings(AWAY);
    let runs = [new_id(), new_id()];
    let batches = calls(&runs);
    let (before, after) = batches.split_at(20);
    deliver(&[first.client().await], vec![before.to_vec()]).await;
    cluster.stop_immediate().await;
    let client = first.client().await;
    for batch in after {
        let response = client.submit(batch.clone()).await.unwrap();
        assert_eq!(response.outcome.unwrap().spooled, 1);
    }
    first.kill();

    cluster.start().await;
    let mut second = Daemon::with_args(cluster.url(), &flags).await;
    second.expect_warnings(AWAY);
    let deadline = Instant::now() + Duration::from_secs(60);
    let spooled = "runtraced_events_settled_total{outcome=\"spooled\"}";
    while second.metrics().await[spooled] > 0 {
        assert!(Instant::now() < deadline, "the spool is not replayed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    assert_eq!(shown(&mut conn, &runs).await, sent(&batches.concat()));
    let plain = "SELECT count(*) FROM agent_steps WHERE length(input::text) > 1000";
    assert_eq!(super::sent::number(&mut conn, plain).await, 0);
    conn.close().await.unwrap();
    second.finish().await;
}
