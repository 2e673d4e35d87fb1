//! Totals are exact, however often and in whatever order counts come.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use runtraced::proto::{EndStatus, Event};
use serde_json::json;
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::events::{ended_with, new_id, rollup, run_ended, run_started, tokens};
use crate::support::pg;
use crate::support::stream::{deliver, lanes};
use crate::support::tables::{count, row};

const RUNS: usize = 50;
const COUNTS: usize = 10_000;
const STREAMS: usize = 8;

/// A random set of counts over many runs, and the sums that must come of it.
struct Ledger {
    runs: Vec<Uuid>,
    sums: Vec<(i64, i64)>,
    counts: Vec<Event>,
}

fn ledger(rng: &mut StdRng) -> Ledger {
    let runs: Vec<Uuid> = (0..RUNS).map(|_| new_id()).collect();
    let mut ledger = Ledger {
        sums: vec![(0, 0); runs.len()],
        counts: Vec::new(),
        runs,
    };
    for number in 0..COUNTS {
        let place = rng.random_range(0..RUNS);
        let (run, at) = (ledger.runs[place], rng.random_range(0..60_000));
        let (input, output) = (rng.random_range(0..10_000), rng.random_range(0..1_000));
        ledger.counts.push(tokens(at, run, new_id(), input, output));
        ledger.sums[place].0 += input;
        ledger.sums[place].1 += output;
        if number % 20 == 0 {
            ledger
                .counts
                .push(rollup(at, run, new_id(), 999_999, 999_999));
        }
    }
    ledger
}

/// Shuffled copies of the counts, with starts and ends strewn in: a fifth of
/// the runs end before all their counts, a fifth after all, a fifth never, the rest somewhere.
fn delivery(ledger: &Ledger, rng: &mut StdRng) -> Vec<Vec<Event>> {
    let mut events = Vec::new();
    for _ in 0..3 {
        let mut copy = ledger.counts.clone();
        copy.shuffle(rng);
        events.extend(copy);
    }
    let end = |run: &Uuid| {
        // What is reported does not matter where counts exist.
        ended_with(run_ended(30_000, *run, EndStatus::Completed), |end| {
            end.reported_tokens_input = Some(7);
            end.reported_tokens_output = Some(7);
        })
    };
    for (number, run) in ledger.runs.iter().enumerate() {
        let place = rng.random_range(0..events.len());
        events.insert(place, run_started(0, *run));
        let place = match number % 5 {
            0 => 0,
            1 => events.len(),
            2 => continue,
            _ => rng.random_range(0..events.len()),
        };
        events.insert(place, end(run));
    }
    events.chunks(97).map(<[Event]>::to_vec).collect()
}

/// Scenario: 10,000 counts of 50 runs, and roll-ups among them, are delivered
/// three times over 8 streams at once; the runs end before, amid or after them, or not at all.
/// Guarantees: each count is a row once and acked as committed once; the totals of ended runs,
/// and run_summary for all of them, are the sums of the distinct counts without the roll-ups.
#[tokio::test(flavor = "multi_thread")]
async fn totals_are_the_sums_of_the_distinct_counts() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let ledger = ledger(&mut rng);
    let batches = delivery(&ledger, &mut rng);
    let sent: usize = batches.iter().map(Vec::len).sum();
    let clients = [daemon.client().await, daemon.client().await];
    let (committed, duplicate) = deliver(&clients, lanes(batches, STREAMS)).await;

    let ends = RUNS - RUNS / 5;
    let distinct = ledger.counts.len() + RUNS + ends;
    assert_eq!(committed, distinct as u64);
    assert_eq!(committed + duplicate, sent as u64);
    let mut conn = database.connect().await;
    let rows = count(&mut conn, "agent_token_counts").await;
    assert_eq!(rows, ledger.counts.len() as i64);
    for (number, (run, (input, output))) in ledger.runs.iter().zip(&ledger.sums).enumerate() {
        let got = row(
            &mut conn,
            &format!(
                "SELECT r.status, total_tokens_input AS i, total_tokens_output AS o,
                        tokens_input AS si, tokens_output AS so
                 FROM agent_runs r JOIN run_summary s ON s.run_id = r.id WHERE r.id = '{run}'"
            ),
        )
        .await;
        let want = if number % 5 == 2 {
            json!({"status": "running", "i": null, "o": null, "si": input, "so": output})
        } else {
            json!({"status": "completed", "i": input, "o": output, "si": input, "so": output})
        };
        assert_eq!(got, want, "run {number}, seed {seed}");
    }
    daemon.finish().await;
}

/// Scenario: runs that report totals: one without any count, one with a
/// roll-up only, one with a count of its own that says nothing of output.
/// Guarantees: what is reported stands only where there is no count.
#[tokio::test(flavor = "multi_thread")]
async fn reported_totals_stand_only_where_nothing_was_counted() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let [none, only_rollup, counted] = [(); 3].map(|()| new_id());
    let mut events = vec![
        rollup(10, only_rollup, new_id(), 1_000, 1_000),
        tokens(10, counted, new_id(), 5, 0),
    ];
    for run in [none, only_rollup, counted] {
        events.push(ended_with(run_ended(100, run, EndStatus::Failed), |end| {
            end.reported_tokens_input = Some(70);
            end.reported_tokens_output = Some(8);
        }));
    }
    daemon.submit(events).await;
    let mut conn = database.connect().await;
    for (run, want) in [(none, [70, 8]), (only_rollup, [70, 8]), (counted, [5, 0])] {
        let got = totals(&mut conn, run).await;
        assert_eq!(got, json!([want, want]));
    }
    // The count that comes after all replaces what was reported, and is added up.
    daemon.submit(vec![tokens(500, none, new_id(), 1, 2)]).await;
    daemon
        .submit(vec![tokens(500, counted, new_id(), 10, 20)])
        .await;
    assert_eq!(totals(&mut conn, none).await, json!([[1, 2], [1, 2]]));
    let both = json!([[15, 20], [15, 20]]);
    assert_eq!(totals(&mut conn, counted).await, both);
    daemon.finish().await;
}

/// Scenario: counts whose sum does not fit an INTEGER, before and after the end.
/// Guarantees: the run's columns hold the greatest INTEGER, run_summary the sum, and
/// nothing is refused.
#[tokio::test(flavor = "multi_thread")]
async fn totals_beyond_integer_saturate_and_the_summary_has_them_in_full() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let (run, most) = (new_id(), i64::from(i32::MAX));
    daemon
        .submit(vec![
            tokens(1, run, new_id(), most, 1),
            tokens(2, run, new_id(), most, 1),
            run_ended(3, run, EndStatus::Completed),
        ])
        .await;
    let mut conn = database.connect().await;
    let got = totals(&mut conn, run).await;
    assert_eq!(got, json!([[most, 2], [2 * most, 2]]));
    let late = daemon
        .submit(vec![tokens(4, run, new_id(), most, most)])
        .await;
    assert_eq!(late.committed, 1);
    let got = totals(&mut conn, run).await;
    assert_eq!(got, json!([[most, most], [3 * most, most + 2]]));
    daemon.finish().await;
}

/// Totals on the run's row, and in its summary.
async fn totals(conn: &mut sqlx::PgConnection, run: Uuid) -> serde_json::Value {
    let query = format!(
        "SELECT jsonb_build_array(
             jsonb_build_array(total_tokens_input, total_tokens_output),
             jsonb_build_array(tokens_input, tokens_output))
         FROM agent_runs r JOIN run_summary s ON s.run_id = r.id WHERE r.id = '{run}'"
    );
    crate::support::tables::value(conn, &query).await
}
