//! Decisions of people, and agents that wait for them.

use std::time::Duration;

use prost_types::Timestamp;
use runtraced::proto::trace_ingest_client::TraceIngestClient;
use runtraced::proto::{ApprovalDecision, ApprovalStatus, WatchApprovalsRequest};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use uuid::Uuid;

use super::client::{decide_as, get, get_as, post_as};
use super::{approval, runtraced};
use crate::support::daemon::Daemon;
use crate::support::events::{id, new_id, run_started};
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
        decide_as(&daemon, "", asked, "rejected", "not today").await
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
    let second = decide_as(&daemon, "", asked, "approved", "").await;
    assert_eq!(
        (second.status, &second.json()["code"]),
        (409, &"decided".into())
    );
    assert_eq!(second.json()["approval"]["notes"], "not today");
    let expired = decide_as(&daemon, "", late, "approved", "").await;
    assert_eq!(
        (expired.status, &expired.json()["code"]),
        (410, &"expired".into())
    );
    let unseen = "{\"decision\":\"approved\"}";
    for malformed in ["{\"decision\":\"maybe\"}", "{}", "no json", unseen] {
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
    for refused in [&read, &write] {
        let answer = decide_as(&daemon, refused, asked, "approved", "").await;
        assert_eq!(answer.status, 403);
    }
    let decided = decide_as(&daemon, &decide, asked, "approved", "")
        .await
        .json();
    let id = uuid::Uuid::parse_str(decide.split('_').nth(1).unwrap()).unwrap();
    let by = &decided["approval"];
    assert_eq!(
        (&by["decided_by_name"], &by["decided_by_key_id"]),
        (&"Dana".into(), &id.to_string().into())
    );
    let agent = get_as(&daemon, &write, &one).await.json();
    assert_eq!(agent["approval"]["status"], "approved");
    assert_eq!(agent["sql"], serde_json::Value::Null);
    daemon.finish().await;
}

/// Opens a stream of decisions; `key`: with which.
async fn watch(
    daemon: &Daemon,
    key: Option<&str>,
    watched: WatchApprovalsRequest,
) -> Result<Streaming<ApprovalDecision>, Status> {
    let channel = Channel::from_shared(daemon.grpc_url().to_owned()).unwrap();
    let mut client = TraceIngestClient::new(channel.connect().await.unwrap());
    let mut request = Request::new(watched);
    if let Some(key) = key {
        let bearer = format!("Bearer {key}").parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
    }
    Ok(client.watch_approvals(request).await?.into_inner())
}

fn of_run(run: Uuid) -> WatchApprovalsRequest {
    WatchApprovalsRequest {
        run_id: id(run),
        ..Default::default()
    }
}

fn of_one(approval: Uuid) -> WatchApprovalsRequest {
    WatchApprovalsRequest {
        approval_id: id(approval),
        ..Default::default()
    }
}

async fn next(stream: &mut Streaming<ApprovalDecision>) -> Option<ApprovalDecision> {
    tokio::time::timeout(Duration::from_secs(60), stream.message())
        .await
        .expect("no decision")
        .unwrap()
}

/// Scenario: agents watch an approval that is not there yet, and a run; it is decided on the page of
/// another daemon, in SQL, and by nobody in time; the daemon then stops.
/// Guarantees: each decision is told once, with its note; the stream of one approval ends with it; who
/// watches later is told what was decided before; a shutdown says that the client must come again.
#[tokio::test]
async fn a_stream_tells_decisions_of_any_daemon_and_of_sql() {
    let database = pg::database().await;
    let mut daemon = Daemon::start(database.url()).await;
    let other = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let [run, first, second, late] = [(); 4].map(|()| new_id());
    let mut of_first = watch(&daemon, None, of_one(first)).await.unwrap();
    let mut of_all = watch(&daemon, None, of_run(run)).await.unwrap();
    let past = Timestamp {
        seconds: 1_767_225_700,
        nanos: 0,
    };
    daemon
        .submit(vec![
            run_started(0, run),
            approval(10, run, first, None),
            approval(20, run, second, None),
        ])
        .await;
    let answer = decide_as(&other, "", first, "approved", "today").await;
    assert_eq!(answer.status, 200);
    let told = next(&mut of_first).await.unwrap();
    assert_eq!(told.approval_id, first.as_bytes().to_vec());
    assert_eq!(told.status(), ApprovalStatus::Approved);
    assert_eq!(told.notes.as_deref(), Some("today"));
    assert!(told.decided_at.is_some());
    assert_eq!(next(&mut of_first).await, None);
    assert_eq!(
        next(&mut of_all).await.unwrap().approval_id,
        told.approval_id
    );
    sqlx::query("UPDATE approvals SET status = 'rejected', decided_at = now() WHERE id = $1")
        .bind(second)
        .execute(&mut conn)
        .await
        .unwrap();
    let told = next(&mut of_all).await.unwrap();
    assert_eq!(told.approval_id, second.as_bytes().to_vec());
    assert_eq!(told.status(), ApprovalStatus::Rejected);
    daemon
        .submit(vec![approval(30, run, late, Some(past))])
        .await;
    let told = next(&mut of_all).await.unwrap();
    assert_eq!(told.approval_id, late.as_bytes().to_vec());
    assert_eq!(told.status(), ApprovalStatus::Expired);
    // Somebody who comes later.
    let mut again = watch(&daemon, None, of_run(run)).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(next(&mut again).await.unwrap().approval_id);
    }
    for approval in [first, second, late] {
        assert!(seen.contains(&id(approval)), "{seen:?}");
    }
    daemon.terminate().await;
    let ended = tokio::time::timeout(Duration::from_secs(60), of_all.message()).await;
    assert_eq!(ended.unwrap().unwrap_err().code(), Code::Unavailable);
    other.finish().await;
}

/// Scenario: agents with keys of two customers watch the run of the first; requests that name nothing,
/// both, and no id; a key that only reads.
/// Guarantees: an agent is told decisions of its customer only; the others are refused.
#[tokio::test]
async fn a_stream_tells_no_decisions_of_other_customers() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let customers = [new_id(), new_id()];
    for customer in customers {
        sqlx::query("INSERT INTO customers (id, name, arr) VALUES ($1, 'c', 1)")
            .bind(customer)
            .execute(&mut conn)
            .await
            .unwrap();
    }
    let key = |name: &str, args: &[&str]| {
        runtraced(
            database.url(),
            &[&["keys", "create", "--name", name], args].concat(),
        )
    };
    let [own, strange] = customers.map(|customer| key("w", &["--customer", &customer.to_string()]));
    let reading = key("r", &["--read"]);
    let (run, asked) = (new_id(), new_id());
    let client = daemon.client().await.with_key(&own).unwrap();
    client
        .submit(vec![run_started(0, run), approval(10, run, asked, None)])
        .await
        .unwrap();
    let mut seen = watch(&daemon, Some(&own), of_run(run)).await.unwrap();
    let mut unseen = watch(&daemon, Some(&strange), of_run(run)).await.unwrap();
    let answer = decide_as(&daemon, "", asked, "rejected", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        next(&mut seen).await.unwrap().status(),
        ApprovalStatus::Rejected
    );
    let nothing = tokio::time::timeout(Duration::from_secs(2), unseen.message()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    for (watched, code) in [
        (WatchApprovalsRequest::default(), Code::InvalidArgument),
        (
            WatchApprovalsRequest {
                approval_id: id(asked),
                run_id: id(run),
            },
            Code::InvalidArgument,
        ),
        (
            WatchApprovalsRequest {
                approval_id: vec![1, 2, 3].into(),
                ..Default::default()
            },
            Code::InvalidArgument,
        ),
    ] {
        let refused = watch(&daemon, None, watched).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused:?}");
    }
    let refused = watch(&daemon, Some(&reading), of_run(run))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    drop((seen, unseen));
    daemon.finish().await;
}
