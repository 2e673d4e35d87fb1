//! Late events of runs that are gone, through every endpoint.

use std::time::Duration;

use prost::Message as _;
use runtraced::proto::{Durability, EndStatus, RefusalCode};
use runtraced::reap::{PruneFilter, ReapPace, prune};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::rows::{age, asked, below, ended_run, orphans, send_run};
use crate::support::daemon::{AWAY, Daemon};
use crate::support::events::{heartbeat, new_id, run_ended, run_started, step};
use crate::support::otlp::{post, request, span};
use crate::support::pg;
use crate::support::spool::SpoolDir;
use crate::support::tables::count;

/// Deletes what has not changed for a month.
async fn prune_all(conn: &mut PgConnection) {
    let filter = PruneFilter {
        older_than: Duration::from_secs(30 * 86_400),
        status: None,
        agent: None,
        customer: None,
    };
    prune(conn, &filter, false, &ReapPace::of_share(100))
        .await
        .unwrap();
}

/// A run that was there and is deleted.
async fn gone_run(daemon: &Daemon, conn: &mut PgConnection) -> Uuid {
    let run = send_run(daemon, None, "a").await;
    age(conn, &[run], 60).await;
    prune_all(conn).await;
    assert_eq!(orphans(conn, run).await, 0);
    run
}

/// The ignored events, by the ledger.
async fn ignored(conn: &mut PgConnection) -> i64 {
    let query = "SELECT coalesce(sum(ignored), 0)::bigint FROM ingest_reconciliation";
    sqlx::query_scalar(query).fetch_one(conn).await.unwrap()
}

/// Scenario: every kind of event of a run that is gone, each alone and all in one batch with a new run and with one more run that
/// is gone.
/// Guarantees: each is refused with RUN_GONE and counted as ignored; the new run is committed; no row and no dead letter comes of
/// the others.
#[tokio::test(flavor = "multi_thread")]
async fn native_events_are_ignored_and_counted() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let gone = gone_run(&daemon, &mut conn).await;
    let too = gone_run(&daemon, &mut conn).await;
    let mut late = vec![run_started(0, gone)];
    late.extend(below(gone, None));
    late.extend([
        asked(gone),
        heartbeat(8, gone),
        run_ended(9, gone, EndStatus::Failed),
    ]);
    let each = late.len();
    for event in late.clone() {
        let outcome = daemon.submit(vec![event.clone()]).await;
        let codes: Vec<RefusalCode> = outcome.refused.iter().map(|r| r.code()).collect();
        assert_eq!(codes, [RefusalCode::RunGone], "{event:?}");
        assert_eq!(outcome.committed, 0, "{event:?}");
    }
    let new = ended_run(new_id(), None, "b");
    let (first, last) = new.split_at(3);
    let batch = [first, &late, last, &[step(1, 2, too, new_id())]].concat();
    let outcome = daemon.submit(batch).await;
    assert_eq!(outcome.committed, new.len() as u64, "{outcome:?}");
    let positions: Vec<u32> = outcome.refused.iter().map(|r| r.index).collect();
    let late_at = (3..3 + each).chain([new.len() + each]);
    let want: Vec<u32> = late_at.map(|at| u32::try_from(at).unwrap()).collect();
    assert_eq!(positions, want);
    assert!(
        outcome
            .refused
            .iter()
            .all(|r| r.code() == RefusalCode::RunGone)
    );
    for run in [gone, too] {
        assert_eq!(orphans(&mut conn, run).await, 0);
    }
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, 0);
    let metrics = daemon.metrics().await;
    let name = "runtraced_events_settled_total{outcome=\"ignored\"}";
    assert_eq!(metrics[name], 2 * each as u64 + 1);
    daemon.finish().await;
    assert_eq!(
        ignored(&mut conn).await,
        2 * i64::try_from(each).unwrap() + 1
    );
}

/// Scenario: late spans of a trace whose run is gone, with a span of a new trace.
/// Guarantees: the answer counts them as rejected, with the reason; the other span is stored.
#[tokio::test(flavor = "multi_thread")]
async fn spans_are_a_partial_success() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (trace, other) = (Uuid::new_v4(), Uuid::new_v4());
    let send = async |spans| {
        let headers = ["Content-Type: application/x-protobuf"];
        post(
            &daemon,
            "/v1/traces",
            &headers,
            &request(spans).encode_to_vec(),
        )
        .await
    };
    assert_eq!(send(vec![span(trace, 1)]).await.status, 200);
    assert_eq!(count(&mut conn, "agent_runs").await, 1);
    sqlx::query("UPDATE agent_runs SET status = 'completed', settle_at = NULL, changed_at = now() - interval '60 days'")
        .execute(&mut conn)
        .await
        .unwrap();
    prune_all(&mut conn).await;
    assert_eq!(count(&mut conn, "agent_runs").await, 0);
    let answer = send(vec![span(trace, 1), span(other, 1), span(trace, 2)]).await;
    assert_eq!(answer.status, 200);
    let said = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(said.contains("run_gone"), "{said}");
    assert_eq!(orphans(&mut conn, trace).await, 0);
    assert_eq!(count(&mut conn, "agent_runs").await, 1);
    daemon.finish().await;
}

/// Scenario: late events wait in the spool while their run is deleted; the replay comes after.
/// Guarantees: they are dropped and counted as ignored, and are no dead letters; the others are committed; the ledger adds up.
#[tokio::test(flavor = "multi_thread")]
async fn spooled_events_are_dropped_and_counted() {
    let mut cluster = pg::own_cluster().await;
    let dir = SpoolDir::new();
    // Long enough for a slow machine: a Postgres that is away is noticed at once.
    let mut daemon = Daemon::spawn(cluster.url(), &dir.flags(&["--spool-after", "3"])).await;
    daemon.expect_warnings(AWAY);
    daemon.wait_ready().await;
    let run = send_run(&daemon, None, "a").await;
    cluster.stop_immediate().await;
    let mut late = below(run, None);
    late.push(heartbeat(5, run));
    let new = ended_run(new_id(), None, "b");
    let sent = [late.clone(), new.clone()].concat();
    let response = daemon.client().await.submit(sent).await.unwrap();
    assert_eq!(response.durability(), Durability::Spooled);
    daemon.kill();
    cluster.start().await;
    let mut conn = PgConnection::connect(cluster.url()).await.unwrap();
    age(&mut conn, &[run], 60).await;
    prune_all(&mut conn).await;
    let daemon = Daemon::with_args(cluster.url(), &dir.flags(&[])).await;
    let ignored_name = "runtraced_events_settled_total{outcome=\"ignored\"}";
    for _ in 0..1_000 {
        if daemon.metrics().await[ignored_name] == late.len() as u64 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let metrics = daemon.metrics().await;
    assert_eq!(metrics[ignored_name], late.len() as u64);
    let committed = metrics["runtraced_events_settled_total{outcome=\"committed\"}"];
    assert_eq!(committed, new.len() as u64);
    assert_eq!(orphans(&mut conn, run).await, 0);
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, 0);
    daemon.finish().await;
    let left: i64 =
        sqlx::query_scalar("SELECT sum(in_flight + spooled)::bigint FROM ingest_reconciliation")
            .fetch_one(&mut conn)
            .await
            .unwrap();
    assert_eq!(left, 0);
}

/// Scenario: 150 times, a run is deleted while two daemons write late events of it.
/// Guarantees: each time, the run is either whole with these events, or gone with all its rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_whole_or_gone() {
    let database = pg::database().await;
    let daemons = [
        Daemon::start(database.url()).await,
        Daemon::start(database.url()).await,
    ];
    let clients = [daemons[0].client().await, daemons[1].client().await];
    let mut conn = database.connect().await;
    let mut seen = [0, 0];
    for round in 0..150_u64 {
        let session = (round % 2 == 0).then(new_id);
        let run = send_run(&daemons[0], session, "a").await;
        age(&mut conn, &[run], 60).await;
        let pause = Duration::from_micros(round * 40);
        let (late, too) = (below(run, session), vec![step(3, 4, run, new_id())]);
        let sent = [clients[0].submit(late), clients[1].submit(too)];
        let [first, second] = sent;
        let (_, first, second) = tokio::join!(
            async {
                tokio::time::sleep(pause).await;
                prune_all(&mut conn).await;
            },
            first,
            second
        );
        let outcomes = [first, second].map(|answer| answer.unwrap().outcome.unwrap());
        let committed: u64 = outcomes.iter().map(|outcome| outcome.committed).sum();
        let gone = format!("ingest_tombstones WHERE id = '{run}'");
        let is_gone = count(&mut conn, &gone).await == 1;
        let rows = orphans(&mut conn, run).await;
        match is_gone {
            true => assert_eq!(rows, 0, "round {round}: {outcomes:?}"),
            // The run, seven rows from before, and one for each late event.
            false => assert_eq!((rows, committed), (14, 7), "round {round}: {outcomes:?}"),
        }
        seen[usize::from(is_gone)] += 1;
    }
    println!("whole {}, gone {}", seen[0], seen[1]);
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, 0);
    for daemon in daemons {
        daemon.finish().await;
    }
}
