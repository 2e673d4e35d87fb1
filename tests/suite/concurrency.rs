//! Many streams on the same sessions and runs.

use std::collections::{BTreeMap, HashSet};

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use runtraced::proto::event::Event as Body;
use runtraced::proto::{EndStatus, Event};
use runtraced_client::{Client, RetryPolicy};
use serde_json::json;
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::events::{
    approval_requested, heartbeat, id, message, new_id, run_ended, run_started, session_titled,
    started_with, step, step_ended, step_started, tokens,
};
use crate::support::pg;
use crate::support::stream::deliver;
use crate::support::tables::{count, row};

const STREAMS: usize = 64;
const RUNS: usize = 24;
const SESSIONS: usize = 6;
const EVENTS_PER_STREAM: usize = 150;

struct Shared {
    runs: Vec<Uuid>,
    sessions: Vec<Uuid>,
}

/// The start that every stream sends for a run.
fn start(shared: &Shared, place: usize) -> Event {
    started_with(run_started(0, shared.runs[place]), |started| {
        started.session_id = id(shared.sessions[place % SESSIONS]);
    })
}

/// A random event on what all share; a step's two events come as two.
fn some_events(shared: &Shared, number: i64, rng: &mut StdRng) -> Vec<Event> {
    let run = *shared.runs.choose(rng).unwrap();
    let session = *shared.sessions.choose(rng).unwrap();
    let (at, new) = (rng.random_range(0..1_000), new_id());
    match rng.random_range(0..8) {
        0 => vec![step_started(at, run, new), step_ended(at + 5, run, new)],
        1 => vec![step(at, at + 5, run, new)],
        2 => vec![message(at, Some(run), Some(session), new)],
        3 => vec![message(at, None, Some(session), new)],
        4 => vec![tokens(at, run, new, 1, 2)],
        5 => vec![session_titled(
            number,
            session,
            &format!("title {number:09}"),
        )],
        6 => vec![heartbeat(at, run)],
        _ => vec![approval_requested(at, run, new)],
    }
}

/// Scenario: 64 streams to two daemons write the same runs and sessions, half of the streams the
/// very same events as the other half but in another order and other batches: starts and ends of
/// all runs, steps, messages with and without a run, counts, approvals, session upserts.
/// Guarantees: everything is acked, each row is there once, totals are exact, the latest title
/// stands; Postgres saw no deadlock and the daemons logged nothing alarming.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn streams_that_share_runs_and_sessions_do_not_get_in_each_others_way() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let shared = Shared {
        runs: (0..RUNS).map(|_| Uuid::from_u128(rng.random())).collect(),
        sessions: (0..SESSIONS)
            .map(|_| Uuid::from_u128(rng.random()))
            .collect(),
    };
    let mut lanes = Vec::new();
    let mut number = 0;
    for _ in 0..STREAMS / 2 {
        let mut events: Vec<Event> = Vec::new();
        while events.len() < EVENTS_PER_STREAM {
            number += 1;
            events.extend(some_events(&shared, number, &mut rng));
        }
        for place in 0..RUNS {
            events.push(start(&shared, place));
            events.push(run_ended(2_000, shared.runs[place], EndStatus::Completed));
        }
        for _ in 0..2 {
            events.shuffle(&mut rng);
            let len = rng.random_range(5..40);
            lanes.push(
                events
                    .chunks(len)
                    .map(<[Event]>::to_vec)
                    .collect::<Vec<_>>(),
            );
        }
    }
    let sent: usize = lanes.iter().flatten().map(Vec::len).sum();
    let distinct = |table: &str| {
        let ids = lanes.iter().flatten().flatten().filter_map(|event| {
            match (event.event.as_ref().unwrap(), table) {
                (Body::StepEnded(e), "agent_steps") => Some(e.step_id.clone()),
                (Body::MessageAppended(e), "agent_messages") => Some(e.message_id.clone()),
                (Body::TokenCount(e), "agent_token_counts") => Some(e.token_count_id.clone()),
                (Body::ApprovalRequested(e), "approvals") => Some(e.approval_id.clone()),
                _ => None,
            }
        });
        i64::try_from(ids.collect::<HashSet<_>>().len()).unwrap()
    };
    let tables = [
        "agent_steps",
        "agent_messages",
        "agent_token_counts",
        "approvals",
    ];
    let wanted = tables.map(distinct);

    let titles = latest_titles(&lanes);

    let database = pg::database().await;
    let daemons = [
        Daemon::start(database.url()).await,
        Daemon::with_args(database.url(), &["--writers", "4"]).await,
    ];
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..STREAMS {
        // A connection each, the twins at different daemons.
        let url = daemons[number % 2].grpc_url();
        clients.push(Client::connect(url, RetryPolicy::default()).await.unwrap());
    }
    let (committed, duplicate) = deliver(&clients, lanes).await;
    assert_eq!(committed + duplicate, sent as u64, "seed {seed}");
    drop(clients);

    let mut conn = database.connect().await;
    for (table, wanted) in tables.iter().zip(wanted) {
        assert_eq!(
            count(&mut conn, table).await,
            wanted,
            "{table}, seed {seed}"
        );
    }
    let all = "SELECT count(*) FILTER (WHERE status = 'completed') AS ended,
                      sum(total_tokens_input) AS input, sum(total_tokens_output) AS output,
                      count(DISTINCT session_id) AS sessions
               FROM agent_runs";
    let want =
        json!({"ended": RUNS, "input": wanted[2], "output": 2 * wanted[2], "sessions": SESSIONS});
    assert_eq!(row(&mut conn, all).await, want);
    let open =
        "SELECT count(*) AS n FROM agent_steps WHERE status <> 'completed' OR closed_with_run";
    assert_eq!(row(&mut conn, open).await, json!({"n": 0}));
    for (session, title) in titles {
        let query = format!("SELECT title FROM agent_sessions WHERE id = '{session}'");
        assert_eq!(
            row(&mut conn, &query).await,
            json!({"title": title}),
            "seed {seed}"
        );
    }
    for daemon in daemons {
        daemon.finish().await;
    }
    check_no_deadlock(&mut conn).await;
}

/// Of each session the title with the latest time, which is also the greatest.
fn latest_titles(lanes: &[Vec<Vec<Event>>]) -> BTreeMap<Uuid, String> {
    let mut titles = BTreeMap::new();
    for event in lanes.iter().flatten().flatten() {
        if let Some(Body::SessionUpsert(upsert)) = &event.event {
            let session = Uuid::from_slice(&upsert.session_id).unwrap();
            let title: &mut String = titles.entry(session).or_default();
            *title = upsert.title.clone().unwrap().max(std::mem::take(title));
        }
    }
    titles
}

/// Scenario: two daemons are sent the same large batches at the same time, one of them in
/// reverse: messages that belong to no run, so that no run's lock keeps the writers apart.
/// Guarantees: writers wait for each other in one order: Postgres sees no deadlock.
#[tokio::test(flavor = "multi_thread")]
async fn twin_batches_in_opposite_orders_do_not_deadlock() {
    let database = pg::database().await;
    let daemons = [
        Daemon::start(database.url()).await,
        Daemon::start(database.url()).await,
    ];
    let clients = [daemons[0].client().await, daemons[1].client().await];
    let rounds = 30;
    for _ in 0..rounds {
        // Known before, or whoever makes it would make the other wait.
        let session = new_id();
        daemons[0]
            .submit(vec![session_titled(0, session, "shared")])
            .await;
        let mut events = Vec::new();
        for number in 0..300 {
            events.push(message(number, None, Some(session), new_id()));
        }
        let reversed: Vec<Event> = events.iter().rev().cloned().collect();
        let (one, other) = tokio::join!(
            clients[0].submit(events.clone()),
            clients[1].submit(reversed)
        );
        let [one, other] = [one, other].map(|sent| sent.unwrap().outcome.unwrap());
        assert_eq!(one.committed + other.committed, events.len() as u64);
        assert_eq!(one.duplicate + other.duplicate, events.len() as u64);
    }
    for daemon in daemons {
        daemon.finish().await;
    }
    let mut conn = database.connect().await;
    assert_eq!(count(&mut conn, "agent_messages").await, rounds * 300);
    check_no_deadlock(&mut conn).await;
}

/// The daemons' sessions have ended, and told what they met.
async fn check_no_deadlock(conn: &mut sqlx::PgConnection) {
    let query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(row(conn, query).await, json!({"deadlocks": 0}));
}
