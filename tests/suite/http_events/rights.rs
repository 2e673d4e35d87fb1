//! Keys, customers and limits of keys.

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{lines, refusal, refusals, send_with, started, taken, whole_run};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::otlp::Answer;
use crate::support::process::runtraced;
use crate::support::{pg, tables};

pub(super) async fn key(database: &str, args: &[&str]) -> String {
    let args = [&["keys", "create", "--name", "agent"], args].concat();
    let (code, said) = runtraced(&args, database).await;
    assert_eq!(code, 0, "{said}");
    let key = said.lines().find(|line| line.starts_with("rt_"));
    key.unwrap().trim().to_owned()
}

pub(super) async fn customer(conn: &mut PgConnection) -> Uuid {
    let id = new_id();
    sqlx::query("INSERT INTO customers (id, name, arr) VALUES ($1, 'Acme', 1)")
        .bind(id)
        .execute(conn)
        .await
        .unwrap();
    id
}

/// Sends as the owner of a key, and perhaps for a customer.
async fn send_as(daemon: &Daemon, key: &str, customer: Option<Uuid>, body: &str) -> Answer {
    let mut headers = vec![format!("Authorization: Bearer {key}")];
    headers.extend(customer.map(|id| format!("Runtraced-Customer: {id}")));
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    send_with(daemon, &headers, body.as_bytes()).await
}

/// Scenario: a daemon that requires keys gets events with none, with false ones, with a key that reads, with
/// keys of two customers, and with an operator's key for one of them.
/// Guarantees: only keys that write are taken; a customer writes its own rows and cannot touch those of the
/// other; the answers do not say whose they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_writes_what_it_may() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let (code, said) = runtraced(&["migrate"], database.url()).await;
    assert_eq!(code, 0, "{said}");
    let [acme, other] = [customer(&mut conn).await, customer(&mut conn).await];
    let of = |customer: Uuid| ["--customer".to_owned(), customer.to_string()];
    let mut tenants = Vec::new();
    for customer in [acme, other] {
        let args = of(customer);
        tenants.push(key(database.url(), &[&args[0], &args[1]]).await);
    }
    let operator = key(database.url(), &[]).await;
    let reading = key(database.url(), &["--read"]).await;
    let daemon = Daemon::with_args(database.url(), &["--require-keys"]).await;

    let (run, events) = whole_run();
    let body = lines(&events);
    let answer = send_with(&daemon, &[], body.as_bytes()).await;
    assert_eq!(
        (answer.status, answer.header("www-authenticate")),
        (401, "Bearer")
    );
    assert_eq!(answer.json()["code"], "key_needed");
    for (sender, named, status, code) in [
        ("rt_nonsense", None, 401, "key_needed"),
        (&*reading, None, 403, "forbidden"),
        (&*tenants[0], Some(other), 403, "forbidden"),
    ] {
        let answer = send_as(&daemon, sender, named, &body).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (status, &json!(code))
        );
    }
    let odd = [
        format!("Authorization: Bearer {operator}"),
        "Runtraced-Customer: Acme".to_owned(),
    ];
    let odd = send_with(&daemon, &[&odd[0], &odd[1]], body.as_bytes()).await;
    assert_eq!(
        (odd.status, &odd.json()["code"]),
        (400, &json!("bad_request"))
    );

    let answer = send_as(&daemon, &tenants[0], None, &body).await;
    assert_eq!((answer.status, answer.json()), (200, taken(3, 0)));
    let owner = format!("SELECT tenant_id FROM agent_runs WHERE id = '{run}'");
    assert_eq!(tables::value(&mut conn, &owner).await, json!(acme));
    // The same events with another customer's key, and an operator's on behalf of that customer.
    for (sender, named) in [(&tenants[1], None), (&operator, Some(other))] {
        let answer = send_as(&daemon, sender, named, &body).await;
        assert_eq!(answer.status, 400);
        let expected = [1, 2, 3].map(|line| refusal(line, "PERMISSION_DENIED"));
        assert_eq!(refusals(&answer), expected);
        assert!(!answer.text().contains(&acme.to_string()));
    }
    assert_eq!(tables::value(&mut conn, &owner).await, json!(acme));
    let answer = send_as(&daemon, &operator, Some(acme), &body).await;
    assert_eq!(answer.json(), taken(0, 3));
    let metrics = daemon.metrics().await;
    assert_eq!(
        metrics["runtraced_events_received_total"], 12,
        "{metrics:#?}"
    );
    daemon.finish().await;
}

/// Scenario: a key of ten events a second sends forty lines, of which some are no events, and one more.
/// Guarantees: the first batch passes and is paid for, its bad lines too; the second is told 429 and when to
/// come again.
#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_a_key_holds() {
    let database = pg::database().await;
    let limited = key(database.url(), &["--max-events-per-second", "10"]).await;
    let daemon = Daemon::with_args(database.url(), &["--require-keys"]).await;
    let bad = "{\n".repeat(35);
    let events: Vec<_> = (0..5).map(|_| started(new_id())).collect();
    let answer = send_as(&daemon, &limited, None, &(lines(&events) + &bad)).await;
    let said = answer.json();
    assert_eq!(
        (answer.status, &said["accepted"]),
        (200, &json!(5)),
        "{said}"
    );
    let answer = send_as(&daemon, &limited, None, &lines(&events)).await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (429, &json!("busy"))
    );
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=4).contains(&wait), "{wait}");
    daemon.finish().await;
}
