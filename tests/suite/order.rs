//! Order and repetition do not matter (promise 2).

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, EndStatus, Event, MessageRole};
use runtraced_client::Client;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::events::{details, event, id};
use crate::support::pg;
use crate::support::random::{Random, World, from_env};
use crate::support::tables::content;

/// Two customers and users that exist, and one of each that does not.
pub async fn populate<'u>(urls: impl IntoIterator<Item = &'u str>) -> World {
    let ids: Vec<Uuid> = (1..=6).map(Uuid::from_u128).collect();
    for url in urls {
        let mut conn = PgConnection::connect(url).await.unwrap();
        for id in &ids[0..2] {
            let insert = "INSERT INTO customers (id, name, arr) VALUES ($1, 'c', 1)";
            sqlx::query(insert)
                .bind(id)
                .execute(&mut conn)
                .await
                .unwrap();
        }
        for id in &ids[3..5] {
            let insert = "INSERT INTO users (id) VALUES ($1)";
            sqlx::query(insert)
                .bind(id)
                .execute(&mut conn)
                .await
                .unwrap();
        }
    }
    World {
        customers: ids[0..3].to_vec(),
        users: ids[3..6].to_vec(),
    }
}

/// Sends batches over several calls at once, spread over the clients.
pub async fn deliver(clients: &[Client], batches: Vec<Vec<Event>>) {
    let mut lanes: Vec<Vec<Vec<Event>>> = vec![Vec::new(); clients.len() * 2];
    let count = lanes.len();
    for (number, batch) in batches.into_iter().enumerate() {
        lanes[number % count].push(batch);
    }
    let sends = lanes.into_iter().enumerate().map(|(number, lane)| {
        let client = clients[number % clients.len()].clone();
        tokio::spawn(async move {
            for batch in lane {
                let outcome = client.submit(batch).await.unwrap().outcome.unwrap();
                assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
            }
        })
    });
    for send in sends.collect::<Vec<_>>() {
        send.await.unwrap();
    }
}

/// Scenario: events of every kind, contradicting each other, are delivered
/// once in one order, and again shuffled, repeated, split into batches over
/// concurrent calls to two daemons.
/// Every second scenario comes with the power of one customer alone.
/// Guarantees: every column of every row is the same.
/// `RUNTRACED_TEST_SEED` replays, `RUNTRACED_TEST_CASES` asks for more.
#[tokio::test(flavor = "multi_thread")]
async fn any_order_repetition_and_split_ends_in_the_same_rows() {
    let (canonical, shuffled) = (pg::database().await, pg::database().await);
    let world = populate([canonical.url(), shuffled.url()]).await;
    let reference = Daemon::start(canonical.url()).await;
    let daemons = [
        Daemon::start(shuffled.url()).await,
        Daemon::start(shuffled.url()).await,
    ];
    let one = [reference.client().await];
    let two = [daemons[0].client().await, daemons[1].client().await];
    let mut conns = [canonical.connect().await, shuffled.connect().await];

    let first = from_env("RUNTRACED_TEST_SEED", rand::random::<u32>().into());
    let cases = from_env("RUNTRACED_TEST_CASES", 100);
    for seed in first..first + cases {
        let mut random = Random::new(seed, &world);
        let scenario = random.scenario();
        let split = random.upto(1, 40);
        let on_behalf = |clients: &[Client]| -> Vec<Client> {
            let bound = |client: &Client| client.clone().for_customer(world.customers[0]);
            match seed % 2 {
                0 => clients.to_vec(),
                _ => clients.iter().map(bound).collect(),
            }
        };
        deliver(
            &on_behalf(&one),
            scenario
                .events
                .chunks(split)
                .map(<[Event]>::to_vec)
                .collect(),
        )
        .await;
        let batches = random.delivery(&scenario.events);
        deliver(&on_behalf(&two), batches).await;
        let [a, b] = &mut conns;
        let want = content(a, &scenario.runs, &scenario.sessions).await;
        let got = content(b, &scenario.runs, &scenario.sessions).await;
        for (want, got) in want.iter().zip(&got) {
            assert_eq!(
                got, want,
                "replay with RUNTRACED_TEST_SEED={seed} RUNTRACED_TEST_CASES=1"
            );
        }
        assert_eq!(got.len(), want.len(), "RUNTRACED_TEST_SEED={seed}");
    }
    for daemon in daemons {
        daemon.finish().await;
    }
    reference.finish().await;
}

/// Scenario: events of every kind come in one batch; and each in a transaction of its
/// own, in random order, to a database that does not sort texts by their bytes. In every
/// second scenario many events are about few ids, at few times.
/// Guarantees: what the daemon reduces in memory is what Postgres merges: every column of
/// every row is the same.
#[tokio::test(flavor = "multi_thread")]
async fn one_batch_ends_in_the_rows_of_its_events_alone() {
    let (batched, alone) = (pg::database().await, pg::english_database().await);
    let daemons = [
        Daemon::start(batched.url()).await,
        Daemon::start(alone.url()).await,
    ];
    let world = populate([batched.url(), alone.url()]).await;
    let clients = [daemons[0].client().await, daemons[1].client().await];
    let mut conns = [batched.connect().await, alone.connect().await];

    let first = from_env("RUNTRACED_TEST_SEED", rand::random::<u32>().into());
    let cases = from_env("RUNTRACED_TEST_CASES", 100);
    for seed in first..first + cases {
        let mut random = Random::new(seed, &world);
        let scenario = match seed % 2 {
            0 => random.scenario(),
            _ => random.crowd(),
        };
        let [one, two] = &clients;
        deliver(std::slice::from_ref(one), vec![scenario.events.clone()]).await;
        for event in random.shuffled(&scenario.events) {
            let outcome = two.submit(vec![event]).await.unwrap().outcome.unwrap();
            assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
        }
        let [a, b] = &mut conns;
        let want = content(b, &scenario.runs, &scenario.sessions).await;
        let got = content(a, &scenario.runs, &scenario.sessions).await;
        for (want, got) in want.iter().zip(&got) {
            assert_eq!(
                got, want,
                "replay with RUNTRACED_TEST_SEED={seed} RUNTRACED_TEST_CASES=1"
            );
        }
        assert_eq!(got.len(), want.len(), "RUNTRACED_TEST_SEED={seed}");
    }
    for daemon in daemons {
        daemon.finish().await;
    }
}

/// Everything that carries JSON, of one run and one session, at one instant.
fn with_json(run: Uuid, session: Uuid, ids: [Uuid; 3], json: &str) -> Vec<Event> {
    let object = Some(format!("{{\"n\":{json}}}"));
    let value = Some(json.to_owned());
    let details = proto::StepDetails {
        input_json: value.clone(),
        metadata_json: object.clone(),
        ..details("tool")
    };
    [
        Body::SessionUpsert(proto::SessionUpsert {
            session_id: id(session),
            metadata_json: object.clone(),
            ..Default::default()
        }),
        Body::RunStarted(proto::RunStarted {
            run_id: id(run),
            metadata_json: object.clone(),
            ..Default::default()
        }),
        Body::RunEnded(proto::RunEnded {
            run_id: id(run),
            status: EndStatus::Completed.into(),
            metadata_json: object.clone(),
            ..Default::default()
        }),
        Body::StepEnded(proto::StepEnded {
            step_id: id(ids[0]),
            run_id: id(run),
            details: Some(details),
            status: EndStatus::Completed.into(),
            output_json: value.clone(),
            ..Default::default()
        }),
        Body::MessageAppended(proto::MessageAppended {
            message_id: id(ids[1]),
            run_id: id(run),
            role: MessageRole::User.into(),
            tool_calls_json: value.clone(),
            metadata_json: object,
            ..Default::default()
        }),
        Body::ApprovalRequested(proto::ApprovalRequested {
            approval_id: id(ids[2]),
            run_id: id(run),
            action_data_json: value,
            ..Default::default()
        }),
    ]
    .map(|body| event(0, body))
    .into()
}

/// Scenario: two versions of everything differ only in how a number is
/// written, which `jsonb` calls equal; they come in both orders.
/// Guarantees: the same version stands in the end.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_equal_but_written_differently_do_not_tie() {
    let mut ends = Vec::new();
    let (run, session) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let ids = [3, 4, 5].map(Uuid::from_u128);
    for order in [["1", "1.0"], ["1.0", "1"]] {
        let database = pg::database().await;
        let daemon = Daemon::start(database.url()).await;
        for json in order {
            daemon.submit(with_json(run, session, ids, json)).await;
        }
        let mut conn = database.connect().await;
        ends.push(content(&mut conn, &[run], &[session]).await);
        daemon.finish().await;
    }
    assert_eq!(ends[0].len(), 5, "{ends:#?}");
    assert_eq!(ends[0], ends[1]);
}

/// Scenario: a root span ends a run as completed, with an error of the same words
/// as that of a failed part; then a nearer part fails without words. Once in
/// this order, once with the nearer part before the other.
/// Guarantees: the end's own error is kept in both.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_and_a_part_may_tell_the_same_error() {
    let run = Uuid::from_u128(1);
    let part = |rank, error: Option<&str>| {
        let observed = proto::RunObserved {
            run_id: id(run),
            rank,
            outcome: EndStatus::Failed.into(),
            error: error.map(str::to_owned),
            ..Default::default()
        };
        event(0, Body::RunObserved(observed))
    };
    let end = proto::RunEnded {
        run_id: id(run),
        status: EndStatus::Completed.into(),
        error: Some("same".into()),
        from_root_span: true,
        ..Default::default()
    };
    let (end, far, near) = (
        event(0, Body::RunEnded(end)),
        part(1, Some("same")),
        part(0, None),
    );
    let mut ends = Vec::new();
    for order in [[&end, &far, &near], [&near, &far, &end]] {
        let database = pg::database().await;
        let daemon = Daemon::start(database.url()).await;
        for event in order {
            daemon.submit(vec![event.clone()]).await;
        }
        let mut conn = database.connect().await;
        ends.push(content(&mut conn, &[run], &[]).await);
        daemon.finish().await;
    }
    assert!(ends[0][0].contains(r#""error": "same""#), "{ends:#?}");
    assert_eq!(ends[0], ends[1]);
}
