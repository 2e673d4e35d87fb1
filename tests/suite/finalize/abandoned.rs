//! Runs that fall silent.

use std::time::{Duration, Instant};

use prost_types::Duration as ProtoDuration;
use runtraced::proto::{EndStatus, Event};
use runtraced_client::RetryPolicy;
use serde_json::json;
use uuid::Uuid;

use super::{IMPATIENT, abandoned, open_run, open_step, run_query, run_row, step_row, time};
use crate::support::daemon::Daemon;
use crate::support::events::{
    heartbeat, message, new_id, rollup, run_ended, run_started, started_with, step, step_ended,
    step_started, tokens,
};
use crate::support::load::Load;
use crate::support::pg;
use crate::support::tables::{eventually, row};

fn with_timeout(event: Event, millis: i32) -> Event {
    started_with(event, |started| {
        started.timeout = Some(ProtoDuration {
            seconds: (millis / 1_000).into(),
            nanos: millis % 1_000 * 1_000_000,
        });
    })
}

/// Scenario: a run with an open step, a closed step, tokens and a message falls silent; another
/// has only tokens and no start; a third ended by itself.
/// Guarantees: the silent ones are closed as failed and abandoned at their last event, with exact
/// totals; the open step is closed with its run and marked, the closed one untouched; the ended
/// run is untouched; the metric counts two.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_run_is_closed_at_its_last_event() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &IMPATIENT).await;
    let [silent, bare, ended, open, closed] = [(); 5].map(|()| new_id());
    daemon
        .submit(vec![
            run_started(0, silent),
            step_started(100, silent, open),
            step(100, 200, silent, closed),
            tokens(300, silent, new_id(), 30, 3),
            rollup(300, silent, new_id(), 9_000, 9_000),
            message(700, Some(silent), None, new_id()),
            tokens(50, bare, new_id(), 1, 2),
            tokens(80, bare, new_id(), 1, 2),
            run_started(0, ended),
            run_ended(10, ended, EndStatus::Completed),
        ])
        .await;
    let mut conn = database.connect().await;
    abandoned(&mut conn, silent).await;
    abandoned(&mut conn, bare).await;
    let want = json!({"status": "failed", "by": "abandoned", "ended_at": time(700), "ms": 700, "input": 30, "output": 3});
    assert_eq!(run_row(&mut conn, silent).await, want);
    let want = json!({"status": "failed", "by": "abandoned", "ended_at": time(80), "ms": 30, "input": 2, "output": 4});
    assert_eq!(run_row(&mut conn, bare).await, want);
    let want = json!({"status": "failed", "closed": true, "ms": 600, "ended_at": time(700)});
    assert_eq!(step_row(&mut conn, open).await, want);
    let want = json!({"status": "completed", "closed": null, "ms": 100, "ended_at": time(200)});
    assert_eq!(step_row(&mut conn, closed).await, want);
    let got = run_row(&mut conn, ended).await;
    assert_eq!(got["by"], "client");
    assert_eq!(got["ended_at"], time(10));
    let summary = format!(
        "SELECT status, flags, open_steps, error LIKE 'abandoned%' AS told FROM run_summary WHERE run_id = '{silent}'"
    );
    let want = json!({"status": "failed", "flags": ["abandoned", "steps_closed_with_run"], "open_steps": 0, "told": true});
    assert_eq!(row(&mut conn, &summary).await, want);
    let flags =
        format!("SELECT flags FROM run_timeline WHERE id = '{open}' AND run_id = '{silent}'");
    assert_eq!(
        row(&mut conn, &flags).await,
        json!({"flags": ["closed_with_run"]})
    );
    assert_eq!(daemon.metrics().await["runtraced_runs_abandoned_total"], 2);
    daemon.finish().await;
}

/// Scenario: the daemon waits an hour, but runs bring timeouts of their own: one falls silent, one
/// sends heartbeats for longer than its timeout, one that brings none says nothing.
/// Guarantees: only the silent one with a timeout is closed; the other lives as long as its
/// heartbeats, which are its last event then.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_may_bring_its_own_timeout_and_heartbeats_keep_it_alive() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--sweep-interval", "0.1"]).await;
    let [silent, beating, patient] = [(); 3].map(|()| new_id());
    let mut conn = database.connect().await;
    daemon
        .submit(vec![
            with_timeout(run_started(0, silent), 300),
            with_timeout(run_started(0, beating), 2_000),
            run_started(0, patient),
        ])
        .await;
    for beat in 1..=12 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        daemon.submit(vec![heartbeat(beat * 10, beating)]).await;
        assert_eq!(run_row(&mut conn, beating).await, open_run(), "beat {beat}");
    }
    let got = run_row(&mut conn, silent).await;
    assert_eq!(
        (&got["by"], &got["ended_at"]),
        (&json!("abandoned"), &time(0))
    );
    abandoned(&mut conn, beating).await;
    assert_eq!(run_row(&mut conn, beating).await["ended_at"], time(120));
    assert_eq!(run_row(&mut conn, patient).await, open_run());
    daemon.finish().await;
}

/// Scenario: a run is abandoned; then a late event comes, then silence again, then the end of one
/// of its steps, then its own end with a time before all these guesses.
/// Guarantees: each late event reopens the run and the steps that were closed with it; silence
/// closes it again at its new last event; the true end stands though it is earlier, steps follow it.
#[tokio::test(flavor = "multi_thread")]
async fn late_events_reopen_and_a_late_end_replaces_the_guess() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &IMPATIENT).await;
    let mut conn = database.connect().await;
    let [run, one, two] = [(); 3].map(|()| new_id());
    daemon
        .submit(vec![
            run_started(0, run),
            step_started(100, run, one),
            step_started(200, run, two),
            tokens(5_000, run, new_id(), 10, 1),
        ])
        .await;
    abandoned(&mut conn, run).await;
    assert_eq!(run_row(&mut conn, run).await["ended_at"], time(5_000));

    daemon
        .submit(vec![tokens(6_000, run, new_id(), 10, 1)])
        .await;
    assert_eq!(run_row(&mut conn, run).await, open_run());
    assert_eq!(step_row(&mut conn, one).await, open_step());
    let error = format!("SELECT error FROM agent_runs WHERE id = '{run}'");
    assert_eq!(row(&mut conn, &error).await, json!({"error": null}));
    abandoned(&mut conn, run).await;
    let want = json!({"status": "failed", "by": "abandoned", "ended_at": time(6_000), "ms": 6_000, "input": 20, "output": 2});
    assert_eq!(run_row(&mut conn, run).await, want);

    daemon.submit(vec![step_ended(900, run, one)]).await;
    let want = json!({"status": "completed", "closed": null, "ms": 800, "ended_at": time(900)});
    assert_eq!(step_row(&mut conn, one).await, want);
    assert_eq!(run_row(&mut conn, run).await, open_run());
    assert_eq!(step_row(&mut conn, two).await, open_step());
    abandoned(&mut conn, run).await;
    let want_two =
        json!({"status": "failed", "closed": true, "ms": 5_800, "ended_at": time(6_000)});
    assert_eq!(step_row(&mut conn, two).await, want_two);

    daemon
        .submit(vec![run_ended(1_000, run, EndStatus::Completed)])
        .await;
    let want_run = json!({"status": "completed", "by": "client", "ended_at": time(1_000), "ms": 1_000, "input": 20, "output": 2});
    assert_eq!(run_row(&mut conn, run).await, want_run);
    assert_eq!(row(&mut conn, &error).await, json!({"error": null}));
    assert_eq!(step_row(&mut conn, one).await, want);
    let want_two =
        json!({"status": "completed", "closed": true, "ms": 800, "ended_at": time(1_000)});
    assert_eq!(step_row(&mut conn, two).await, want_two);
    // A true end is final: neither events nor silence change it.
    daemon.submit(vec![heartbeat(9_000, run)]).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(run_row(&mut conn, run).await, want_run);
    daemon.finish().await;
}

/// Scenario: runs by clients whose clocks are decades behind or ahead of the database's, with a
/// timeout of two seconds.
/// Guarantees: none is closed before two seconds of real silence; then each ends at its own last event.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_clocks_neither_hasten_nor_prevent_it() {
    let database = pg::database().await;
    let args = ["--run-timeout", "2", "--sweep-interval", "0.1"];
    let daemon = Daemon::with_args(database.url(), &args).await;
    let mut conn = database.connect().await;
    let year: i64 = 365 * 86_400_000;
    let runs: Vec<(Uuid, i64)> = [-50 * year, -year, 0, year, 500 * year]
        .map(|skew| (new_id(), skew))
        .to_vec();
    let begin = Instant::now();
    for (run, skew) in &runs {
        let events = vec![
            run_started(*skew, *run),
            tokens(skew + 10, *run, new_id(), 1, 1),
        ];
        daemon.submit(events).await;
    }
    let any = "SELECT count(*) AS n FROM agent_runs WHERE status <> 'running'";
    while row(&mut conn, any).await == json!({"n": 0}) {
        assert!(begin.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        begin.elapsed() >= Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    for (run, skew) in runs {
        abandoned(&mut conn, run).await;
        let want = json!({"status": "failed", "by": "abandoned", "ended_at": time(skew + 10), "ms": 10, "input": 1, "output": 1});
        assert_eq!(run_row(&mut conn, run).await, want);
    }
    daemon.finish().await;
}

/// Scenario: two daemons sweep one database while both take load; 1,200 runs, more than one sweep
/// takes, fall silent meanwhile, each with an open step.
/// Guarantees: each silent run is closed once, by one of the daemons; no run of the load is
/// touched; no error, no deadlock.
#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_sweep_the_same_database_under_load() {
    let database = pg::database().await;
    let args = ["--sweep-interval", "0.05"];
    let daemons = [
        Daemon::with_args(database.url(), &args).await,
        Daemon::with_args(database.url(), &args).await,
    ];
    let urls = [daemons[0].grpc_url(), daemons[1].grpc_url()];
    let load = Load::start(
        rand::random::<u32>().into(),
        &urls,
        2,
        RetryPolicy::default(),
    )
    .await;
    // More than one sweep takes.
    let silent: Vec<Uuid> = (0..600).map(|_| new_id()).collect();
    for (number, runs) in silent.chunks(150).enumerate() {
        let events = runs.iter().flat_map(|run| {
            let start = with_timeout(run_started(0, *run), 500);
            [
                start,
                step_started(10, *run, new_id()),
                tokens(20, *run, new_id(), 3, 4),
            ]
        });
        daemons[number % 2].submit(events.collect()).await;
    }
    let mut conn = database.connect().await;
    let closed = "SELECT count(*) AS n FROM agent_runs r
                  WHERE finalized_by = 'abandoned' AND duration_ms = 20
                    AND total_tokens_input = 3 AND total_tokens_output = 4
                    AND EXISTS (SELECT FROM agent_steps WHERE run_id = r.id AND closed_with_run AND duration_ms = 10)";
    eventually(&mut conn, closed, json!({"n": silent.len()})).await;
    load.finish().await.check_all(&mut conn).await;
    let mut swept = 0;
    for daemon in &daemons {
        swept += daemon.metrics().await["runtraced_runs_abandoned_total"];
    }
    assert_eq!(swept, silent.len() as u64);
    // Truth that comes late by way of the other daemon still wins.
    daemons[0]
        .submit(vec![run_ended(5, silent[0], EndStatus::Completed)])
        .await;
    let want = json!({"status": "completed", "by": "client", "ended_at": time(5), "ms": 5, "input": 3, "output": 4});
    eventually(&mut conn, &run_query(silent[0]), want).await;
    for daemon in daemons {
        daemon.finish().await;
    }
    let deadlocks =
        "SELECT deadlocks AS n FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(row(&mut conn, deadlocks).await, json!({"n": 0}));
}
