//! Ids that name a row of another run or session already.

use std::time::{Duration, Instant};

use runtraced::proto::{Event, RefusalCode};
use sqlx::Connection as _;
use uuid::Uuid;

use super::{Neighbours, count, finish, refused};
use crate::support::daemon::Daemon;
use crate::support::events::{
    self, approval_requested, id, message, new_id, run_started, score, step, step_ended,
    step_started, tokens,
};
use crate::support::{pg, valid};

/// Makes an event of a kind for a run, with an id.
type Make = fn(Uuid, Uuid) -> Event;

/// The kinds with an id that can clash, and the field that refusals name.
fn kinds() -> Vec<(&'static str, Make)> {
    vec![
        ("step_id", |run, id| step(1, 2, run, id)),
        ("step_id", |run, id| step_started(1, run, id)),
        ("step_id", |run, id| step_ended(1, run, id)),
        ("message_id", |run, id| message(1, Some(run), None, id)),
        ("token_count_id", |run, id| tokens(1, run, id, 1, 1)),
        ("score_id", |run, id| score(1, run, id, 0.5)),
        ("approval_id", |run, id| approval_requested(1, run, id)),
        ("approval_id", |run, one| {
            valid::approval_decided(|e| {
                (e.approval_id, e.run_id) = (id(one), id(run));
                (e.session_id, e.decided_by) = (Vec::new().into(), Vec::new().into());
            })
        }),
    ]
}

/// Scenario: an id of each kind is used for a second run, in a later batch and
/// once more in one after that, between good events.
/// Guarantees: refused with ID_CONFLICT each time; the first row stays as it
/// was; the neighbours are committed.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_another_run_is_refused_in_a_later_batch() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let mine = new_id();
    let other = pg::beside(mine);
    let made: Vec<_> = kinds().into_iter().map(|kind| (kind, new_id())).collect();
    let owned = made.iter().map(|((_, make), id)| make(mine, *id));
    assert_eq!(daemon.submit(owned.collect()).await.committed, 8);
    let before = crate::support::tables::content(&mut conn, &[mine], &[]).await;
    // More often than a writer prefers merging after a clash.
    for _ in 0..20 {
        let clashes = made.iter().map(|((_, make), id)| make(other, *id));
        let (neighbours, batch) = Neighbours::around(clashes);
        let outcome = daemon.submit(batch).await;
        let reasons: Vec<_> = made
            .iter()
            .map(|((field, _), _)| format!("{field} belongs to another run or session"))
            .collect();
        let want: Vec<_> = (0_u32..)
            .zip(&reasons)
            .map(|(n, reason)| (RefusalCode::IdConflict, n * 2 + 1, reason.as_str()))
            .collect();
        assert_eq!(refused(&outcome), want);
        assert_eq!((outcome.committed, outcome.duplicate), (9, 0));
        neighbours.check(&mut conn).await;
    }
    let after = crate::support::tables::content(&mut conn, &[mine], &[]).await;
    assert_eq!(after, before);
    // All of the other run is its placeholder.
    let rows = crate::support::tables::content(&mut conn, &[other], &[]).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    finish(daemon).await;
}

/// Scenario: an id of each kind is used for two runs in one batch, whatever
/// shards the runs belong to.
/// Guarantees: exactly one of the two is committed, the other is refused with
/// ID_CONFLICT, and the neighbours are committed.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_two_runs_in_one_batch_is_refused_once() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    for _ in 0..20 {
        let one = new_id();
        let two = pg::beside(one);
        let kinds = kinds();
        let pairs = kinds.iter().flat_map(|(_, make)| {
            let id = new_id();
            [make(one, id), make(two, id)]
        });
        let (neighbours, batch) = Neighbours::around(pairs);
        let outcome = daemon.submit(batch).await;
        assert_eq!(outcome.refused.len(), kinds.len(), "{outcome:?}");
        assert_eq!((outcome.committed, outcome.duplicate), (17 + 8, 0));
        for (number, (field, _)) in (0_u32..).zip(&kinds) {
            let refusal = &outcome.refused[number as usize];
            assert_eq!(refusal.code(), RefusalCode::IdConflict);
            let pair = [number * 4 + 1, number * 4 + 3];
            assert!(pair.contains(&refusal.index), "{refusal:?}");
            assert_eq!(
                refusal.reason,
                format!("{field} belongs to another run or session")
            );
        }
        neighbours.check(&mut conn).await;
    }
    finish(daemon).await;
}

/// Scenario: a message and an approval of a session are sent for another
/// session, and for a run.
/// Guarantees: refused with ID_CONFLICT; for a run the session is no key: it
/// may come later.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_another_session_is_refused() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let session = new_id();
    let (other, run) = (pg::beside(session), pg::beside(session));
    let (note, ask) = (new_id(), new_id());
    let message = |run: Option<Uuid>, session| message(1, run, session, note);
    let approval = |run: Option<Uuid>, session: Option<Uuid>| {
        valid::approval_requested(|e| {
            e.approval_id = id(ask);
            e.run_id = run.map(id).unwrap_or_default();
            e.session_id = session.map(id).unwrap_or_default();
        })
    };
    let first = vec![message(None, Some(session)), approval(None, Some(session))];
    assert_eq!(daemon.submit(first).await.committed, 2);
    for (run, session) in [
        (None, Some(other)),
        (Some(run), None),
        (Some(run), Some(session)),
    ] {
        let (neighbours, batch) =
            Neighbours::around([message(run, session), approval(run, session)]);
        let outcome = daemon.submit(batch).await;
        let codes: Vec<_> = outcome
            .refused
            .iter()
            .map(|r| (r.code(), r.index))
            .collect();
        let conflict = RefusalCode::IdConflict;
        assert_eq!(codes, [(conflict, 1), (conflict, 3)]);
        neighbours.check(&mut conn).await;
    }
    for table in ["agent_messages", "approvals"] {
        let mine = format!("{table} WHERE run_id IS NULL AND session_id = '{session}'");
        assert_eq!(count(&mut conn, &mine).await, 1);
    }
    let one = new_id();
    let of_run = |millis, session| events::message(millis, Some(run), session, one);
    assert_eq!(daemon.submit(vec![of_run(1, None)]).await.committed, 1);
    assert_eq!(
        daemon
            .submit(vec![of_run(2, Some(session))])
            .await
            .committed,
        1
    );
    finish(daemon).await;
}

/// Scenario: the row that an id clashes with is inserted by another daemon in
/// a transaction that commits while ours waits for it.
/// Guarantees: ID_CONFLICT all the same, never "duplicate": nothing of the
/// event was stored.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_another_transaction_takes_meanwhile_is_refused() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let mine = new_id();
    let other = pg::beside(mine);
    let runs = vec![run_started(0, mine), run_started(0, other)];
    assert_eq!(daemon.submit(runs).await.committed, 2);
    for (table, column, values, field, make) in [
        (
            "agent_steps",
            "status",
            "'running'",
            "step_id",
            (|run, id| step(1, 2, run, id)) as Make,
        ),
        (
            "agent_messages",
            "role",
            "'user'",
            "message_id",
            |run, id| message(1, Some(run), None, id),
        ),
        (
            "agent_token_counts",
            "input",
            "1",
            "token_count_id",
            |run, id| tokens(1, run, id, 1, 1),
        ),
        ("agent_scores", "name", "'a'", "score_id", |run, id| {
            score(1, run, id, 0.5)
        }),
        (
            "approvals",
            "action_type",
            "'a'",
            "approval_id",
            |run, id| approval_requested(1, run, id),
        ),
    ] {
        // Twice: the first clash is met while appending, the next while merging.
        for _ in 0..2 {
            let id = new_id();
            let mut theirs = conn.begin().await.unwrap();
            let insert =
                format!("INSERT INTO {table} (id, run_id, {column}) VALUES ($1, $2, {values})");
            sqlx::query(sqlx::AssertSqlSafe(insert))
                .bind(id)
                .bind(other)
                .execute(&mut *theirs)
                .await
                .unwrap();
            let (neighbours, batch) = Neighbours::around([make(mine, id)]);
            let (outcome, mut conn) = tokio::join!(daemon.submit(batch), async {
                let mut watch = database.connect().await;
                let waiting = "pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
                let until = Instant::now() + Duration::from_secs(30);
                while count(&mut watch, waiting).await == 0 {
                    assert!(Instant::now() < until, "{table}: nobody waits");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                theirs.commit().await.unwrap();
                watch
            });
            let reason = format!("{field} belongs to another run or session");
            assert_eq!(
                refused(&outcome),
                [(RefusalCode::IdConflict, 1, reason.as_str())],
                "{table}"
            );
            assert_eq!(outcome.committed, 2);
            neighbours.check(&mut conn).await;
        }
    }
    finish(daemon).await;
}
