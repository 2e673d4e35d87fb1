//! Clients' clocks may say what they like: they name no row and count nothing.

use prost_types::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use runtraced::proto::event::Event as Body;
use runtraced::proto::{EndStatus, Event};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::events::{
    at, message, new_id, run_ended, run_started, step, step_ended, step_started, tokens,
};
use crate::support::pg;
use crate::support::tables::{row, value};

const HOUR: i64 = 3_600_000;
const YEAR: i64 = 365 * 24 * HOUR;

/// A run with ten of everything, 30 and 20 tokens in each count.
fn a_run(run: Uuid) -> Vec<Event> {
    let mut events = vec![run_started(0, run)];
    for number in 0..10 {
        let (at, two_events) = (number * 10, new_id());
        events.push(step(at, at + 5, run, new_id()));
        events.push(step_started(at, run, two_events));
        events.push(step_ended(at + 5, run, two_events));
        events.push(message(at, Some(run), None, new_id()));
        events.push(tokens(at, run, new_id(), 30, 20));
    }
    events.push(run_ended(1_000, run, EndStatus::Completed));
    events
}

fn shift(event: &mut Event, millis: i64) {
    let shifted = |time: &Timestamp| {
        let was = (time.seconds - at(0).seconds) * 1_000 + i64::from(time.nanos / 1_000_000);
        at(was + millis)
    };
    event.time = event.time.as_ref().map(shifted);
    if let Some(Body::StepEnded(end)) = &mut event.event {
        end.started_at = end.started_at.as_ref().map(shifted);
    }
}

/// Rows and totals: what no clock may change.
async fn facts(conn: &mut PgConnection, run: Uuid) -> Value {
    let query = format!(
        "SELECT status, steps, messages, open_steps, tokens_input AS input, tokens_output AS output,
                (SELECT jsonb_build_array(total_tokens_input, total_tokens_output, finalized_by)
                 FROM agent_runs WHERE id = run_id) AS row,
                (SELECT count(*) FROM run_timeline t WHERE t.run_id = s.run_id) AS items,
                duration_ms >= 0 AS sane
         FROM run_summary s WHERE run_id = '{run}'"
    );
    row(conn, &query).await
}

fn want() -> Value {
    json!({
        "status": "completed", "steps": 20, "messages": 10, "open_steps": 0, "input": 300, "output": 200,
        "row": [300, 200, "client"], "items": 40, "sane": true,
    })
}

/// Scenario: the same kind of run by clients whose clocks are wrong by hours, years, millennia;
/// by one whose clock jumps at random with each event; each sent twice.
/// Guarantees: every run has the same rows, totals and status; the repetition is all duplicates.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_clocks_change_no_row_and_no_total() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut skews: Vec<Option<i64>> = [
        0,
        7 * HOUR,
        -7 * HOUR,
        30 * YEAR,
        -60 * YEAR,
        5_000 * YEAR,
        -6_000 * YEAR,
    ]
    .map(Some)
    .to_vec();
    skews.extend([None; 5]);
    for skew in skews {
        let run = new_id();
        let mut events = a_run(run);
        for event in &mut events {
            shift(
                event,
                skew.unwrap_or_else(|| rng.random_range(-20 * YEAR..20 * YEAR)),
            );
        }
        for batch in events.chunks(9) {
            let outcome = daemon.submit(batch.to_vec()).await;
            assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
        }
        let got = facts(&mut conn, run).await;
        assert_eq!(got, want(), "skew {skew:?}, seed {seed}");
        let again = daemon.submit(events.clone()).await;
        assert_eq!(
            again.duplicate,
            events.len() as u64,
            "skew {skew:?}, seed {seed}"
        );
        assert_eq!(facts(&mut conn, run).await, want());
        if skew.is_some() {
            let duration = format!("SELECT duration_ms AS ms FROM agent_runs WHERE id = '{run}'");
            assert_eq!(row(&mut conn, &duration).await, json!({"ms": 1_000}));
        }
    }
    daemon.finish().await;
}

/// Scenario: everything in a run happens at the same instant, its end included.
/// Guarantees: all rows are there, durations are 0, messages stand in the order of seq.
#[tokio::test(flavor = "multi_thread")]
async fn events_of_one_instant_are_all_kept_and_in_order() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let run = new_id();
    let mut events = a_run(run);
    let mut seq = 10;
    for event in &mut events {
        event.time = Some(at(0));
        match &mut event.event {
            Some(Body::StepEnded(end)) => end.started_at = end.started_at.as_ref().map(|_| at(0)),
            Some(Body::MessageAppended(message)) => {
                message.seq = Some(seq);
                seq -= 1;
            }
            _ => {}
        }
    }
    daemon.submit(events).await;
    assert_eq!(facts(&mut conn, run).await, want());
    let order = format!(
        "SELECT jsonb_agg(seq ORDER BY position) FROM run_timeline WHERE run_id = '{run}' AND item = 'message'"
    );
    let ascending: Vec<i64> = (1..=10).collect();
    assert_eq!(value(&mut conn, &order).await, json!(ascending));
    let longest = format!(
        "SELECT max(s.duration_ms) AS step, max(r.duration_ms) AS run
         FROM agent_runs r JOIN agent_steps s ON s.run_id = r.id WHERE r.id = '{run}'"
    );
    assert_eq!(row(&mut conn, &longest).await, json!({"step": 0, "run": 0}));
    daemon.finish().await;
}

/// Scenario: a run's events carry nanoseconds; they are sent again with other digits below the
/// microsecond, as from a client that rounds differently.
/// Guarantees: times are cut off to the microsecond; what is sent again is all duplicates.
#[tokio::test(flavor = "multi_thread")]
async fn digits_below_the_microsecond_make_no_difference() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let run = new_id();
    let with_nanos = |nanos: i32| {
        move |mut event: Event| {
            event.time.as_mut().unwrap().nanos += nanos;
            if let Some(Body::StepEnded(end)) = &mut event.event
                && let Some(started_at) = &mut end.started_at
            {
                started_at.nanos += nanos;
            }
            event
        }
    };
    let events = a_run(run);
    let count = events.len() as u64;
    let first = events.clone().into_iter().map(with_nanos(456_001));
    assert_eq!(daemon.submit(first.collect()).await.committed, count);
    for nanos in [456_999, 456_000] {
        let again = events.clone().into_iter().map(with_nanos(nanos));
        assert_eq!(daemon.submit(again.collect()).await.duplicate, count);
    }
    assert_eq!(facts(&mut conn, run).await, want());
    let micros = format!(
        "SELECT jsonb_agg(DISTINCT (extract(epoch FROM created_at) * 1000000)::bigint % 1000)
         FROM run_timeline t JOIN agent_token_counts c ON c.id = t.id WHERE t.run_id = '{run}'"
    );
    assert_eq!(value(&mut conn, &micros).await, json!([456]));
    daemon.finish().await;
}

/// Scenario: a run and a step end before they began.
/// Guarantees: both are kept with the times as sent and a duration of 0, and flagged.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_before_the_start_is_kept_and_flagged() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (run, backwards) = (new_id(), new_id());
    let events = vec![
        run_started(HOUR, run),
        step(HOUR, 0, run, backwards),
        run_ended(0, run, EndStatus::Completed),
    ];
    assert_eq!(daemon.submit(events).await.committed, 3);
    let query = format!(
        "SELECT s.duration_ms AS run_ms, t.duration_ms AS step_ms, s.flags AS run_flags,
                t.flags ? 'ended_before_started' AS step_flag, s.ended_at < s.started_at AS backwards
         FROM run_summary s, LATERAL (SELECT duration_ms, to_jsonb(flags) AS flags
                                      FROM run_timeline WHERE run_id = s.run_id) t
         WHERE s.run_id = '{run}'"
    );
    let want = json!({"run_ms": 0, "step_ms": 0, "run_flags": ["ended_before_started"], "step_flag": true, "backwards": true});
    assert_eq!(row(&mut conn, &query).await, want);
    daemon.finish().await;
}
