//! `runtraced erase` takes what belongs to its subject, and nothing of anybody else.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::erased::erase;
use super::rows::{run_sql, send_run, there};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::otlp::post;
use crate::support::pg;
use crate::support::tables::count;

/// Scenario: of runs that are there, dead letters start one whose agent has the user's name and whose input names the user's run,
/// and one whose metadata says that it is the user's.
/// Guarantees: only the second run goes, and only its letter and the one that names the user's run.
#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_only_mentions_the_user_takes_no_run() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let [mentions, own, named] = [
        send_run(&daemon, None, "bot").await,
        send_run(&daemon, None, "a").await,
        send_run(&daemon, None, "a").await,
    ];
    let letters = [
        json!({"runStarted": {"runId": mentions, "agentId": "bot"}}),
        json!({"runStarted": {"runId": mentions, "agentId": "x", "input": format!("as in {named}")}}),
        json!({"runStarted": {"runId": own, "agentId": "x", "metadataJson": "{\"user\": \"bot\"}"}}),
    ];
    for letter in &letters {
        sqlx::query("INSERT INTO ingest_dead_letters (source, code, reason, payload) VALUES ('test', 'x', 'x', $1)")
            .bind(letter)
            .execute(&mut conn)
            .await
            .unwrap();
    }
    run_sql(
        &mut conn,
        &format!("UPDATE agent_runs SET metadata = '{{\"user\": \"bot\"}}' WHERE id = '{named}'"),
    )
    .await;
    for flag in ["--dry-run", "--yes"] {
        let (code, report) = erase(&["--user", "bot", flag], database.url()).await;
        assert_eq!(code, 0, "{report}");
        assert_eq!(report["rows"]["ingest_dead_letters"], 2, "{report}");
    }
    assert_eq!(there(&mut conn, &[mentions, own, named]).await, [mentions]);
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, 1);
    daemon.finish().await;
}

/// Sends the start of a run of a customer's user for the customer.
pub async fn start(daemon: &Daemon, customer: Uuid, user: &str, run: Uuid, parent: Option<Uuid>) {
    let start = json!({"time": "2026-01-01T00:00:00Z", "runStarted": {
        "runId": run, "agentId": "a", "parentRunId": parent,
        "metadataJson": json!({"user": user}).to_string()}});
    let header = format!("runtraced-customer: {customer}");
    let body = start.to_string();
    let answer = post(daemon, "/v1/events", &[&header], body.as_bytes()).await;
    assert_eq!(answer.json()["accepted"], 1, "{}", answer.json());
}

pub async fn add_customers(conn: &mut PgConnection, customers: &[Uuid]) {
    for customer in customers {
        let sql = format!("INSERT INTO customers (id, name, arr) VALUES ('{customer}', 'c', 1)");
        run_sql(conn, &sql).await;
    }
}

/// Scenario: two customers have a user of one name. A run of one customer names a run of the other as its parent.
/// Guarantees: the name alone erases nothing; with a customer, only the runs of that customer go.
#[tokio::test(flavor = "multi_thread")]
async fn users_of_two_customers_may_have_one_name() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (one, other) = (new_id(), new_id());
    add_customers(&mut conn, &[one, other]).await;
    let all = [(); 3].map(|()| new_id());
    let [mine, theirs, below] = all;
    // First, while nobody knows whose run the parent will be.
    start(&daemon, other, "ben", below, Some(mine)).await;
    start(&daemon, one, "ann", mine, None).await;
    start(&daemon, other, "ann", theirs, None).await;
    let (code, report) = erase(&["--user", "ann", "--yes"], database.url()).await;
    assert_eq!((code, &report["customers"]), (1, &2.into()), "{report}");
    assert_eq!(there(&mut conn, &all).await, all);
    let one = one.to_string();
    let args = ["--user", "ann", "--customer", &one, "--yes"];
    let (code, report) = erase(&args, database.url()).await;
    assert_eq!(
        (code, &report["rows"]["agent_runs"]),
        (0, &1.into()),
        "{report}"
    );
    assert_eq!(there(&mut conn, &all).await, [theirs, below]);
    daemon.finish().await;
}

/// Sends the start of a run that names its customer, without a key.
pub async fn start_without_key(daemon: &Daemon, customer: Uuid, run: Uuid, more: Value) {
    let mut started = json!({"runId": run, "agentId": "a", "customerId": customer});
    started
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let start = json!({"time": "2026-01-01T00:00:00Z", "runStarted": started}).to_string();
    let answer = post(daemon, "/v1/events", &[], start.as_bytes()).await;
    assert_eq!(answer.json()["accepted"], 1, "{}", answer.json());
}

/// Scenario: without keys, two customers have a user of one name. A run of one customer names a run of the other as its parent.
/// Guarantees: the name alone erases nothing, and the report says so; the customer's runs go, and no run of the other one.
#[tokio::test(flavor = "multi_thread")]
async fn customers_without_keys_are_told_apart() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (one, other) = (new_id(), new_id());
    add_customers(&mut conn, &[one, other]).await;
    let all = [(); 3].map(|()| new_id());
    let [mine, theirs, below] = all;
    let ann = json!({"metadataJson": "{\"user\":\"ann\"}"});
    start_without_key(&daemon, one, mine, ann.clone()).await;
    start_without_key(&daemon, other, theirs, ann).await;
    start_without_key(&daemon, other, below, json!({"parentRunId": mine})).await;
    let (code, report) = erase(&["--user", "ann", "--yes"], database.url()).await;
    assert_eq!((code, &report["customers"]), (1, &2.into()), "{report}");
    assert_eq!(report["dry_run"], true);
    assert_eq!(there(&mut conn, &all).await, all);
    let args = ["--customer", &one.to_string(), "--yes"];
    let (code, report) = erase(&args, database.url()).await;
    assert_eq!(code, 0, "{report}");
    assert_eq!(there(&mut conn, &all).await, [theirs, below]);
    daemon.finish().await;
}

/// Scenario: a user is named by the end of a run, by its process, by an OpenTelemetry span without a session, and in dead letters
/// in the spellings of several JSON writers.
/// Guarantees: all of them go.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_found_wherever_a_run_names_it() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let mut runs = Vec::new();
    for set in [
        "end_metadata = '{\"user.id\": \"jürgen\"}'",
        "end_metadata = '{\"user.email\": \"jürgen\"}'",
        "metadata = '{\"user\": {\"id\": \"jürgen\"}}'",
        "metadata = '{\"resource\": {\"enduser.id\": \"jürgen\"}}'",
    ] {
        let run = send_run(&daemon, None, "a").await;
        run_sql(
            &mut conn,
            &format!("UPDATE agent_runs SET {set} WHERE id = '{run}'"),
        )
        .await;
        runs.push(run);
    }
    for metadata in [
        r#"{"user":"j\u00fcrgen"}"#,
        r#"{"user" : "j\u00FCrgen"}"#,
        r#"{"user":  "jürgen"}"#,
    ] {
        sqlx::query("INSERT INTO ingest_dead_letters (source, code, reason, payload) VALUES ('test', 'x', 'x', $1)")
            .bind(json!({"runStarted": {"runId": new_id(), "agentId": "x", "metadataJson": metadata}}))
            .execute(&mut conn)
            .await
            .unwrap();
    }
    let (code, report) = erase(&["--user", "jürgen", "--yes"], database.url()).await;
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["rows"]["ingest_dead_letters"], 3, "{report}");
    assert_eq!(there(&mut conn, &runs).await, [] as [Uuid; 0]);
    let user = new_id();
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let span = json!({"traceId": new_id().simple().to_string(), "spanId": "0102030405060708", "name": "invoke_agent a",
        "startTimeUnixNano": "1767225600000000000", "endTimeUnixNano": "1767225601000000000",
        "attributes": [attribute("gen_ai.operation.name", "invoke_agent"), attribute("user.id", &user.to_string())]});
    let traces = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string();
    let answer = post(
        &daemon,
        "/v1/traces",
        &["content-type: application/json"],
        traces.as_bytes(),
    )
    .await;
    assert_eq!(answer.status, 200);
    assert_eq!(count(&mut conn, "agent_runs").await, 1);
    let (code, report) = erase(&["--user", &user.to_string(), "--yes"], database.url()).await;
    assert_eq!(
        (code, &report["rows"]["agent_runs"]),
        (0, &1.into()),
        "{report}"
    );
    daemon.finish().await;
}

/// Scenario: while a session is erased, a transaction is open in which a child of one of its runs was inserted.
/// Guarantees: the command waits for it, and takes the child too.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_is_being_written_goes_too() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (session, child) = (new_id(), new_id());
    let parent = send_run(&daemon, Some(session), "a").await;
    let mut other = database.connect().await;
    let mut open = other.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO agent_runs (id, parent_run_id, agent_id, agent_type, status) VALUES ($1, $2, 'a', 'a', 'running')",
    )
    .bind(child)
    .bind(parent)
    .execute(&mut *open)
    .await
    .unwrap();
    let url = database.url().to_owned();
    let erasing =
        tokio::spawn(
            async move { erase(&["--session", &session.to_string(), "--yes"], &url).await },
        );
    while !there(&mut conn, &[parent]).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    open.commit().await.unwrap();
    let (code, report) = erasing.await.unwrap();
    assert_eq!(
        (code, &report["rows"]["agent_runs"]),
        (0, &2.into()),
        "{report}"
    );
    assert!(there(&mut conn, &[child]).await.is_empty());
    daemon.finish().await;
}
