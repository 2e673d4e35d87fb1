//! What a product adds to the tables refuses events. Each is isolated; others hardly wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use runtraced::proto::event::Event as Body;
use runtraced::proto::trace_ingest_client::TraceIngestClient;
use runtraced::proto::{EndStatus, Event, Outcome, RefusalCode, SubmitRequest};
use sqlx::PgConnection;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use uuid::Uuid;

use super::{body, finish};
use crate::support::daemon::Daemon;
use crate::support::events::{
    approval_requested, message, new_id, run_ended, run_started, score, session_titled, step,
    step_ended, step_started, tokens,
};
use crate::support::product::{
    before_insert, before_update, execute, poisoned_step, refuse_poison,
};
use crate::support::tables::count;
use crate::support::wire::channel;
use crate::support::{pg, valid};

/// The longest that an honest client may wait: generous, for a loaded machine.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// An honest client beside others, which sends one step after the other.
struct Honest {
    run: Uuid,
    stop: Arc<AtomicBool>,
    task: JoinHandle<(i64, Duration)>,
}

impl Honest {
    async fn start(daemon: &Daemon) -> Self {
        let (run, stop) = (new_id(), Arc::new(AtomicBool::new(false)));
        let (channel, stopped) = (channel(daemon.grpc_url()).await, stop.clone());
        let task = tokio::spawn(async move {
            let (mut sent, mut longest) = (0, Duration::ZERO);
            while !stopped.load(Relaxed) {
                let begin = Instant::now();
                let events = vec![step(sent, sent + 1, run, new_id())];
                assert_eq!(send_over(channel.clone(), events).await.committed, 1);
                longest = longest.max(begin.elapsed());
                sent += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (sent, longest)
        });
        Self { run, stop, task }
    }

    /// All was stored, and soon.
    async fn check(self, conn: &mut PgConnection) {
        self.stop.store(true, Relaxed);
        let (sent, longest) = self.task.await.unwrap();
        println!("{sent} honest steps; the longest wait was {longest:?}");
        let mine = format!("agent_steps WHERE run_id = '{}'", self.run);
        assert_eq!(count(conn, &mine).await, sent);
        assert!(sent > 5 && longest < LONGEST_WAIT, "{longest:?}");
    }
}

/// Sends a batch over a connection of its own.
async fn send(daemon: &Daemon, events: Vec<Event>) -> Outcome {
    send_over(channel(daemon.grpc_url()).await, events).await
}

async fn send_over(channel: Channel, events: Vec<Event>) -> Outcome {
    let request = SubmitRequest {
        events,
        ..Default::default()
    };
    let answer = TraceIngestClient::new(channel).submit(request).await;
    answer.unwrap().into_inner().outcome.unwrap()
}

/// The positions of the dead letters among what was sent.
fn dead(outcome: &Outcome) -> Vec<usize> {
    let refused = outcome.refused.iter();
    refused
        .map(|refused| {
            assert_eq!(refused.code(), RefusalCode::DeadLettered, "{refused:?}");
            refused.index as usize
        })
        .collect()
}

/// One shard, and enough time for a loaded machine.
const PATIENT: [&str; 4] = ["--writers", "1", "--submit-timeout", "600"];

const RAISE: &str = "IF NEW.output::text LIKE '%poison%' THEN RAISE 'no %', repeat('x', 100000); END IF; RETURN NEW;";
const DEFERRED: &str = "
    CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $f$
    BEGIN IF NEW.output::text LIKE '%poison%' THEN RAISE 'too late'; END IF; RETURN NULL; END $f$;
    CREATE CONSTRAINT TRIGGER late AFTER INSERT ON agent_steps
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()";

/// Scenario: 5,000 events of which many are against a CHECK constraint of the product, or make a
/// trigger raise, at once or at COMMIT; in a table that all are copied to, and once more as rows
/// to be merged. An honest client is on the same shard.
/// Guarantees: good ones are stored, bad ones are dead letters, counts are exact, and the honest
/// client hardly waits. No reason is longer than a line.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_events_against_a_rule_are_isolated() {
    for (rule, every) in [
        ("check", 3),
        ("trigger", 1),
        ("trigger", 50),
        ("deferred", 10),
    ] {
        let database = pg::database().await;
        let daemon = Daemon::with_args(database.url(), &PATIENT).await;
        let mut conn = database.connect().await;
        match rule {
            "check" => refuse_poison(&mut conn).await,
            "trigger" => before_insert(&mut conn, "agent_steps", RAISE).await,
            _ => execute(&mut conn, DEFERRED.to_owned()).await,
        }
        let run = new_id();
        let events: Vec<Event> = (0..5_000)
            .map(|n| match n % every {
                0 => poisoned_step(),
                _ => step(n, n + 1, run, new_id()),
            })
            .collect();
        let bad: Vec<usize> = (0..5_000)
            .step_by(usize::try_from(every).unwrap())
            .collect();
        let honest = Honest::start(&daemon).await;
        let begin = Instant::now();
        let outcome = send(&daemon, events.clone()).await;
        println!("{rule}, every {every}: settled in {:?}", begin.elapsed());
        assert_eq!(dead(&outcome), bad);
        assert!(outcome.refused.iter().all(|one| one.reason.len() < 600));
        assert_eq!(outcome.committed, 5_000 - bad.len() as u64);
        let outcome = send(&daemon, events[..500].to_vec()).await;
        let again = bad.iter().filter(|at| **at < 500).count();
        assert_eq!(dead(&outcome).len(), again);
        assert_eq!(outcome.duplicate, 500 - again as u64);
        honest.check(&mut conn).await;
        let good = format!("agent_steps WHERE run_id = '{run}'");
        let (good, bad) = (count(&mut conn, &good).await, bad.len() as i64);
        assert_eq!(good, 5_000 - bad);
        assert_eq!(count(&mut conn, "ingest_dead_letters").await, bad);
        finish(daemon).await;
    }
}

/// Scenario: hundreds of small batches, each with an event that Postgres refuses, many at a time
/// over one connection and over many.
/// Guarantees: an honest client hardly waits, and all is settled.
#[tokio::test(flavor = "multi_thread")]
async fn many_small_bad_batches_do_not_hold_others_up() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &PATIENT).await;
    let mut conn = database.connect().await;
    refuse_poison(&mut conn).await;
    let honest = Honest::start(&daemon).await;
    let shared = channel(daemon.grpc_url()).await;
    let mut calls = Vec::new();
    for number in 0..400 {
        let channel = match number % 4 {
            0 => channel(daemon.grpc_url()).await,
            _ => shared.clone(),
        };
        calls.push(tokio::spawn(async move {
            let events = vec![step(1, 2, new_id(), new_id()), poisoned_step()];
            send_over(channel, events).await
        }));
    }
    for call in calls {
        let outcome = call.await.unwrap();
        assert_eq!((outcome.committed, dead(&outcome)), (1, vec![1]));
    }
    honest.check(&mut conn).await;
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, 400);
    finish(daemon).await;
}

/// One event of each table of whose rows a trigger may dispose, and a good one.
fn one_of_each() -> Vec<(&'static str, Event)> {
    vec![
        ("agent_sessions", valid::session_upsert(|_| {})),
        ("agent_runs", valid::run_started(|_| {})),
        ("agent_steps", step(1, 2, new_id(), new_id())),
        ("agent_messages", message(1, Some(new_id()), None, new_id())),
        ("agent_token_counts", tokens(1, new_id(), new_id(), 1, 2)),
        ("agent_scores", score(1, new_id(), new_id(), 0.5)),
        ("approvals", valid::approval_requested(|_| {})),
    ]
}

/// Scenario: on each table in turn a BEFORE trigger that returns NULL, and one that always raises
/// a serialization failure, an error of a missing table, or any other code; an event for that
/// table between others, as a new row and again.
/// Guarantees: attempts end; that event becomes a dead letter with a reason, the others are
/// stored, and an honest client hardly waits.
#[tokio::test(flavor = "multi_thread")]
async fn triggers_that_never_let_a_row_in_end_as_dead_letters() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &PATIENT).await;
    let mut conn = database.connect().await;
    let mut letters = 0;
    for (body, reason) in [
        ("RETURN NULL;", "trigger"),
        ("RAISE SQLSTATE '40001';", "at every attempt"),
        ("RAISE SQLSTATE '42P01';", "42P01"),
        ("RAISE SQLSTATE 'XY123';", "XY123"),
        ("PERFORM 1 FROM nowhere; RETURN NEW;", "42P01"),
    ] {
        for (place, (table, event)) in one_of_each().into_iter().enumerate() {
            before_insert(&mut conn, table, body).await;
            let others = one_of_each().into_iter().enumerate();
            let others = others.filter(|(other, (table, _))| {
                // Rows of other tables need a run, which the trigger does not let in.
                *other != place && (table != &"agent_runs" || place != 1) && place > 1
            });
            let mut events = vec![event];
            events.extend(others.map(|(_, (_, event))| event));
            for _ in 0..2 {
                let outcome = send(&daemon, events.clone()).await;
                assert_eq!(dead(&outcome), [0], "{table}: {body}");
                let said = &outcome.refused[0].reason;
                assert!(said.contains(reason), "{table}: {body}: {said}");
                let stored = (outcome.committed + outcome.duplicate) as usize;
                assert_eq!(stored, events.len() - 1, "{table}: {body}");
            }
            letters += 1;
            let off = format!("DROP TRIGGER product ON {table}");
            execute(&mut conn, off).await;
        }
    }
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, letters);
    assert_eq!(
        send(&daemon, vec![step(1, 2, new_id(), new_id())])
            .await
            .committed,
        1
    );
    finish(daemon).await;
}

/// For each table an event that makes a row, and one that changes it.
fn changes() -> Vec<(&'static str, [Event; 2])> {
    let (session, run, of_step, id) = (new_id(), new_id(), new_id(), new_id());
    let other_message = |millis| message(millis, Some(of_step), None, id);
    let mut reported = approval_requested(1, of_step, id);
    reported.time.as_mut().unwrap().seconds += 60;
    vec![
        (
            "agent_sessions",
            [
                session_titled(1, session, "one"),
                session_titled(2, session, "two"),
            ],
        ),
        (
            "agent_runs",
            [run_started(1, run), run_ended(2, run, EndStatus::Completed)],
        ),
        (
            "agent_steps",
            [step_started(1, of_step, id), step_ended(2, of_step, id)],
        ),
        ("agent_messages", [other_message(1), other_message(2)]),
        (
            "agent_token_counts",
            [tokens(1, of_step, id, 1, 2), tokens(2, of_step, id, 1, 2)],
        ),
        (
            "agent_scores",
            [score(1, of_step, id, 0.5), score(2, of_step, id, 0.5)],
        ),
        ("approvals", [approval_requested(1, of_step, id), reported]),
    ]
}

/// Scenario: on each table in turn a BEFORE UPDATE trigger that returns NULL; an event that changes
/// a row of that table, before events that do not.
/// Guarantees: attempts end; it becomes a dead letter with a reason and is no duplicate, and the
/// others are stored. Without the trigger it changes the row; then it is a duplicate.
#[tokio::test(flavor = "multi_thread")]
async fn triggers_that_skip_changes_end_as_dead_letters() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &PATIENT).await;
    let mut conn = database.connect().await;
    for (table, [first, change]) in changes() {
        assert_eq!(send(&daemon, vec![first]).await.committed, 1, "{table}");
        before_update(&mut conn, table, "RETURN NULL;").await;
        let other = step(1, 2, new_id(), new_id());
        let outcome = send(&daemon, vec![change.clone(), other]).await;
        assert_eq!(dead(&outcome), [0], "{table}");
        let said = &outcome.refused[0].reason;
        assert!(said.contains("trigger"), "{table}: {said}");
        assert_eq!((outcome.committed, outcome.duplicate), (1, 0), "{table}");
        execute(&mut conn, format!("DROP TRIGGER product ON {table}")).await;
        assert_eq!(send(&daemon, vec![change.clone()]).await.committed, 1);
        assert_eq!(send(&daemon, vec![change]).await.duplicate, 1, "{table}");
    }
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, 7);
    finish(daemon).await;
}

/// Scenario: 300 steps for which a trigger always raises a serialization failure, beside others.
/// Guarantees: the first takes many attempts and the others few, so that all end soon; an honest
/// client hardly waits.
#[tokio::test(flavor = "multi_thread")]
async fn conflicts_without_an_end_are_bounded_in_sum() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &PATIENT).await;
    let mut conn = database.connect().await;
    let raise =
        "IF NEW.output::text LIKE '%poison%' THEN RAISE SQLSTATE '40001'; END IF; RETURN NEW;";
    before_insert(&mut conn, "agent_steps", raise).await;
    let honest = Honest::start(&daemon).await;
    let mut events: Vec<Event> = (0..300).map(|_| poisoned_step()).collect();
    events.extend((0..300).map(|n| step(n, n + 1, new_id(), new_id())));
    let outcome = send(&daemon, events).await;
    assert_eq!(dead(&outcome), (0..300).collect::<Vec<_>>());
    assert_eq!(outcome.committed, 300);
    honest.check(&mut conn).await;
    finish(daemon).await;
}

/// Scenario: an index of the product's has no room for long names.
/// Guarantees: such an event is a dead letter, and nothing waits for a database that is fine.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_an_index_has_no_room_for_are_dead_letters() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    execute(&mut conn, "CREATE INDEX ON agent_runs (agent_id)".into()).await;
    let long: String = (0..20_000).map(|n| format!("{n:x}")).collect();
    let mut event = valid::run_started(|_| {});
    if let Body::RunStarted(started) = body(&mut event) {
        started.agent_id = long;
    }
    let outcome = send(&daemon, vec![event, step(1, 2, new_id(), new_id())]).await;
    assert_eq!((dead(&outcome), outcome.committed), (vec![0], 1));
    assert!(outcome.refused[0].reason.contains("54000"), "{outcome:?}");
    finish(daemon).await;
}
