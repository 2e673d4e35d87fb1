//! The runs of a session store what they have in common once.

use runtraced::proto::Event;
use sqlx::PgConnection;
use uuid::Uuid;

use super::rows::execute;
use super::sent::{ONCE, call, history, number, said, sent, shown};
use crate::support::daemon::Daemon;
use crate::support::events::{id, new_id, run_started, started_with};
use crate::support::pg;
use crate::support::tables::count;

/// A turn of a chat: a run of its own that sends all that was said before. `turn` counts from 1.
pub fn turn_of_chat(
    session: Option<Uuid>,
    customer: Option<Uuid>,
    run: Uuid,
    turn: usize,
) -> Vec<Event> {
    let millis = turn as i64 * 10;
    let start = started_with(run_started(millis, run), |start| {
        start.session_id = session.map(id).unwrap_or_default();
        start.customer_id = customer.map(id).unwrap_or_default();
    });
    let input = format!(
        "{{\"model\": \"m\", \"messages\": {}}}",
        history(0..2 * turn)
    );
    let output = said(2 * turn);
    vec![start, call(millis + 1, run, new_id(), &input, &output)]
}

/// The turns of a chat, each a run of its own.
pub fn chat(session: Option<Uuid>, runs: &[Uuid]) -> Vec<Vec<Event>> {
    let turns = runs.iter().zip(1..);
    let turns = turns.map(|(run, turn)| turn_of_chat(session, None, *run, turn));
    turns.collect()
}

/// Rows of the tables of contents, own and shared.
async fn stored(conn: &mut PgConnection) -> (i64, i64) {
    let own = count(conn, "agent_contents").await;
    (own, count(conn, "agent_shared_contents").await)
}

/// Scenario: 30 turns of a chat, each a run of its own, one a batch; the same chat again in one batch in another session; then all
/// again; then a chat without a session.
/// Guarantees: a session stores what was said about once, and shares nothing with the other; what is sent again adds nothing and
/// counts as duplicates; runs without a session store their own; everybody reads what was sent.
#[tokio::test(flavor = "multi_thread")]
async fn turns_of_a_chat_share_what_was_said() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), ONCE).await;
    let mut conn = database.connect().await;
    let runs: Vec<Uuid> = (0..90).map(|_| new_id()).collect();
    let one = chat(Some(new_id()), &runs[..30]);
    for turn in &one {
        assert_eq!(daemon.submit(turn.clone()).await.committed, 2);
    }
    let said_bytes: usize = (0..61).map(|turn| said(turn).len()).sum();
    let bytes = "SELECT coalesce(sum(length(body::text)), 0)::bigint FROM agent_shared_contents";
    let bytes = usize::try_from(number(&mut conn, bytes).await).unwrap();
    assert!(bytes < said_bytes * 2, "{bytes} bytes of {said_bytes}");
    let (own, rows) = stored(&mut conn).await;
    assert!(own == 0 && rows < 30 * 12, "{own} and {rows} rows");

    let two = chat(Some(new_id()), &runs[30..60]).concat();
    daemon.submit(two.clone()).await;
    assert_eq!(stored(&mut conn).await, (0, 2 * rows));
    let again = daemon.submit([one.concat(), two.clone()].concat()).await;
    assert_eq!((again.committed, again.duplicate), (0, 120));
    assert_eq!(stored(&mut conn).await, (0, 2 * rows));

    let alone = chat(None, &runs[60..]).concat();
    daemon.submit(alone.clone()).await;
    let (own, shared) = stored(&mut conn).await;
    assert!(own > 4 * rows && shared == 2 * rows, "{own} and {shared}");
    let all = [one.concat(), two, alone].concat();
    assert_eq!(shown(&mut conn, &runs).await, sent(&all));
    daemon.finish().await;
}

/// Scenario: in one session, two turns of a run for each of two customers, and of one for none; the second turns name the other
/// customer.
/// Guarantees: runs of different customers share nothing; a run keeps its scope; everybody reads what was sent.
#[tokio::test(flavor = "multi_thread")]
async fn customers_share_nothing() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let (session, customers) = (new_id(), [new_id(), new_id()]);
    for customer in customers {
        let sql = format!("INSERT INTO customers (id, name, arr) VALUES ('{customer}', 'x', 1)");
        execute(&mut conn, &sql).await;
    }
    let daemon = Daemon::with_args(database.url(), ONCE).await;
    let runs = [new_id(), new_id(), new_id()];
    let owners = [Some(customers[0]), Some(customers[1]), None];
    let mut all = Vec::new();
    for (run, owner) in runs.into_iter().zip(owners) {
        let turn = turn_of_chat(Some(session), owner, run, 20);
        assert_eq!(daemon.submit(turn.clone()).await.committed, 2);
        all.extend(turn);
    }
    let scopes = "SELECT count(*) FROM agent_run_scopes GROUP BY scope_id";
    let each: Vec<i64> = sqlx::query_scalar(scopes)
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert_eq!(each, [1, 1, 1]);
    let owners_stored: Vec<Uuid> = sqlx::query_scalar("SELECT owner_id FROM agent_content_scopes")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    let want = [customers[0], customers[1], Uuid::nil()];
    assert!(
        want.iter().all(|owner| owners_stored.contains(owner)),
        "{owners_stored:?}"
    );
    let (_, rows) = stored(&mut conn).await;
    for (run, owner) in runs.into_iter().zip([None, None, Some(customers[0])]) {
        let turn = turn_of_chat(Some(session), owner, run, 21);
        daemon.submit(turn.clone()).await;
        all.extend(turn);
    }
    let (own, more) = stored(&mut conn).await;
    assert_eq!(own, 0);
    assert!(more > rows && more < rows * 5 / 4, "{more} after {rows}");
    assert_eq!(count(&mut conn, "agent_content_scopes").await, 3);
    assert_eq!(shown(&mut conn, &runs).await, sent(&all));
    daemon.finish().await;
}

/// Scenario: a model call comes before the start of its run, which names the session; then another call comes; a daemon without
/// the flag adds a value that looks like a reference.
/// Guarantees: what came before is stored with the run, what comes later with the session; all of it reads as it was sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_may_come_late() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let daemon = Daemon::with_args(database.url(), ONCE).await;
    let (session, run) = (new_id(), new_id());
    let [early, late] = [1, 2].map(|n| call(n, run, new_id(), &history(0..40), "1"));
    daemon.submit(vec![early.clone()]).await;
    let (own, shared) = stored(&mut conn).await;
    assert!(own > 40 && shared == 0, "{own} and {shared}");
    let start = turn_of_chat(Some(session), None, run, 1);
    daemon.submit(start.clone()).await;
    daemon.submit(vec![late.clone()]).await;
    daemon.finish().await;
    let after = stored(&mut conn).await;
    assert!(after.0 == own && after.1 >= own, "{after:?}");

    let daemon = Daemon::start(database.url()).await;
    let lookalike = format!("{{\"$content\": \"{}\"}}", new_id());
    let other = call(3, run, new_id(), &lookalike, "1");
    daemon.submit(vec![other.clone()]).await;
    let all = [start, vec![early, late, other]].concat();
    assert_eq!(shown(&mut conn, &[run]).await, sent(&all));
    daemon.finish().await;
}

/// Scenario: two daemons, each with eight clients, write turns of three chats at the same time, in other orders.
/// Guarantees: every event is committed; each chat is stored once; everybody reads what was sent.
#[tokio::test(flavor = "multi_thread")]
async fn daemons_write_one_session_at_the_same_time() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let daemons = [
        Daemon::with_args(database.url(), ONCE).await,
        Daemon::with_args(database.url(), ONCE).await,
    ];
    let runs: Vec<Uuid> = (0..72).map(|_| new_id()).collect();
    let chats = runs.chunks(24).map(|runs| chat(Some(new_id()), runs));
    let chats: Vec<Vec<Vec<Event>>> = chats.collect();
    let mut senders = Vec::new();
    for lane in 0..16 {
        let client = daemons[lane % 2].client().await;
        // Neighbouring turns of all chats, on both daemons; every other lane in the other order.
        let mut turns: Vec<Vec<Event>> = (0..24)
            .filter(|turn| turn % 16 == lane)
            .flat_map(|turn| chats.iter().map(move |chat| chat[turn].clone()))
            .collect();
        if lane % 4 < 2 {
            turns.reverse();
        }
        senders.push(tokio::spawn(async move {
            for turn in turns {
                let outcome = client.submit(turn).await.unwrap().outcome.unwrap();
                assert_eq!((outcome.committed, outcome.refused.len()), (2, 0));
            }
        }));
    }
    for sender in senders {
        sender.await.unwrap();
    }
    let all: Vec<Event> = chats.concat().concat();
    assert_eq!(shown(&mut conn, &runs).await, sent(&all));
    assert_eq!(count(&mut conn, "agent_content_scopes").await, 3);
    let (own, rows) = stored(&mut conn).await;
    assert!(own == 0 && rows < 3 * 24 * 12, "{own} and {rows} rows");
    for daemon in daemons {
        daemon.finish().await;
    }
}
