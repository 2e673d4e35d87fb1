//! What only Postgres can refuse: isolated, and kept.

use prost::Message as _;
use prost_types::Timestamp;
use runtraced::json_mapping::event_from_json;
use runtraced::proto::{Event, RefusalCode};
use sqlx::PgConnection;

use super::{Neighbours, SECRET, count, finish, refused};
use crate::support::daemon::Daemon;
use crate::support::{pg, product, valid};

/// Valid JSON that a constraint of the product forbids.
fn poison_json() -> Option<String> {
    Some(format!("{{\"{SECRET}\": \"poison\"}}"))
}

/// One event of every kind that carries JSON, each with JSON that Postgres
/// refuses; some go there by COPY, some as parameters.
fn poison() -> Vec<Event> {
    vec![
        valid::step_ended(|e| e.output_json = poison_json()),
        valid::step_started(|e| e.details.as_mut().unwrap().input_json = poison_json()),
        valid::message(|e| e.tool_calls_json = Some("\"poison\"".into())),
        valid::session_upsert(|e| e.metadata_json = poison_json()),
        valid::run_started(|e| e.metadata_json = poison_json()),
        valid::run_ended(|e| e.metadata_json = poison_json()),
        valid::approval_requested(|e| e.action_data_json = poison_json()),
    ]
}

async fn dead_letters(conn: &mut PgConnection) -> Vec<(String, String, String, String)> {
    sqlx::query_as(
        "SELECT source, code, reason, payload::text FROM ingest_dead_letters
         WHERE replayed_at IS NULL AND received_at > now() - interval '1 hour'",
    )
    .fetch_all(conn)
    .await
    .unwrap()
}

/// Scenario: a batch of 1,000 with seven events that only Postgres refuses, at
/// both ends, side by side and in the middle; sent twice.
/// Guarantees: exactly these are dead letters, whose payload is the event and
/// can be sent again; the other 993 are committed; the second time adds nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_postgres_refuses_is_isolated_and_kept() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    product::refuse_poison(&mut conn).await;
    let neighbours = Neighbours::new(993);
    let mut events: Vec<Event> = (0..993).map(|n| neighbours.event(n)).collect();
    let places: [usize; 7] = [0, 1, 2, 499, 500, 777, 999];
    for (place, bad) in places.into_iter().zip(poison()) {
        events.insert(place, bad);
    }
    assert_eq!(events.len(), 1_000);
    let want: Vec<_> = places
        .iter()
        .map(|&place| (RefusalCode::DeadLettered, u32::try_from(place).unwrap()))
        .collect();
    let reason = "violates check constraint \"no_poison\" (SQLSTATE 23514)";
    for (committed, duplicate) in [(993, 0), (0, 993)] {
        let outcome = daemon.submit(events.clone()).await;
        assert_eq!(
            (outcome.committed, outcome.duplicate),
            (committed, duplicate)
        );
        let found = refused(&outcome);
        assert!(found.iter().all(|refused| refused.2.ends_with(reason)));
        let found: Vec<_> = found.iter().map(|(code, at, _)| (*code, *at)).collect();
        assert_eq!(found, want);
        neighbours.check(&mut conn).await;
        let mut kept = Vec::new();
        for (source, code, why, payload) in dead_letters(&mut conn).await {
            assert_eq!((&*source, &*code), ("native", "23514"));
            assert!(why.ends_with(reason), "{why}");
            kept.push(event_from_json(&payload).unwrap().encode_to_vec());
        }
        let mut sent: Vec<_> = places.iter().map(|&p| events[p].encode_to_vec()).collect();
        kept.sort();
        sent.sort();
        assert!(kept == sent, "the payloads are not the events");
    }
    // The neighbours' run alone: what is refused leaves no placeholders.
    for (table, rows) in [
        ("agent_runs", 1),
        ("agent_sessions", 0),
        ("agent_steps", 993),
        ("approvals", 0),
    ] {
        assert_eq!(count(&mut conn, table).await, rows, "{table}");
    }
    let metrics = daemon.metrics().await;
    assert_eq!(
        metrics["runtraced_events_settled_total{outcome=\"dead_lettered\"}"],
        14
    );
    finish(daemon).await;
}

/// Scenario: events that Postgres refuses, of the years 20000 and -4000, for
/// which JSON's timestamps have no text.
/// Guarantees: their payloads can be sent again all the same.
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_beyond_the_years_of_json_can_be_sent_again() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    product::refuse_poison(&mut conn).await;
    for seconds in [568_971_820_800, -188_400_000_000] {
        let mut event = valid::step_ended(|e| e.output_json = poison_json());
        event.time = Some(Timestamp {
            seconds,
            nanos: 123_456_000,
        });
        let (neighbours, batch) = Neighbours::around([event.clone()]);
        let outcome = daemon.submit(batch).await;
        assert_eq!(outcome.committed, 2);
        let refused: Vec<_> = outcome
            .refused
            .iter()
            .map(|r| (r.code(), r.index))
            .collect();
        assert_eq!(refused, [(RefusalCode::DeadLettered, 1)]);
        neighbours.check(&mut conn).await;
        let kept = dead_letters(&mut conn).await;
        assert!(
            kept.iter()
                .any(|kept| event_from_json(&kept.3).unwrap() == event),
            "{kept:?}"
        );
    }
    finish(daemon).await;
}

/// Scenario: 1,000 events of which every second one is refused by Postgres,
/// from two clients at once.
/// Guarantees: each of them is found.
#[tokio::test(flavor = "multi_thread")]
async fn many_bad_ones_are_each_found() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    product::refuse_poison(&mut conn).await;
    let batch = || {
        let bad = (0..250).map(|_| valid::step_ended(|e| e.output_json = poison_json()));
        Neighbours::around(bad)
    };
    let ((one, first), (two, second)) = (batch(), batch());
    let (first, second) = tokio::join!(daemon.submit(first), daemon.submit(second));
    for outcome in [first, second] {
        assert_eq!(outcome.committed, 251);
        let places: Vec<u32> = outcome.refused.iter().map(|r| r.index).collect();
        assert_eq!(places, (0..250).map(|n| n * 2 + 1).collect::<Vec<_>>());
        assert!(
            outcome
                .refused
                .iter()
                .all(|r| r.code() == RefusalCode::DeadLettered)
        );
    }
    one.check(&mut conn).await;
    two.check(&mut conn).await;
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, 500);
    finish(daemon).await;
}
