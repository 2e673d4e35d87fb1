//! `runtraced erase`.

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, Event, RefusalCode};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::rows::{asked, below, counts, ended_run, run_sql, send_run};
use crate::support::daemon::Daemon;
use crate::support::events::{event, id, message, new_id, run_started, started_with, step};
use crate::support::pg;
use crate::support::process::runtraced;
use crate::support::product::{poison, refuse_poison};
use crate::support::tables::{count, row};

/// A session of a user.
fn session_of(session: Uuid, user: Uuid) -> Event {
    let upsert = proto::SessionUpsert {
        session_id: id(session),
        user_id: id(user),
        ..Default::default()
    };
    event(0, Body::SessionUpsert(upsert))
}

/// An event of a run that becomes a dead letter.
fn refused_by_postgres(run: Uuid) -> Event {
    let mut event = step(1, 2, run, new_id());
    if let Some(Body::StepEnded(step)) = &mut event.event {
        step.output_json = poison();
    }
    event
}

/// Runs `erase --json`.
pub async fn erase(args: &[&str], url: &str) -> (i32, Value) {
    let args = [&["erase", "--json"], args].concat();
    let (code, said) = runtraced(&args, url).await;
    let end = said.rfind('}').map_or(0, |end| end + 1);
    let report = serde_json::from_str(&said[..end]);
    (
        code,
        report.unwrap_or_else(|error| panic!("{error}: {said}")),
    )
}

/// Everything that `pg_dump` would write about a subject: the rows of all tables as text.
pub async fn mentions(conn: &mut PgConnection, subject: Uuid) -> i64 {
    let mut found = 0;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = ANY (($1::text[])::regnamespace[]) AND relkind IN ('r', 'p')
         AND relname NOT IN ('users', 'customers', 'ingest_tombstones')",
    )
    .bind([vec!["public".to_owned()], pg::layout().schemas()].concat())
    .fetch_all(&mut *conn)
    .await
    .unwrap();
    for table in tables {
        found += count(
            conn,
            &format!("{table} t WHERE t::text ILIKE '%{subject}%'"),
        )
        .await;
    }
    found
}

/// Scenario: two users with sessions, runs that go on and have ended, a child run, messages and approvals without a run, and dead
/// letters of each. One is erased: first counted only, then without --yes, then in earnest, then again.
/// Guarantees: the report equals what was counted, and what is missing afterwards; nothing names the user any more; everything of
/// the other user stays; late events of the erased are ignored.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_erased_and_nobody_else() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    refuse_poison(&mut conn).await;
    let (ann, ben) = (new_id(), new_id());
    run_sql(
        &mut conn,
        &format!("INSERT INTO users (id) VALUES ('{ann}'), ('{ben}')"),
    )
    .await;
    let mut left = Vec::new();
    let mut sessions = Vec::new();
    for user in [ben, ann] {
        left = counts(&mut conn).await;
        let session = new_id();
        sessions.push(session);
        let (ended, goes_on, child, named) = (new_id(), new_id(), new_id(), new_id());
        daemon.submit(vec![session_of(session, user)]).await;
        daemon.submit(ended_run(ended, Some(session), "a")).await;
        let parts = [
            started_with(run_started(0, goes_on), |run| run.session_id = id(session)),
            asked(goes_on),
            started_with(run_started(0, child), |run| run.parent_run_id = id(goes_on)),
            step(1, 2, child, new_id()),
            started_with(run_started(0, named), |run| {
                run.metadata_json = Some(format!("{{\"user\":\"{user}\"}}"));
            }),
            message(3, None, Some(session), new_id()),
        ];
        daemon.submit(parts.to_vec()).await;
        let outcome = daemon.submit(vec![refused_by_postgres(goes_on)]).await;
        assert_eq!(outcome.refused[0].code(), RefusalCode::DeadLettered);
        run_sql(
            &mut conn,
            &format!(
                "INSERT INTO approvals (session_id, action_type) VALUES ('{session}', 'x');
                 INSERT INTO approvals (session_id, action_type, decided_by, notes, status) VALUES ('{}', 'x', '{user}', 'secret', 'approved')",
                sessions[0]
            ),
        )
        .await;
    }
    let decision =
        "SELECT decided_by, notes FROM approvals WHERE notes IS NULL AND status = 'approved'";
    let all = counts(&mut conn).await;
    let user = ann.to_string();
    let flags = ["--user", &user];
    let (code, counted) = erase(&[&flags[..], &["--dry-run"]].concat(), database.url()).await;
    assert_eq!((code, counts(&mut conn).await), (0, all.clone()));
    let (code, refused) = erase(&flags, database.url()).await;
    assert_eq!((code, counts(&mut conn).await), (1, all.clone()));
    assert_eq!(refused["rows"], counted["rows"]);
    let (code, report) = erase(&[&flags[..], &["--yes"]].concat(), database.url()).await;
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["rows"], counted["rows"]);
    assert_eq!(
        (&report["decisions"], &counted["decisions"]),
        (&1.into(), &1.into())
    );

    // The decision about the other's session stays, without her name.
    left[5] += 1;
    assert_eq!(counts(&mut conn).await, left);
    let reported: u64 = report["rows"]
        .as_object()
        .unwrap()
        .values()
        .map(|n| n.as_u64().unwrap())
        .sum();
    let missing: i64 = all.iter().sum::<i64>() - left.iter().sum::<i64>();
    assert_eq!(reported, missing.unsigned_abs());
    assert_eq!(
        row(&mut conn, decision).await,
        serde_json::json!({"decided_by": null, "notes": null})
    );
    assert_eq!(mentions(&mut conn, ann).await, 0);
    assert_eq!(mentions(&mut conn, sessions[1]).await, 0);
    assert!(mentions(&mut conn, ben).await > 0);

    let in_parts = ended_run(new_id(), Some(sessions[1]), "a");
    for event in in_parts {
        let outcome = daemon.submit(vec![event]).await;
        assert_eq!(outcome.refused[0].code(), RefusalCode::RunGone);
    }
    let late = vec![
        session_of(sessions[1], ann),
        message(9, None, Some(sessions[1]), new_id()),
        started_with(run_started(0, new_id()), |run| {
            run.session_id = id(sessions[1])
        }),
    ];
    let outcome = daemon.submit(late).await;
    assert_eq!(
        (outcome.committed, outcome.refused.len()),
        (0, 3),
        "{outcome:?}"
    );
    assert_eq!(counts(&mut conn).await, left);
    let (code, again) = erase(&[&flags[..], &["--yes"]].concat(), database.url()).await;
    assert_eq!(code, 0, "{again}");
    assert!(
        again["rows"].as_object().unwrap().values().all(|n| *n == 0),
        "{again}"
    );
    daemon.finish().await;
}

/// Scenario: a customer's runs are sent with the customer's name, some of a customer that is unknown; while they are being erased,
/// a client goes on to write into their sessions.
/// Guarantees: in the end nothing is left, and no writer's event became a dead letter.
#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_erased_while_clients_write() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let customer = new_id();
    send_run(&daemon, Some(new_id()), "a").await;
    let want = counts(&mut conn).await;
    let mut sessions = Vec::new();
    for _ in 0..20 {
        let (session, run) = (new_id(), new_id());
        sessions.push(session);
        let mut events = ended_run(run, Some(session), "a");
        if let Some(Body::RunStarted(started)) = &mut events[0].event {
            started.customer_id = id(customer);
        }
        daemon.submit(events).await;
        let upsert = proto::SessionUpsert {
            session_id: id(session),
            customer_id: id(customer),
            ..Default::default()
        };
        daemon
            .submit(vec![event(0, Body::SessionUpsert(upsert))])
            .await;
    }
    let client = daemon.client().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let writing = async {
        let mut stopped = stopped;
        let mut ignored = 0;
        for turn in 0.. {
            let session = sessions[turn % sessions.len()];
            let events = ended_run(new_id(), Some(session), "b");
            ignored += client
                .submit(events)
                .await
                .unwrap()
                .outcome
                .unwrap()
                .refused
                .len();
            if stopped.try_recv().is_ok() {
                break;
            }
        }
        ignored
    };
    let id_text = customer.to_string();
    let erasing = async {
        let args = ["--customer", &id_text, "--yes"];
        let (code, report) = erase(&args, database.url()).await;
        assert_eq!(code, 0, "{report}");
        stop.send(()).unwrap();
    };
    let (ignored, ()) = tokio::join!(writing, erasing);
    assert!(ignored > 0);
    assert_eq!(counts(&mut conn).await, want);
    assert_eq!(mentions(&mut conn, customer).await, 0);
    daemon.finish().await;
}

/// Scenario: one session of two is erased, with a run whose start has not come, and with a message of a run that is elsewhere; then
/// events wait in a spool, by the ledger, of a daemon that runs and of one that was last seen three days ago.
/// Guarantees: only what is in the session goes; while a spool of a daemon that runs holds events, the command says that it must
/// be repeated; so it does for the other one, unless that is to be ignored.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_erased_and_spools_are_told() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (erased, kept) = (new_id(), new_id());
    send_run(&daemon, Some(kept), "a").await;
    let want = counts(&mut conn).await;
    send_run(&daemon, Some(erased), "a").await;
    // Its start has not come, and its message says where it is.
    daemon.submit(below(new_id(), Some(erased))).await;
    let elsewhere = new_id();
    let message = message(3, Some(elsewhere), Some(erased), new_id());
    daemon
        .submit(vec![run_started(0, elsewhere), message])
        .await;
    daemon.finish().await;
    let session = erased.to_string();
    let args = ["--session", &session, "--yes"];
    let (code, report) = erase(&args, database.url()).await;
    assert_eq!(
        (code, report["rows"]["agent_runs"].as_u64()),
        (0, Some(2)),
        "{report}"
    );
    assert_eq!(
        report["rows"]["agent_messages"].as_u64(),
        Some(3),
        "{report}"
    );
    assert_eq!(counts(&mut conn).await[0], want[0]);
    assert_eq!(count(&mut conn, "agent_messages").await, 1);
    let stays = format!("agent_runs WHERE id = '{elsewhere}'");
    assert_eq!(count(&mut conn, &stays).await, 1);
    run_sql(
        &mut conn,
        "INSERT INTO ingest_ledger (instance, shard, received, spooled) VALUES (gen_random_uuid(), 9, 5, 5)",
    )
    .await;
    let (code, said) = runtraced(&["erase", "--session", &session, "--yes"], database.url()).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("Events of anybody in spools: 5"), "{said}");
    run_sql(
        &mut conn,
        "UPDATE ingest_ledger SET updated_at = now() - interval '3 days' WHERE shard = 9",
    )
    .await;
    for (flags, want) in [(&[][..], 1), (&["--ignore-old-spools"], 0)] {
        let args = [&["erase", "--session", &session, "--yes"], flags].concat();
        let (code, said) = runtraced(&args, database.url()).await;
        assert_eq!(code, want, "{said}");
        assert!(said.contains("for two days: 5"), "{said}");
    }
    conn.close().await.unwrap();
}
