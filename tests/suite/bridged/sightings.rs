//! Sightings: messages that histories repeat.

use runtraced::proto::Event;
use runtraced::proto::event::Event as Body;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::in_every_order;
use crate::support::daemon::Daemon;
use crate::support::events::{message, new_id, run_ended};
use crate::support::pg;
use crate::support::tables::row;

fn sighting(millis: i64, run: Uuid, session: Option<Uuid>, own: Uuid, content: &str) -> Event {
    let mut event = message(millis, Some(run), session, own);
    match &mut event.event {
        Some(Body::MessageAppended(message)) => {
            message.sighting = true;
            message.content = Some(content.to_owned());
        }
        other => panic!("{other:?}"),
    }
    event
}

async fn read(conn: &mut PgConnection, own: Uuid) -> Value {
    let query = format!(
        "SELECT run_id, content, (SELECT count(*) FROM agent_messages WHERE session_id = m.session_id) AS n
         FROM agent_messages m WHERE id = '{own}'"
    );
    row(conn, &query).await
}

/// Scenario: two runs of a session see one message, the first run twice; in every
/// order, and with the first run ended.
/// Guarantees: there is one message. It belongs to the run that saw it first, with
/// the content of that sighting. No column of a run depends on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_belongs_to_the_run_that_saw_it_first() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    in_every_order(
        &daemon,
        &mut database.connect().await,
        |&[one, two, session, own]| {
            [
                sighting(5, one, Some(session), own, "first"),
                sighting(9, one, Some(session), own, "again"),
                sighting(7, two, Some(session), own, "elsewhere"),
                run_ended(3, two, runtraced::proto::EndStatus::Completed),
            ]
        },
        async |conn, ids| {
            let query = format!(
                "SELECT (extract(epoch FROM last_event_at - '2026-01-01Z') * 1000)::integer AS ms, started_at
                 FROM agent_runs WHERE id = '{}'",
                ids[1]
            );
            json!([read(conn, ids[3]).await, row(conn, &query).await])
        },
        |ids| json!([{"run_id": ids[0], "content": "first", "n": 1}, {"ms": 3, "started_at": null}]),
    )
    .await;
    daemon.finish().await;
}

/// Scenario: sightings in two runs, and the message itself in the second run; in
/// every order.
/// Guarantees: the message itself wins, regardless of its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_wins_over_its_sightings() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    in_every_order(
        &daemon,
        &mut database.connect().await,
        |&[one, two, session, own]| {
            [
                sighting(5, one, Some(session), own, "seen"),
                sighting(8, two, Some(session), own, "seen later"),
                message(9, Some(two), Some(session), own),
            ]
        },
        async |conn, ids| read(conn, ids[3]).await,
        |ids| json!({"run_id": ids[1], "content": "hello", "n": 1}),
    )
    .await;
    daemon.finish().await;
}

/// Scenario: 300 calls in one batch see a history of 40 messages.
/// Guarantees: the batch is written at once, although its ids repeat more often than
/// a batch may merge them. Every event is counted. Sent again, all are duplicates.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_repeated_hundreds_of_times_is_cheap() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--writers", "1"]).await;
    let (run, session) = (new_id(), new_id());
    let ids: Vec<Uuid> = (0..40).map(|_| new_id()).collect();
    let calls = (0..300).rev();
    let events: Vec<Event> = calls
        .flat_map(|call| {
            ids.iter()
                .map(move |&own| sighting(call, run, Some(session), own, "text"))
        })
        .collect();
    let before = transactions(&mut database.connect().await).await;
    let first = daemon.submit(events.clone()).await;
    assert_eq!((first.committed, first.duplicate), (40, 300 * 40 - 40));
    let between = transactions(&mut database.connect().await).await - before;
    assert!(between < 10, "{between} ledger writes");
    let second = daemon.submit(events).await;
    assert_eq!((second.committed, second.duplicate), (0, 300 * 40));
    daemon.finish().await;
}

/// Scenario: a batch has the answers of two calls and the input of the second. Then
/// another run sends the first answer and believes it to be new.
/// Guarantees: a wrong belief costs only a second attempt. No message is stored
/// twice, and no column of a run depends on it.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_appended_and_a_wrong_belief_does_no_harm() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let run = new_id();
    let [other, session, first, second] = std::array::from_fn(|_| pg::beside(run));
    let answer = |millis, run, own, content: &str| {
        let mut event = sighting(millis, run, Some(session), own, content);
        if let Some(Body::MessageAppended(message)) = &mut event.event {
            message.believed_new = true;
        }
        event
    };
    let told = daemon
        .submit(vec![
            answer(5, run, first, "first"),
            sighting(6, run, Some(session), first, "first, in a history"),
            answer(7, run, second, "second"),
        ])
        .await;
    assert_eq!((told.committed, told.duplicate), (2, 1));
    let again = daemon
        .submit(vec![
            answer(9, other, first, "late"),
            answer(9, other, new_id(), "third"),
        ])
        .await;
    assert_eq!((again.committed, again.duplicate), (1, 1));
    let earlier = daemon
        .submit(vec![answer(3, other, second, "earlier")])
        .await;
    assert_eq!((earlier.committed, earlier.duplicate), (1, 0));
    assert_eq!(
        json!([read(&mut conn, first).await, read(&mut conn, second).await]),
        json!([
            {"run_id": run, "content": "first", "n": 3},
            {"run_id": other, "content": "earlier", "n": 3},
        ])
    );
    let query = format!("SELECT last_event_at FROM agent_runs WHERE id = '{run}'");
    assert_eq!(row(&mut conn, &query).await, json!({"last_event_at": null}));
    daemon.finish().await;
}

/// The number of ledger writes: one per transaction.
async fn transactions(conn: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "SELECT coalesce(sum(n_tup_ins + n_tup_upd), 0)::bigint FROM pg_stat_user_tables WHERE relname = 'ingest_ledger'",
    )
    .fetch_one(conn)
    .await
    .unwrap()
}

/// Scenario: a run of another session, and a run without a session, see a message
/// of one run.
/// Guarantees: both sightings are refused as conflicts, like any message.
#[tokio::test(flavor = "multi_thread")]
async fn a_sighting_of_another_session_is_a_conflict() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let (run, own) = (new_id(), new_id());
    daemon
        .submit(vec![sighting(5, run, Some(new_id()), own, "mine")])
        .await;
    for session in [Some(new_id()), None] {
        let events = vec![
            sighting(3, pg::beside(run), session, own, "theirs"),
            sighting(1, pg::beside(run), session, own, "theirs"),
        ];
        let outcome = daemon.submit(events).await;
        assert_eq!(outcome.refused.len(), 2, "{outcome:?}");
    }
    let mut conn = database.connect().await;
    assert_eq!(read(&mut conn, own).await["content"], json!("mine"));
    daemon.finish().await;
}
