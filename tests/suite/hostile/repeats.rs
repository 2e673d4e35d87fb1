//! Batches as large as the daemon takes them, with everything about one id: whatever the
//! kind of event, the work is that of as many events about as many ids.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, EndStatus, Event, MessageRole, Outcome, StepType};
use runtraced_client::Client;
use uuid::Uuid;

use super::Bystander;
use crate::support::daemon::Daemon;
use crate::support::events::{at, event, id, new_id, run_started};
use crate::support::pg;
use crate::support::tables::{count, value};

/// The most events of one `Submit`.
const MOST: usize = 32_768;
/// How long a batch may take, and how long others may wait meanwhile. As many statements as
/// events take many times longer. A debug build on a busy machine is slower.
const LIMITS: [Duration; 2] = if cfg!(debug_assertions) {
    [Duration::from_secs(60), Duration::from_secs(20)]
} else {
    [Duration::from_secs(5), Duration::from_millis(1_500)]
};

/// One id of each kind.
#[derive(Clone, Copy)]
struct Ids {
    run: Uuid,
    session: Uuid,
    row: Uuid,
}

impl Ids {
    fn new() -> Self {
        Self {
            run: new_id(),
            session: new_id(),
            row: new_id(),
        }
    }
}

/// What the event number `n` says: as all others; something else at the same time; the
/// same at another time.
fn said(n: usize) -> (i64, String) {
    match n % 4 {
        0 => (0, "a".into()),
        1 => (0, format!("b{n}")),
        2 => (i64::try_from(n).unwrap(), "a".into()),
        _ => (-i64::try_from(n).unwrap(), "a".into()),
    }
}

fn details(text: &str) -> Option<proto::StepDetails> {
    Some(proto::StepDetails {
        step_type: StepType::Other.into(),
        input_json: Some(format!("{{\"z\":1, \"text\":\"{text}\",\"z\":1e1}}")),
        ..Default::default()
    })
}

fn root(millis: i64, text: &str) -> Option<proto::AliasedRoot> {
    Some(proto::AliasedRoot {
        started_at: Some(at(millis)),
        ended_at: Some(at(millis)),
        status: EndStatus::Completed.into(),
        error: None,
        name: text.into(),
    })
}

/// An event of a kind: its ids, its time, its content and its number.
type Make = fn(Ids, i64, &str, usize) -> Body;

fn ended(ids: Ids, millis: i64, text: &str) -> proto::StepEnded {
    proto::StepEnded {
        step_id: id(ids.row),
        run_id: id(ids.run),
        details: details(text),
        status: EndStatus::Completed.into(),
        output_json: Some(format!("[\"{text}\",1.0 ]")),
        started_at: Some(at(-millis)),
        ..Default::default()
    }
}

fn message(ids: Ids, text: &str) -> proto::MessageAppended {
    proto::MessageAppended {
        message_id: id(ids.row),
        run_id: id(ids.run),
        session_id: id(ids.session),
        role: MessageRole::User.into(),
        content: Some(text.into()),
        metadata_json: Some(format!("{{\"text\":\"{text}\"}}")),
        ..Default::default()
    }
}

fn decided(ids: Ids, text: &str) -> proto::ApprovalDecided {
    proto::ApprovalDecided {
        approval_id: id(ids.row),
        run_id: id(ids.run),
        status: proto::ApprovalStatus::Approved.into(),
        notes: Some(text.into()),
        ..Default::default()
    }
}

/// Every kind of event that makes a row below a run.
const BELOW_RUNS: [(&str, Make); 9] = [
    ("StepStarted", |ids, _, text, _| {
        Body::StepStarted(proto::StepStarted {
            step_id: id(ids.row),
            run_id: id(ids.run),
            details: details(text),
        })
    }),
    ("StepEnded", |ids, millis, text, _| {
        Body::StepEnded(ended(ids, millis, text))
    }),
    ("StepEnded with views", |ids, millis, text, n| {
        Body::StepEnded(proto::StepEnded {
            view: -i32::try_from(n % 30_000).unwrap(),
            details: details(text).filter(|_| n % 2 == 0),
            ..ended(ids, millis, text)
        })
    }),
    ("MessageAppended", |ids, _, text, _| {
        Body::MessageAppended(message(ids, text))
    }),
    ("sightings", |ids, _, text, n| {
        Body::MessageAppended(proto::MessageAppended {
            sighting: true,
            believed_new: n % 2 == 0,
            ..message(ids, text)
        })
    }),
    ("TokenCount", |ids, _, text, n| {
        Body::TokenCount(proto::TokenCount {
            token_count_id: id(ids.row),
            run_id: id(ids.run),
            model: Some(text.into()),
            input: Some(i64::try_from(n % 7).unwrap()),
            ..Default::default()
        })
    }),
    ("ScoreAdded", |ids, _, text, n| {
        Body::ScoreAdded(proto::ScoreAdded {
            score_id: id(ids.row),
            run_id: id(ids.run),
            name: "correctness".into(),
            value: Some((n % 7) as f64),
            comment: Some(text.into()),
            ..Default::default()
        })
    }),
    ("ApprovalRequested", |ids, _, text, _| {
        Body::ApprovalRequested(proto::ApprovalRequested {
            approval_id: id(ids.row),
            run_id: id(ids.run),
            action_type: "a".into(),
            action_data_json: Some(format!("\"{text}\"")),
            ..Default::default()
        })
    }),
    ("ApprovalDecided", |ids, _, text, n| {
        Body::ApprovalDecided(proto::ApprovalDecided {
            session_id: id(Uuid::from_u128((n % 5) as u128 + 1)),
            ..decided(ids, text)
        })
    }),
];

/// Every other kind.
const OTHERS: [(&str, Make); 7] = [
    ("SessionUpsert", |ids, _, text, n| {
        Body::SessionUpsert(proto::SessionUpsert {
            session_id: id(ids.session),
            customer_id: id(Uuid::from_u128((n % 3) as u128 + 1)),
            title: Some(text.into()),
            metadata_json: Some(format!("{{\"text\":\"{text}\"}}")),
            ..Default::default()
        })
    }),
    ("RunStarted", |ids, _, text, n| {
        Body::RunStarted(proto::RunStarted {
            run_id: id(ids.run),
            agent_id: text.into(),
            customer_id: id(Uuid::from_u128((n % 3) as u128 + 1)),
            metadata_json: Some(format!("{{\"text\":\"{text}\"}}")),
            ..Default::default()
        })
    }),
    ("RunEnded", |ids, millis, text, n| {
        Body::RunEnded(proto::RunEnded {
            run_id: id(ids.run),
            status: EndStatus::Completed.into(),
            output: Some(text.into()),
            metadata_json: Some(format!("{{\"text\":\"{text}\"}}")),
            from_root_span: n % 3 == 0,
            started_at: Some(at(-millis)),
            ..Default::default()
        })
    }),
    ("Heartbeat", |ids, _, _, _| {
        Body::Heartbeat(proto::Heartbeat {
            run_id: id(ids.run),
        })
    }),
    ("RunObserved", |ids, _, text, n| {
        Body::RunObserved(proto::RunObserved {
            run_id: id(ids.run),
            rank: i32::try_from(n % 3).unwrap(),
            name: Some(text.into()),
            output: Some(text.into()),
            metadata_json: Some(format!("{{\"text\":\"{text}\"}}")),
            ..Default::default()
        })
    }),
    ("StepAliased", |ids, millis, text, n| {
        Body::StepAliased(proto::StepAliased {
            alias_id: id(ids.row),
            run_id: id(ids.run),
            step_id: id(Uuid::from_u128((n % 1_000) as u128 + 1)),
            root: root(millis, text),
            ..Default::default()
        })
    }),
    ("roots of one run", |ids, millis, text, n| {
        Body::StepAliased(proto::StepAliased {
            alias_id: id(Uuid::from_u128(n as u128 + 1)),
            run_id: id(ids.run),
            root: root(millis, text),
            ..Default::default()
        })
    }),
];

fn batch(make: Make, ids: impl Fn(usize) -> Ids) -> Vec<Event> {
    let one = |n| {
        let (millis, text) = said(n);
        event(millis, make(ids(n), millis, &text, n))
    };
    (0..MOST).map(one).collect()
}

/// Submits a batch, which must be answered in time.
async fn submit(client: &Client, what: &str, events: Vec<Event>) -> Outcome {
    let started = Instant::now();
    let answer = tokio::time::timeout(LIMITS[0], client.submit(events)).await;
    let outcome = answer.expect(what).unwrap().outcome.unwrap();
    println!(
        "{what}: {:?}, {} committed, {} duplicate, {} refused",
        started.elapsed(),
        outcome.committed,
        outcome.duplicate,
        outcome.refused.len()
    );
    outcome
}

/// Scenario: batches of events of one kind about one id: the same, another content at the
/// same time, and other times. Each comes twice.
/// Guarantees: each is answered soon, and the second time nothing changes. Others wait hardly.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_about_one_id_is_answered() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let client = daemon.client().await;
    let bystander = Bystander::start(&daemon).await;
    for (kind, make) in BELOW_RUNS.into_iter().chain(OTHERS) {
        let ids = Ids::new();
        // Of a run that does not exist, an alias makes none.
        client.submit(vec![run_started(0, ids.run)]).await.unwrap();
        let events = batch(make, |_| ids);
        let first = submit(&client, kind, events.clone()).await;
        assert_eq!(
            (first.refused.len(), first.committed > 0),
            (0, true),
            "{kind}"
        );
        let again = submit(&client, kind, events).await;
        assert_eq!((again.refused.len(), again.committed), (0, 0), "{kind}");
    }
    let slowest = bystander.check(&daemon, "repeats", 1_024).await;
    assert!(slowest < LIMITS[1], "{slowest:?}");
    daemon.finish().await;
}

/// Scenario: batches with one id for as many runs or sessions as events; one of them may
/// own the row already.
/// Guarantees: each is answered soon. The owner's events are stored, or those of the
/// first run where there is no owner, and all others are refused.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_a_batch_gives_to_many_runs_has_one_owner() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let client = daemon.client().await;
    // So that no batch waits for 32,768 new runs.
    let runs: Vec<Uuid> = (0..64).map(|_| new_id()).collect();
    let many: Vec<Uuid> = (0..MOST).map(|_| new_id()).collect();
    let (kind, make) = BELOW_RUNS[1];
    let row = new_id();
    let events = batch(make, |n| Ids {
        run: many[n],
        row,
        ..Ids::new()
    });
    let outcome = submit(&client, kind, events).await;
    assert_eq!((outcome.committed, outcome.refused.len()), (1, MOST - 1));
    for (kind, make) in BELOW_RUNS {
        for owner in [0, 5] {
            let row = new_id();
            let of = |run: usize| Ids {
                run: runs[run],
                session: Uuid::from_u128(run as u128 + 1),
                row,
            };
            if owner > 0 {
                let first = event(-100_000_000, make(of(owner), 0, "first", 0));
                assert_eq!(submit(&client, kind, vec![first]).await.committed, 1);
            }
            let outcome = submit(&client, kind, batch(make, |n| of(n % runs.len()))).await;
            let right = MOST / runs.len();
            assert_eq!(outcome.refused.len(), MOST - right, "{kind} {owner}");
            assert!(
                outcome.committed > 0 || owner > 0,
                "{kind} {owner}: {}",
                outcome.committed
            );
            let refused = |index: &usize| {
                let index = u32::try_from(*index).unwrap();
                outcome
                    .refused
                    .binary_search_by_key(&index, |r| r.index)
                    .is_ok()
            };
            let stored = (0..MOST).filter(|index| !refused(index));
            let owners: HashSet<usize> = stored.map(|index| index % runs.len()).collect();
            assert_eq!(owners.len(), 1, "{kind}");
            // Writers of several shards decide who is the first.
            assert!(owner == 0 || owners.contains(&owner), "{kind}");
        }
    }
    daemon.finish().await;
}

/// Scenario: a customer's key sends ids that are another customer's, each many times.
/// Guarantees: it is answered soon, and does not learn that they exist.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_ids_are_refused_soon() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let customers = [1, 2].map(Uuid::from_u128);
    for customer in customers {
        let insert = "INSERT INTO customers (id, name, arr) VALUES ($1, 'c', 1)";
        sqlx::query(insert)
            .bind(customer)
            .execute(&mut conn)
            .await
            .unwrap();
    }
    let [one, two] = customers;
    let (theirs, own) = (
        daemon.client().await.for_customer(one),
        daemon.client().await.for_customer(two),
    );
    let (_, make) = BELOW_RUNS[5];
    let rows: Vec<Uuid> = (0..MOST).map(|_| new_id()).collect();
    for (run, client) in [(new_id(), &theirs), (new_id(), &own)] {
        let ids = |n: usize| Ids {
            run,
            session: run,
            row: rows[n],
        };
        let outcome = submit(client, "token counts", batch(make, ids)).await;
        let denied = proto::RefusalCode::PermissionDenied;
        assert!(
            outcome
                .refused
                .iter()
                .all(|refused| refused.code() == denied)
        );
        assert!(outcome.refused.len() == MOST || outcome.committed == MOST as u64);
    }
    assert_eq!(count(&mut conn, "agent_token_counts").await, MOST as i64);
    daemon.finish().await;
}

/// Scenario: a chain of aliases, and then steps whose parents are in it.
/// Guarantees: each batch is answered soon.
#[tokio::test(flavor = "multi_thread")]
async fn chains_of_aliases_are_resolved_soon() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let client = daemon.client().await;
    let run = new_id();
    client.submit(vec![run_started(0, run)]).await.unwrap();
    let named = |n: usize| Uuid::from_u128(n as u128 + 1);
    let alias = |n: usize| {
        let aliased = proto::StepAliased {
            alias_id: id(named(n)),
            run_id: id(run),
            step_id: id(named(n + 1)),
            parent_step_id: id(named(n / 2)),
            ..Default::default()
        };
        event(0, Body::StepAliased(aliased))
    };
    let step = |n: usize| {
        let mut details = details("a").unwrap();
        details.parent_step_id = id(named(n));
        details.parent_may_be_alias = true;
        let started = proto::StepStarted {
            step_id: id(new_id()),
            run_id: id(run),
            details: Some(details),
        };
        event(0, Body::StepStarted(started))
    };
    let aliases: Vec<Event> = (0..MOST).map(alias).collect();
    let steps: Vec<Event> = (0..MOST).map(step).collect();
    for (what, events) in [
        ("steps", steps.clone()),
        ("aliases", aliases.clone()),
        ("steps", (0..MOST).map(step).collect()),
    ] {
        assert_eq!(submit(&client, what, events).await.committed, MOST as u64);
    }
    assert_eq!(
        submit(&client, "aliases", aliases).await.duplicate,
        MOST as u64
    );
    let mut conn = database.connect().await;
    let last = format!(
        "SELECT count(*) FROM agent_steps WHERE parent_step_id = '{}'",
        named(MOST)
    );
    assert_eq!(value(&mut conn, &last).await, 2 * 63);
    daemon.finish().await;
}
