//! The daemon and the commands on a database whose customer tables are elsewhere, or left out.

use std::time::Duration;

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, EndStatus, Event};
use serde_json::{Value, json};
use uuid::Uuid;

use super::placed::SCHEMA;
use crate::support::daemon::Daemon;
use crate::support::events::{
    approval_requested, ended_with, event, id, message, new_id, run_ended, run_started,
    session_titled, started_with, step, tokens,
};
use crate::support::otlp::{Answer, call};
use crate::support::pg::{self, TestDatabase};
use crate::support::process::runtraced;
use crate::support::tables::value;
use crate::support::writer::{ROLE, writer};

/// A command that must succeed; what it printed.
async fn done(database: &TestDatabase, args: &[&str]) -> String {
    let (code, said) = runtraced(args, database.url()).await;
    assert_eq!(code, 0, "{args:?}: {said}");
    said.trim().to_owned()
}

async fn key(database: &TestDatabase, more: &[&str]) -> String {
    let said = done(
        database,
        &[&["keys", "create", "--name", "k"], more].concat(),
    )
    .await;
    said.lines()
        .find(|line| line.starts_with("rt_"))
        .unwrap()
        .to_owned()
}

/// A session and a run of a customer, with something of each kind.
fn story(run: Uuid, customer: Uuid) -> Vec<Event> {
    let session = new_id();
    let mut titled = session_titled(0, session, "t");
    if let Some(Body::SessionUpsert(upsert)) = &mut titled.event {
        upsert.customer_id = id(customer);
    }
    vec![
        titled,
        started_with(run_started(1, run), |start| {
            start.session_id = id(session);
            start.customer_id = id(customer);
            start.name = Some("look up".into());
        }),
        step(2, 3, run, new_id()),
        message(2, Some(run), Some(session), new_id()),
        tokens(3, run, new_id(), 5, 2),
        approval_requested(4, run, new_id()),
        ended_with(run_ended(9, run, EndStatus::Completed), |end| {
            end.output = Some("found".into())
        }),
    ]
}

/// A run that only a part of it tells of, with its customer.
fn observed(run: Uuid, customer: Uuid) -> Vec<Event> {
    let part = proto::RunObserved {
        run_id: id(run),
        customer: Some(customer.to_string()),
        ..Default::default()
    };
    vec![event(0, Body::RunObserved(part))]
}

async fn read(daemon: &Daemon, path: &str, key: &str) -> Answer {
    let host = format!("Host: {}", daemon.http_address());
    let key = format!("Authorization: Bearer {key}");
    let headers: Vec<&str> = match key.ends_with(' ') {
        true => vec![&host],
        false => vec![&host, &key],
    };
    call(daemon, "GET", path, &headers, &[]).await
}

fn runs_of(answer: &Answer) -> Vec<Value> {
    let rows = answer.json()["rows"].clone();
    let rows = rows
        .as_array()
        .unwrap_or_else(|| panic!("{}", answer.text()))
        .clone();
    rows.iter().map(|row| row["run_id"].clone()).collect()
}

/// Scenario: a database of each form; a daemon as the owner and one as the writer's role take sessions,
/// runs and parts of runs with customers; a customer's key sends and another one reads; all commands that
/// have to do with customers are run.
/// Guarantees: customers that are known are in `customer_id`, others in the metadata; without customer tables
/// every id is known. A reader of one customer reads its runs alone. Each command works, or says in one line
/// that there are no customer tables.
#[tokio::test(flavor = "multi_thread")]
async fn daemons_and_commands_work_in_both_forms() {
    for flags in [&["--schema", SCHEMA][..], &["--without-customers"]] {
        let moved = flags.len() == 2;
        let database = pg::database().await;
        // One role from before the move, and one from after it.
        let early = writer(database.url()).await;
        done(&database, &[&["migrate"], flags].concat()).await;
        let [acme, unknown] = [new_id(), new_id()];
        if moved {
            let name = [
                "customers",
                "add",
                "--name",
                "Acme",
                "--id",
                &acme.to_string(),
            ];
            assert_eq!(done(&database, &name).await, acme.to_string());
            assert!(
                done(&database, &["customers", "list"])
                    .await
                    .contains("Acme")
            );
        } else {
            for args in [
                &["customers", "add", "--name", "Acme"][..],
                &["customers", "list"],
            ] {
                let (code, said) = runtraced(args, database.url()).await;
                assert_eq!((code, said.lines().count()), (1, 1), "{said}");
                assert!(
                    said.contains("this database has no customer tables"),
                    "{said}"
                );
            }
        }
        let theirs = ["--customer", &acme.to_string()];
        let sends = key(&database, &theirs).await;
        let reads = key(&database, &[&theirs[..], &["--read"]].concat()).await;
        let names = done(&database, &["keys", "list", "--json"]).await;
        let names: Value = serde_json::from_str(&names).unwrap();
        let name = if moved { json!("Acme") } else { json!(null) };
        assert_eq!(names[0]["customer"], name, "{names}");

        let mut conn = database.connect().await;
        let asked = async |conn: &mut sqlx::PgConnection, run: Uuid| {
            let query = format!(
                "SELECT jsonb_build_array(r.customer_id, r.metadata -> 'unresolved_customer_id', s.customer_id, r.status,
                        r.total_tokens_input, v.waiting_ms >= 0)
                 FROM agent_runs r JOIN run_summary v ON v.run_id = r.id LEFT JOIN agent_sessions s ON s.id = r.session_id
                 WHERE r.id = '{run}'"
            );
            value(conn, &query).await
        };
        let mut mine = Vec::new();
        for as_writer in [true, false] {
            let daemon = match as_writer {
                true => Daemon::spawn_as_is(&early, &["--no-migrate"]).await,
                false => Daemon::spawn_as_is(database.url(), &[]).await,
            };
            daemon.wait_ready().await;
            for customer in [acme, unknown] {
                let [told, part] = [new_id(), new_id()];
                for events in [story(told, customer), observed(part, customer)] {
                    let outcome = daemon.submit(events.clone()).await;
                    assert_eq!(outcome.committed, events.len() as u64, "{outcome:?}");
                    assert_eq!(
                        daemon.submit(events.clone()).await.duplicate,
                        events.len() as u64
                    );
                }
                let known = customer == acme || !moved;
                let [is, is_not] = if known {
                    [json!(customer), json!(null)]
                } else {
                    [json!(null), json!(customer)]
                };
                let row = asked(&mut conn, told).await;
                assert_eq!(row, json!([is, is_not, is, "completed", 5, true]));
                let row = asked(&mut conn, part).await;
                assert_eq!((&row[0], &row[1]), (&is, &is_not), "{row}");
                if customer == acme {
                    mine.extend([told, part]);
                }
            }
            daemon.finish_as(database.url()).await;
        }

        // A key's rows are its customer's whatever they say.
        done(&database, &["grant", "--role", ROLE, "--reader"]).await;
        let daemon = Daemon::spawn_as_is(&early, &["--no-migrate", "--require-keys"]).await;
        daemon.wait_ready().await;
        // It may be ready before it has read the keys.
        while daemon.metrics().await["runtraced_keys_valid"] == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let own = new_id();
        let line = json!({ "time": "2026-01-01T00:00:00Z", "runStarted": { "runId": own, "agentId": "a" } });
        let header = format!("Authorization: Bearer {sends}");
        let sent = call(
            &daemon,
            "POST",
            "/v1/events",
            &[&header],
            line.to_string().as_bytes(),
        )
        .await;
        assert_eq!(
            (sent.status, &sent.json()["accepted"]),
            (200, &json!(1)),
            "{}",
            sent.text()
        );
        mine.push(own);
        let seen = runs_of(&read(&daemon, "/api/runs", &reads).await);
        let mut seen: Vec<String> = seen
            .iter()
            .map(|run| run.as_str().unwrap().to_owned())
            .collect();
        seen.sort();
        // What only a part told of has no start, so it is not in the list.
        let expected: Vec<String> = mine.iter().map(Uuid::to_string).collect();
        assert!(seen.iter().all(|run| expected.contains(run)), "{seen:?}");
        assert!(
            seen.contains(&own.to_string()) && seen.len() >= 3,
            "{seen:?}"
        );
        let facets = read(&daemon, "/api/facets", &reads).await;
        let named = facets.json()["customers"][0].clone();
        let shown = if moved {
            json!({"id": acme, "name": "Acme"})
        } else {
            json!({"id": acme, "name": null})
        };
        assert_eq!(named, shown, "{}", facets.text());
        for path in [
            "/api/stats",
            "/api/cost",
            "/api/approvals",
            &format!("/api/runs/{}", mine[0]),
        ] {
            let answer = read(&daemon, path, &reads).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        }
        daemon.finish_as(database.url()).await;

        let (_, said) = runtraced(&["doctor"], database.url()).await;
        let found = if moved {
            "in the schema customer data"
        } else {
            "left out: the database is only for traces"
        };
        assert!(said.contains(found), "{said}");
        done(&database, &["grant", "--role", ROLE, "--revoke"]).await;
        let rights = format!(
            "SELECT count(*) FROM pg_class c, aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee
             WHERE r.rolname = '{}'",
            ROLE.replace('\'', "''")
        );
        assert_eq!(value(&mut conn, &rights).await, 0);
    }
}
