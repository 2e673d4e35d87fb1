//! An agent asks for an approval and waits for the decision, with nothing but HTTP.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use super::rights::{customer, key as new_key};
use super::{lines, send_with, started};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::otlp::{Answer, call};
use crate::support::pg::{self, TestDatabase};
use crate::support::process::runtraced;

fn asked(run: Uuid, approval: Uuid, expires: Option<&str>) -> Value {
    json!({ "time": "2026-01-01T00:00:01Z", "approvalRequested": {
        "approvalId": approval, "runId": run, "actionType": "send_email", "expiresAt": expires
    }})
}

async fn key(database: &str, args: &[&str]) -> String {
    format!("Authorization: Bearer {}", new_key(database, args).await)
}

/// A migrated database, and a key of each of two customers.
async fn keys_of_two_customers() -> (TestDatabase, Vec<String>) {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let (code, said) = runtraced(&["migrate"], database.url()).await;
    assert_eq!(code, 0, "{said}");
    let mut keys = Vec::new();
    for _ in 0..2 {
        let customer = customer(&mut conn).await;
        keys.push(key(database.url(), &["--customer", &customer.to_string()]).await);
    }
    (database, keys)
}

async fn look(daemon: &Daemon, key: &str, approval: Uuid, wait: &str) -> Answer {
    let path = format!("/api/approvals/{approval}?wait={wait}");
    call(daemon, "GET", &path, &[key], b"").await
}

/// Scenario: an agent with a key of a customer waits for an approval that is not there yet, then asks for it; a
/// person decides; another customer's agent waits for it as well. Nobody has made the role under which customers
/// read.
/// Guarantees: the agent gets the decision as soon as it is made, and nothing else; the other agent learns nothing,
/// not even when it was made.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_waits_with_the_key_that_it_sends_with() {
    let (database, keys) = keys_of_two_customers().await;
    let deciding = key(database.url(), &["--decide"]).await;
    let args = ["--require-keys", "--read-role", "nobody_made_this_role"];
    let daemon = Daemon::with_args(database.url(), &args).await;
    let (run, approval) = (new_id(), new_id());

    let early = look(&daemon, &keys[0], approval, "1s").await;
    assert_eq!(
        (early.status, &early.json()["code"]),
        (404, &json!("not_found"))
    );
    let agent = async {
        let answer = look(&daemon, &keys[0], approval, "30s").await;
        (answer, Instant::now())
    };
    let stranger = async {
        let begun = Instant::now();
        let answer = look(&daemon, &keys[1], approval, "3s").await;
        assert_eq!(answer.status, 404);
        assert!(
            begun.elapsed() >= Duration::from_secs(3),
            "{:?}",
            begun.elapsed()
        );
    };
    let person = async {
        let body = lines(&[started(run), asked(run, approval, None)]);
        let sent = send_with(&daemon, &[&keys[0]], body.as_bytes()).await;
        assert_eq!(sent.json()["accepted"], 2, "{}", sent.text());
        let pending = look(&daemon, &keys[0], approval, "0s").await.json();
        assert_eq!(pending["approval"]["status"], "pending");
        let path = format!("/api/approvals/{approval}/decision");
        let shown = look(&daemon, &deciding, approval, "0s").await.json()["approval"].clone();
        let body = json!({ "decision": "approved", "note": "Good.", "shown": shown["revision"] });
        let headers = [&*deciding, "Content-Type: application/json"];
        let body = body.to_string();
        let decided = call(&daemon, "POST", &path, &headers, body.as_bytes()).await;
        assert_eq!(decided.status, 200, "{}", decided.text());
        Instant::now()
    };
    let ((answer, told), (), decided) = tokio::join!(agent, stranger, person);
    let told_after = told.saturating_duration_since(decided);
    assert!(told_after < Duration::from_secs(2), "{told_after:?}");
    let answer = answer.json();
    let approval_seen = answer["approval"].as_object().unwrap();
    assert_eq!(approval_seen["status"], "approved");
    assert_eq!(approval_seen["notes"], "Good.");
    assert_eq!(approval_seen["id"], json!(approval));
    let mut members: Vec<&String> = approval_seen.keys().collect();
    members.sort();
    let known = [
        "decided_at",
        "expires_at",
        "id",
        "notes",
        "overdue",
        "status",
    ];
    assert_eq!(members, known);
    assert_eq!(answer["sql"], Value::Null);
    assert_eq!(
        call(&daemon, "GET", "/api/approvals", &[&keys[0]], b"")
            .await
            .status,
        403
    );
    daemon.finish().await;
}

/// Scenario: a customer's agent asks; another customer's sends a request with the same id for a run of its own, to
/// make the approval its own; then the waiting agent's key is revoked, and the approval is decided.
/// Guarantees: the other customer's event is refused, and its agent still sees nothing; the owner of the revoked key
/// is told that the key is not valid, and not what was decided.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_an_approval_or_keeps_a_right_that_is_gone() {
    let (database, keys) = keys_of_two_customers().await;
    let mut conn = database.connect().await;
    let daemon = Daemon::with_args(database.url(), &["--require-keys"]).await;
    let approval = new_id();
    for (key, refused) in [(&keys[0], 0), (&keys[1], 1)] {
        let run = new_id();
        let body = lines(&[started(run), asked(run, approval, None)]);
        let sent = send_with(&daemon, &[key], body.as_bytes()).await.json();
        assert_eq!(sent["refused"].as_array().unwrap().len(), refused, "{sent}");
    }
    assert_eq!(look(&daemon, &keys[1], approval, "0s").await.status, 404);
    let waiting = look(&daemon, &keys[0], approval, "60s");
    let revoking = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        sqlx::query("UPDATE ingest_keys SET revoked_at = now()")
            .execute(&mut conn)
            .await
            .unwrap();
        // Each daemon reads the keys every second.
        tokio::time::sleep(Duration::from_secs(4)).await;
        sqlx::query("UPDATE approvals SET status = 'approved', decided_at = now()")
            .execute(&mut conn)
            .await
            .unwrap();
    };
    let (answer, ()) = tokio::join!(waiting, revoking);
    assert_eq!(answer.status, 401, "{}", answer.text());
    daemon.finish().await;
}

/// Scenario: an approval expires while its agent waits, without keys; a proxy passes the request on, so it is not the
/// daemon's own user who asks.
/// Guarantees: the agent is told that it has expired, and sees nothing but that.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_keys_learns_that_nobody_decided() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let (run, approval) = (new_id(), new_id());
    let body = lines(&[
        started(run),
        asked(run, approval, Some("2026-01-01T00:00:02Z")),
    ]);
    send_with(&daemon, &[], body.as_bytes()).await;
    let answer = look(&daemon, "Via: 1.1 proxy", approval, "30s").await;
    let seen = answer.json();
    assert_eq!(
        (answer.status, &seen["approval"]["status"]),
        (200, &json!("expired")),
        "{seen}"
    );
    assert_eq!(seen["approval"]["overdue"], true);
    assert_eq!(seen["approval"]["action_type"], Value::Null);
    let queue = call(&daemon, "GET", "/api/approvals", &["Via: 1.1 proxy"], b"").await;
    assert_eq!(queue.status, 401);
    daemon.finish().await;
}
