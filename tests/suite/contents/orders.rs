//! Large values, however and by whichever daemon they come.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use runtraced::proto::event::Event as Body;
use runtraced::proto::{Event, StepDetails};
use sqlx::PgConnection;
use uuid::Uuid;

use super::sent::{ONCE, history, number as number_of, said, shown};
use crate::support::daemon::Daemon;
use crate::support::pg;
use crate::support::random::{Random, World, from_env};
use crate::support::stream::{deliver, lanes};
use crate::support::tables::content;

/// A value for a number: small, large, of every kind, and with much in common.
fn value(number: u64) -> String {
    let turns = usize::try_from(number / 8 % 40).unwrap();
    match number % 8 {
        0 | 1 => history(0..turns),
        2 => format!("{{\"m\": {}, \"t\": 1}}", history(0..turns)),
        3 => history(turns / 2..turns),
        4 => format!("[[{}, 1], 2]", history(0..turns)),
        5 => format!("{{\"$content\": \"{}\"}}", Uuid::from_u128(number.into())),
        6 => format!("\"{}\"", "x".repeat(turns * 40)),
        _ => said(turns),
    }
}

fn number(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Replaces the inputs and outputs of steps. Gets the step, a name of the field, and the JSON.
fn enlarge(events: &mut [Event], value: impl Fn(&[u8], &str, &str) -> String) {
    let replace = |step: &[u8], name: &str, json: &mut Option<String>| {
        if let Some(json) = json {
            *json = value(step, name, json);
        }
    };
    let input = |step: &[u8], details: &mut Option<StepDetails>| {
        if let Some(details) = details {
            replace(step, "input", &mut details.input_json);
        }
    };
    for event in events {
        match event.event.as_mut() {
            Some(Body::StepStarted(e)) => input(&e.step_id, &mut e.details),
            Some(Body::StepEnded(e)) => {
                input(&e.step_id, &mut e.details);
                replace(&e.step_id, "output", &mut e.output_json);
            }
            _ => {}
        }
    }
}

fn world() -> World {
    World {
        customers: vec![Uuid::from_u128(1)],
        users: vec![Uuid::from_u128(2)],
    }
}

/// Scenario: events of every kind contradict each other, with large values in the same places.
/// They come in one order to a daemon, and shuffled, repeated and split to two others. All have
/// the flag.
/// Guarantees: every column of every row is the same: the daemon and Postgres agree which value
/// wins, although they compare references.
/// `RUNTRACED_TEST_SEED` replays, `RUNTRACED_TEST_CASES` asks for more.
#[tokio::test(flavor = "multi_thread")]
async fn any_order_ends_in_the_same_references() {
    let databases = [pg::database().await, pg::database().await];
    let [one, two] = &databases;
    let daemons = [
        Daemon::with_args(one.url(), ONCE).await,
        Daemon::with_args(two.url(), ONCE).await,
        Daemon::with_args(two.url(), ONCE).await,
    ];
    let [first, second, third] = &daemons;
    let (first, others) = (
        [first.client().await],
        [second.client().await, third.client().await],
    );
    let mut conns = [one.connect().await, two.connect().await];
    let seed_of_all = from_env("RUNTRACED_TEST_SEED", rand::random::<u32>().into());
    let cases = from_env("RUNTRACED_TEST_CASES", 60);
    for seed in seed_of_all..seed_of_all + cases {
        let mut random = Random::new(seed, &world());
        let mut scenario = match seed % 2 {
            0 => random.scenario(),
            _ => random.crowd(),
        };
        enlarge(&mut scenario.events, |_, _, json| {
            value(number((seed, json)))
        });
        let chunks = scenario.events.chunks(random.upto(1, 40));
        deliver(&first, vec![chunks.map(<[Event]>::to_vec).collect()]).await;
        let batches = random.delivery(&scenario.events);
        deliver(&others, lanes(batches, 4)).await;
        let [a, b] = &mut conns;
        let want = content(a, &scenario.runs, &scenario.sessions).await;
        let got = content(b, &scenario.runs, &scenario.sessions).await;
        assert_eq!(
            got, want,
            "RUNTRACED_TEST_SEED={seed} RUNTRACED_TEST_CASES=1"
        );
        let want = shown(a, &scenario.runs).await;
        assert_eq!(
            shown(b, &scenario.runs).await,
            want,
            "RUNTRACED_TEST_SEED={seed}"
        );
    }
    for daemon in daemons {
        daemon.finish().await;
    }
}

/// Every column of every step but what is compared apart: values, and what `other_view` quotes.
async fn other_columns(conn: &mut PgConnection, runs: &[Uuid]) -> Vec<String> {
    let sql = "SELECT (to_jsonb(s) - '{input,output,other_view}'::text[])::text FROM agent_steps s
               WHERE run_id = ANY ($1) ORDER BY id";
    let rows = sqlx::query_scalar(sql).bind(runs);
    rows.fetch_all(conn).await.unwrap()
}

/// Gives each event a time of its own, so that no two of a step are equally late.
fn set_apart(events: &mut [Event]) {
    for (event, nanos) in events.iter_mut().zip((0..).step_by(1_000)) {
        if let Some(time) = &mut event.time {
            time.nanos = nanos;
        }
    }
}

/// Scenario: the same events come to a daemon without the flag, to one with it, and to two
/// daemons of one database of which one has it. The values of a step's events are equal. In half
/// of the cases, events of a step are equally late.
/// Guarantees: everybody reads the same steps in all three. Of events that are equally late, the
/// stored form of the values decides which one gives the other columns if daemons store both forms.
#[tokio::test(flavor = "multi_thread")]
async fn steps_read_the_same_with_and_without_the_flag() {
    let [plain, once, both] = [
        pg::database().await,
        pg::database().await,
        pg::database().await,
    ];
    let daemons = [
        Daemon::start(plain.url()).await,
        Daemon::with_args(once.url(), ONCE).await,
        Daemon::start(both.url()).await,
        Daemon::with_args(both.url(), ONCE).await,
    ];
    let mut clients = Vec::new();
    for daemon in &daemons {
        clients.push(daemon.client().await);
    }
    let mut conns = [
        plain.connect().await,
        once.connect().await,
        both.connect().await,
    ];
    let seed_of_all = from_env("RUNTRACED_TEST_SEED", rand::random::<u32>().into());
    let cases = from_env("RUNTRACED_TEST_CASES", 60);
    for seed in seed_of_all..seed_of_all + cases {
        let mut random = Random::new(seed, &world());
        let mut scenario = random.scenario();
        enlarge(&mut scenario.events, |step, name, _| {
            value(number((seed, step, name)))
        });
        let all_apart = seed % 2 == 0;
        if all_apart {
            set_apart(&mut scenario.events);
        }
        for clients in [&clients[..1], &clients[1..2], &clients[2..]] {
            let batches = random.delivery(&scenario.events);
            deliver(clients, lanes(batches, 2)).await;
        }
        let [a, b, c] = &mut conns;
        let (rows, values) = (
            other_columns(a, &scenario.runs).await,
            shown(a, &scenario.runs).await,
        );
        for (conn, has_both_forms) in [(b, false), (c, true)] {
            let got = shown(conn, &scenario.runs).await;
            assert_eq!(
                got, values,
                "RUNTRACED_TEST_SEED={seed} RUNTRACED_TEST_CASES=1"
            );
            if has_both_forms && !all_apart {
                continue;
            }
            let got = other_columns(conn, &scenario.runs).await;
            assert_eq!(
                got, rows,
                "RUNTRACED_TEST_SEED={seed} RUNTRACED_TEST_CASES=1"
            );
        }
    }
    let [plain, once, both] = &mut conns;
    // Without the flag, only what looks like a reference is a content.
    let kinds = "SELECT count(*) FROM agent_contents WHERE kind > 0";
    assert_eq!(number_of(plain, kinds).await, 0);
    // A single case that is replayed may have no large value.
    if cases >= 60 {
        for conn in [once, both] {
            assert!(number_of(conn, kinds).await > 100);
        }
    }
    for daemon in daemons {
        daemon.finish().await;
    }
}
