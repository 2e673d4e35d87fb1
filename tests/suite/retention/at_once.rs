//! Everything that deletes, at once and under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use runtraced::proto::RefusalCode;
use serde_json::json;
use uuid::Uuid;

use super::kept::FLAGS;
use super::rows::{age, ended_run, there};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::tables::{count, row};

/// Runs of one request.
const RUNS: usize = 20;
/// Clients of each daemon.
const CLIENTS: usize = 3;

/// What a client sent, and what became of it.
#[derive(Default)]
struct Sent {
    runs: Vec<Uuid>,
    committed: u64,
    ignored: u64,
}

/// Sends runs without a pause until told to stop; each third request is in the session.
async fn send(daemon: Arc<Daemon>, session: Uuid, stop: Arc<AtomicBool>) -> Sent {
    let mut sent = Sent::default();
    for request in 0.. {
        if stop.load(Relaxed) {
            break;
        }
        let session = (request % 3 == 0).then_some(session);
        let runs: Vec<Uuid> = (0..RUNS).map(|_| new_id()).collect();
        let events = runs.iter().flat_map(|run| ended_run(*run, session, "b"));
        let outcome = daemon.submit(events.collect()).await;
        sent.committed += outcome.committed;
        for refusal in &outcome.refused {
            assert_eq!(refusal.code(), RefusalCode::RunGone, "{refusal:?}");
            sent.ignored += 1;
        }
        if session.is_none() {
            sent.runs.extend(runs);
        }
    }
    sent
}

/// Scenario: two daemons that delete old runs take all that six clients can send; meanwhile prune and erase run again and again. A
/// tenth of the runs is old, and the erased session gets new ones all the time.
/// Guarantees: no event is lost, and none of a live run is deleted; of what was deleted, no row is left; the ledger is exact.
#[tokio::test(flavor = "multi_thread")]
async fn all_deletions_at_once_lose_nothing_that_lives() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let old: Vec<Uuid> = (0..600).map(|_| new_id()).collect();
    let mut before = 0;
    for runs in old.chunks(100) {
        let events = runs.iter().flat_map(|run| ended_run(*run, None, "a"));
        before += daemon.submit(events.collect()).await.committed;
    }
    daemon.finish().await;
    age(&mut conn, &old[..300], 100).await;
    age(&mut conn, &old[300..], 40).await;
    let session = new_id();
    let daemons = [
        Arc::new(Daemon::with_args(database.url(), &FLAGS).await),
        Arc::new(Daemon::with_args(database.url(), &FLAGS).await),
    ];
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..2 * CLIENTS)
        .map(|client| tokio::spawn(send(daemons[client % 2].clone(), session, stop.clone())))
        .collect();
    let id = session.to_string();
    for _ in 0..3 {
        let (code, said) = runtraced(&["prune", "--older-than", "30d"], database.url()).await;
        assert_eq!(code, 0, "{said}");
        // It may say that more is being sent.
        runtraced(&["erase", "--session", &id, "--yes"], database.url()).await;
    }
    stop.store(true, Relaxed);
    let (mut young, mut committed, mut ignored) = (Vec::new(), before, 0);
    for client in clients {
        let sent = client.await.unwrap();
        young.extend(sent.runs);
        committed += sent.committed;
        ignored += sent.ignored;
    }
    let (code, said) = runtraced(&["erase", "--session", &id, "--yes"], database.url()).await;
    assert_eq!(code, 0, "{said}");
    for daemon in daemons {
        Arc::into_inner(daemon).unwrap().finish().await;
    }
    assert!(there(&mut conn, &old).await.is_empty());
    assert_eq!(there(&mut conn, &young).await.len(), young.len());
    // Each run has one row of its own, two steps, and one of each other kind.
    for (table, rows) in [
        ("agent_runs", 1),
        ("agent_steps", 2),
        ("agent_messages", 1),
        ("agent_scores", 1),
    ] {
        assert_eq!(
            count(&mut conn, table).await,
            rows * young.len() as i64,
            "{table}"
        );
    }
    let sums = "SELECT sum(committed)::bigint AS committed, sum(ignored)::bigint AS ignored, sum(in_flight)::bigint AS in_flight
                FROM ingest_reconciliation";
    assert_eq!(
        row(&mut conn, sums).await,
        json!({"committed": committed, "ignored": ignored, "in_flight": 0})
    );
}
