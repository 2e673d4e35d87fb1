//! What a person decided stands, and is what the person saw.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, ApprovalStatus, Event};
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::{Answer, decide_as, get, get_as, post_as};
use super::{approval, runtraced};
use crate::support::daemon::Daemon;
use crate::support::events::{event, id, new_id, run_started, started_with};
use crate::support::pg;

/// A minute from now, as tests count time: milliseconds since 2026 began.
fn later() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap() - 1_767_225_600_000 + 60_000
}

fn decided_by_event(millis: i64, run: Uuid, approval: Uuid, status: ApprovalStatus) -> Event {
    event(
        millis,
        Body::ApprovalDecided(proto::ApprovalDecided {
            approval_id: id(approval),
            run_id: id(run),
            status: status.into(),
            notes: Some("decided by the agent".into()),
            ..Default::default()
        }),
    )
}

/// A request to pay an amount.
fn refund(millis: i64, run: Uuid, asked: Uuid, amount: u32) -> Event {
    let mut event = approval(millis, run, asked, None);
    if let Some(Body::ApprovalRequested(request)) = &mut event.event {
        request.action_data_json = Some(json!({ "refund": amount }).to_string());
    }
    event
}

async fn seen(daemon: &Daemon, approval: Uuid) -> Value {
    let answer = get(daemon, &format!("/api/approvals/{approval}")).await;
    answer.json()["approval"].clone()
}

async fn decide(daemon: &Daemon, approval: Uuid, decision: Value) -> Answer {
    let path = format!("/api/approvals/{approval}/decision");
    post_as(daemon, "", &path, &decision.to_string()).await
}

/// Scenario: a person rejects a request. The agent then reports with its own key that it was approved,
/// at a later time, and sends the request again with other arguments.
/// Guarantees: the decision, its note, whose it is and what was decided stay as they were. Decisions that
/// only events tell are still ordered by their time.
#[tokio::test]
async fn no_event_overturns_what_a_person_decided() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let [run, asked, told] = [(); 3].map(|()| new_id());
    daemon
        .submit(vec![
            run_started(0, run),
            refund(10, run, asked, 5),
            refund(10, run, told, 5),
            decided_by_event(20, run, told, ApprovalStatus::Rejected),
        ])
        .await;
    let answer = decide_as(&daemon, "", asked, "rejected", "too much").await;
    assert_eq!(answer.status, 200);
    let before = seen(&daemon, asked).await;
    for approval in [asked, told] {
        daemon
            .submit(vec![decided_by_event(
                later(),
                run,
                approval,
                ApprovalStatus::Approved,
            )])
            .await;
        daemon
            .submit(vec![refund(later(), run, approval, 5_000)])
            .await;
    }
    let after = seen(&daemon, asked).await;
    assert_eq!(after, before);
    assert_eq!(
        (&after["status"], &after["notes"], &after["decided_by_name"]),
        (
            &"rejected".into(),
            &"too much".into(),
            &"operator on the page".into()
        )
    );
    let told = seen(&daemon, told).await;
    assert_eq!(told["status"], "approved", "no person decided this one");
    daemon.finish().await;
}

/// Scenario: a person looks at a request for $5; the agent asks for $5000 under the same id; the person
/// approves what was shown.
/// Guarantees: the answer is 409 with the request as it is now, and nothing is decided; what is shown now
/// can be approved. A request that is sent again unchanged stays what was shown.
#[tokio::test]
async fn nobody_decides_what_was_not_shown() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let [run, asked] = [(); 2].map(|()| new_id());
    daemon
        .submit(vec![run_started(0, run), refund(10, run, asked, 5)])
        .await;
    let first = seen(&daemon, asked).await["revision"].clone();
    daemon.submit(vec![refund(20, run, asked, 5_000)]).await;
    let yes = |shown: &Value| json!({"decision": "approved", "shown": shown});
    let refused = decide(&daemon, asked, yes(&first)).await;
    let body = refused.json();
    assert_eq!((refused.status, &body["code"]), (409, &"changed".into()));
    assert_eq!(body["approval"]["action_data"], "{\"refund\": 5000}");
    assert_eq!(body["approval"]["status"], "pending");
    daemon.submit(vec![refund(30, run, asked, 5_000)]).await;
    let now = &body["approval"]["revision"];
    assert_eq!(decide(&daemon, asked, yes(now)).await.status, 200);
    daemon.finish().await;
}

/// Scenario: the operator approves on the command line: without `--shown`; then with that of the request
/// as it was before the agent changed it; then with that of the request as it is.
/// Guarantees: the first two print the whole request and decide nothing; the third decides, and says who.
#[tokio::test]
async fn the_command_line_decides_what_it_has_shown() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let [run, asked] = [(); 2].map(|()| new_id());
    daemon
        .submit(vec![run_started(0, run), refund(10, run, asked, 5)])
        .await;
    let approve = |shown: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runtraced"));
        command.args(["approvals", "approve", &asked.to_string(), "--note", "fine"]);
        command.args(shown.map(|shown| ["--shown", shown]).iter().flatten());
        let output = command
            .env("DATABASE_URL", database.url())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let revision = |error: &str| error.trim().rsplit(' ').next().unwrap().to_owned();
    let (code, printed, error) = approve(None);
    assert_eq!(code, Some(1), "{error}");
    assert!(printed.contains("{\"refund\": 5}"), "{printed}");
    let first = revision(&error);
    daemon.submit(vec![refund(20, run, asked, 5_000)]).await;
    let (code, printed, error) = approve(Some(&first));
    assert_eq!(code, Some(1), "{error}");
    assert!(printed.contains("{\"refund\": 5000}"), "{printed}");
    assert_eq!(seen(&daemon, asked).await["status"], "pending");
    let (code, printed, error) = approve(Some(&revision(&error)));
    assert_eq!(
        (code, printed),
        (Some(0), format!("{asked} approved\n")),
        "{error}"
    );
    let decided = seen(&daemon, asked).await;
    assert_eq!(
        (&decided["notes"], &decided["decided_by_name"]),
        (&"fine".into(), &"operator on the command line".into())
    );
    daemon.finish().await;
}

/// Scenario: two people decide differently at the same time, many times; a key of one customer that may
/// decide is used on an approval of another.
/// Guarantees: exactly one of two decisions is made, and the other person is told which; the key decides
/// nothing and learns nothing.
#[tokio::test]
async fn one_of_two_decisions_at_the_same_time_is_made() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let run = new_id();
    daemon.submit(vec![run_started(0, run)]).await;
    for _ in 0..10 {
        let asked = new_id();
        daemon.submit(vec![refund(10, run, asked, 5)]).await;
        let (one, other) = tokio::join!(
            decide_as(&daemon, "", asked, "approved", ""),
            decide_as(&daemon, "", asked, "rejected", ""),
        );
        let mut both = [one.status, other.status];
        both.sort_unstable();
        assert_eq!(both, [200, 409]);
        assert_eq!(
            one.json()["approval"]["status"],
            other.json()["approval"]["status"]
        );
    }
    let mut conn = database.connect().await;
    let customers = [new_id(), new_id()];
    for customer in customers {
        sqlx::query("INSERT INTO customers (id, name, arr) VALUES ($1, 'c', 1)")
            .bind(customer)
            .execute(&mut conn)
            .await
            .unwrap();
    }
    let [own, strange] = customers.map(|customer| {
        let customer = customer.to_string();
        let args = ["keys", "create", "--name", "d", "--decide", "--customer"];
        runtraced(database.url(), &[&args[..], &[&customer]].concat())
    });
    let [run, asked] = [(); 2].map(|()| new_id());
    let start = started_with(run_started(0, run), |start| {
        start.customer_id = id(customers[0]);
    });
    daemon.submit(vec![start, refund(10, run, asked, 5)]).await;
    let one = format!("/api/approvals/{asked}");
    // Until the daemon knows a key, its owner is the operator of this machine.
    for key in [&own, &strange] {
        while get_as(&daemon, key, "/api/me").await.json()["reader"] != "customer" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    assert_eq!(get_as(&daemon, &strange, &one).await.status, 404);
    let answer = decide_as(&daemon, &strange, asked, "approved", "").await;
    assert_eq!(answer.status, 404);
    assert_eq!(seen(&daemon, asked).await["status"], "pending");
    let answer = decide_as(&daemon, &own, asked, "approved", "").await;
    assert_eq!(answer.status, 200);
    daemon.finish().await;
}

/// Scenario: a step's output and an approval's arguments are long texts of emoji, which a browser counts as
/// two characters each, with something at the very end.
/// Guarantees: what follows is asked for with the `next` of each answer, until it is null; joined, the parts
/// are the whole.
#[tokio::test]
async fn parts_of_a_text_join_without_a_seam() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let [run, asked] = [(); 2].map(|()| new_id());
    let data = json!({ "a": "😀".repeat(600_000), "z": "attacker" });
    let mut request = approval(10, run, asked, None);
    if let Some(Body::ApprovalRequested(request)) = &mut request.event {
        request.action_data_json = Some(data.to_string());
    }
    let outcome = daemon.submit(vec![run_started(0, run), request]).await;
    assert_eq!(outcome.refused, []);
    let shown = seen(&daemon, asked).await;
    let mut text = shown["action_data"].as_str().unwrap().to_owned();
    let mut next = shown["action_data_next"].clone();
    let mut parts = 1;
    while let Some(offset) = next.as_u64() {
        let path =
            format!("/api/runs/{run}/payload?item=approval&id={asked}&field=input&offset={offset}");
        let part = get(&daemon, &path).await.json()["fields"]["input"].clone();
        text.push_str(part["text"].as_str().unwrap());
        assert_eq!(part["cut"], part["next"].is_u64());
        next = part["next"].clone();
        parts += 1;
    }
    assert_eq!(parts, 4);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), data);
    daemon.finish().await;
}
