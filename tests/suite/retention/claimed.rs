//! Refused events prove nothing: what they say of runs takes nothing of others.

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::erased::erase;
use super::others::{add_customers, start};
use super::rows::{run_sql, send_run, there};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::pg;
use crate::support::tables::{count, row};

/// Adds a dead letter that came with the key of a customer, or with none.
async fn add_letter(conn: &mut PgConnection, tenant: Option<Uuid>, letter: Value) -> Uuid {
    sqlx::query_scalar(
        "INSERT INTO ingest_dead_letters (source, code, reason, payload, tenant_id)
         VALUES ('test', 'x', 'x', $1, $2) RETURNING id",
    )
    .bind(letter)
    .bind(tenant)
    .fetch_one(conn)
    .await
    .unwrap()
}

/// The dead letters that are left, of these.
async fn left(conn: &mut PgConnection, letters: &[Uuid]) -> Vec<Uuid> {
    let found: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM ingest_dead_letters WHERE id = ANY ($1)")
            .bind(letters)
            .fetch_all(conn)
            .await
            .unwrap();
    let left = letters.iter().filter(|letter| found.contains(letter));
    left.copied().collect()
}

/// Scenario: refused events of one customer, by its key and without a key, say that they start runs of another customer, of nobody, and
/// one that was deleted because it was old. A refused event of the other customer names a run of the first one as its parent.
/// Guarantees: erasing the first customer takes its own run and its letters. The runs, the letter and the tombstone of others stay
/// as they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_event_takes_no_run_of_another_customer() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (mine, theirs, old) = (new_id(), new_id(), new_id());
    let (me, other) = (new_id(), new_id());
    add_customers(&mut conn, &[me, other]).await;
    start(&daemon, me, "ann", mine, None).await;
    start(&daemon, other, "ben", theirs, None).await;
    let nobodys = send_run(&daemon, None, "a").await;
    let grave = format!("INSERT INTO ingest_tombstones (id) VALUES ('{old}')");
    run_sql(&mut conn, &grave).await;
    let starts = |run: Uuid| json!({"runStarted": {"runId": run, "agentId": "a"}});
    let says_mine = json!({"runStarted": {"runId": theirs, "agentId": "a", "customerId": me}});
    let mut letters = Vec::new();
    for run in [mine, theirs, nobodys, old] {
        letters.push(add_letter(&mut conn, Some(me), starts(run)).await);
    }
    letters.push(add_letter(&mut conn, None, says_mine).await);
    let below_mine = json!({"runStarted": {"runId": theirs, "agentId": "a", "parentRunId": mine}});
    let of_other = add_letter(&mut conn, Some(other), below_mine).await;
    letters.push(of_other);
    let me = me.to_string();
    for flag in ["--dry-run", "--yes"] {
        let (code, report) = erase(&["--customer", &me, flag], database.url()).await;
        assert_eq!(code, 0, "{report}");
        assert_eq!(report["rows"]["agent_runs"], 1, "{report}");
        assert_eq!(report["rows"]["ingest_dead_letters"], 5, "{report}");
    }
    let all = [mine, theirs, nobodys];
    assert_eq!(there(&mut conn, &all).await, [theirs, nobodys]);
    assert_eq!(left(&mut conn, &letters).await, [of_other]);
    let grave = format!("SELECT erased_for FROM ingest_tombstones WHERE id = '{old}'");
    assert_eq!(row(&mut conn, &grave).await, json!({"erased_for": null}));
    daemon.finish().await;
}

/// Scenario: refused events of one customer say that a run of another customer is a user's, and so does one of that customer; one names
/// the user in the input of a run of nobody.
/// Guarantees: the name alone erases nothing, because both customers name the user. With a customer, only its own run and letter go. The
/// input says nothing about whose the run is.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_event_makes_no_run_a_users() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (mine, theirs) = (new_id(), new_id());
    let (me, other) = (new_id(), new_id());
    add_customers(&mut conn, &[me, other]).await;
    start(&daemon, me, "zoe", mine, None).await;
    start(&daemon, other, "ben", theirs, None).await;
    let said = |run: Uuid, key: &str| json!({"runStarted": {"runId": run, "agentId": "a", key: "{\"user\": \"ann\"}"}});
    let letters = [
        add_letter(&mut conn, Some(me), said(mine, "metadataJson")).await,
        add_letter(&mut conn, Some(me), said(theirs, "metadataJson")).await,
        add_letter(&mut conn, Some(other), said(theirs, "metadataJson")).await,
    ];
    let (code, report) = erase(&["--user", "ann", "--yes"], database.url()).await;
    assert_eq!((code, &report["customers"]), (1, &2.into()), "{report}");
    let me = me.to_string();
    let args = ["--user", "ann", "--customer", &me, "--yes"];
    let (code, report) = erase(&args, database.url()).await;
    assert_eq!(code, 0, "{report}");
    assert_eq!(there(&mut conn, &[mine, theirs]).await, [theirs]);
    assert_eq!(left(&mut conn, &letters).await, letters[2..]);
    run_sql(&mut conn, "DELETE FROM ingest_dead_letters").await;
    let nobodys = send_run(&daemon, None, "a").await;
    add_letter(&mut conn, None, said(nobodys, "input")).await;
    let (code, report) = erase(&["--user", "ann", "--yes"], database.url()).await;
    assert_eq!(code, 0, "{report}");
    assert_eq!(count(&mut conn, "ingest_dead_letters").await, 0);
    assert_eq!(there(&mut conn, &[nobodys]).await, [nobodys]);
    daemon.finish().await;
}
