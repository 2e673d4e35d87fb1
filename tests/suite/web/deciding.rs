//! Decisions of people, and agents that wait for them.

use std::time::Duration;

use prost_types::Timestamp;

use super::client::{get, get_as, post_as};
use super::{approval, runtraced};
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_started};
use crate::support::pg;

/// Scenario: an agent waits for a decision; two people decide, one after the other; another request
/// has expired.
/// Guarantees: the agent is told at once, the first decision stands, the second person is told so, and
/// nobody decides what has expired.
#[tokio::test]
async fn the_first_decision_stands_and_reaches_the_agent() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let (run, asked, late) = (new_id(), new_id(), new_id());
    let past = Timestamp {
        seconds: 1_767_225_700,
        nanos: 0,
    };
    daemon
        .submit(vec![
            run_started(0, run),
            approval(10, run, asked, None),
            approval(20, run, late, Some(past)),
        ])
        .await;
    let one = format!("/api/approvals/{asked}");
    let decide = format!("{one}/decision");
    let pending = get(&daemon, &format!("{one}?wait=1s")).await.json();
    assert_eq!(pending["approval"]["status"], "pending");
    let path = format!("{one}?wait=60s");
    let agent = async { get(&daemon, &path).await.json() };
    let person = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        post_as(
            &daemon,
            "",
            &decide,
            "{\"decision\":\"rejected\",\"note\":\"not today\"}",
        )
        .await
    };
    let (waited, decided) = tokio::join!(agent, person);
    assert_eq!(
        (decided.status, &decided.json()["approval"]["status"]),
        (200, &"rejected".into())
    );
    assert_eq!(
        (&waited["approval"]["status"], &waited["approval"]["notes"]),
        (&"rejected".into(), &"not today".into())
    );
    let second = post_as(&daemon, "", &decide, "{\"decision\":\"approved\"}").await;
    assert_eq!(
        (second.status, &second.json()["code"]),
        (409, &"decided".into())
    );
    assert_eq!(second.json()["approval"]["notes"], "not today");
    let expired = post_as(
        &daemon,
        "",
        &format!("/api/approvals/{late}/decision"),
        "{\"decision\":\"approved\"}",
    )
    .await;
    assert_eq!(
        (expired.status, &expired.json()["code"]),
        (410, &"expired".into())
    );
    for malformed in ["{\"decision\":\"maybe\"}", "{}", "no json"] {
        assert_eq!(
            post_as(&daemon, "", &decide, malformed).await.status,
            400,
            "{malformed}"
        );
    }
    daemon.finish().await;
}

/// Scenario: keys of each kind.
/// Guarantees: only a key made for it decides, and its name is kept; an agent's own key sees the
/// decision and nothing else.
#[tokio::test]
async fn deciding_needs_a_right_of_its_own() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let (run, asked) = (new_id(), new_id());
    daemon
        .submit(vec![run_started(0, run), approval(10, run, asked, None)])
        .await;
    let key = |name: &str, args: &[&str]| {
        runtraced(
            database.url(),
            &[&["keys", "create", "--name", name], args].concat(),
        )
    };
    let (read, decide, write) = (
        key("r", &["--read"]),
        key("Dana", &["--decide"]),
        key("w", &[]),
    );
    let one = format!("/api/approvals/{asked}");
    while get_as(&daemon, &write, &one).await.json()["approval"]["action_type"]
        != serde_json::Value::Null
    {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let path = format!("{one}/decision");
    let approve = "{\"decision\":\"approved\"}";
    assert_eq!(post_as(&daemon, &read, &path, approve).await.status, 403);
    assert_eq!(post_as(&daemon, &write, &path, approve).await.status, 403);
    let decided = post_as(&daemon, &decide, &path, approve).await.json();
    assert_eq!(decided["approval"]["decided_by_name"], "Dana");
    let agent = get_as(&daemon, &write, &one).await.json();
    assert_eq!(agent["approval"]["status"], "approved");
    assert_eq!(agent["sql"], serde_json::Value::Null);
    daemon.finish().await;
}
