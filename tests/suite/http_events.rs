//! Events as JSON over plain HTTP: what docs/PROTOCOL.md says under "Plain HTTP".

mod answers;
mod bounded;
mod decisions;
mod durable;
mod rights;
mod texts;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::otlp::{Answer, post};

/// What curl calls a body with `--data-binary`.
const AS_CURL: &str = "Content-Type: application/x-www-form-urlencoded";

/// The answer when nothing was repaired, refused or spooled.
fn taken(accepted: u64, duplicate: u64) -> Value {
    json!({
        "accepted": accepted, "duplicate": duplicate, "refused": [], "durability": "COMMITTED",
        "spooled": 0, "repaired": { "nuls": 0, "surrogates": 0 }
    })
}

async fn send(daemon: &Daemon, body: &str) -> Answer {
    post(daemon, "/v1/events", &[AS_CURL], body.as_bytes()).await
}

/// The same with headers and any bytes.
async fn send_with(daemon: &Daemon, headers: &[&str], body: &[u8]) -> Answer {
    post(daemon, "/v1/events", headers, body).await
}

/// An event of a run: its start, a step and its end, by `millis` after 2026 began.
fn started(run: Uuid) -> Value {
    json!({ "time": "2026-01-01T00:00:00Z", "runStarted": { "runId": run, "agentId": "a" } })
}

fn stepped(run: Uuid, step: Uuid, output: Value) -> Value {
    json!({ "time": "2026-01-01T00:00:02Z", "step_ended": {
        "step_id": step, "run_id": run, "status": "END_STATUS_COMPLETED",
        "started_at": "2026-01-01T00:00:01Z",
        "details": { "step_type": "STEP_TYPE_TOOL_CALL", "name": "look_up" },
        "output_json": output
    }})
}

fn ended(run: Uuid) -> Value {
    json!({ "time": "2026-01-01T00:00:03Z", "runEnded": {
        "runId": run, "status": "END_STATUS_COMPLETED", "output": "done"
    }})
}

/// A whole run with one step, and its id.
fn whole_run() -> (Uuid, Vec<Value>) {
    let run = new_id();
    let step = stepped(run, new_id(), json!({ "found": [1, "two"] }));
    (run, vec![started(run), step, ended(run)])
}

/// One event a line.
fn lines(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

/// Lines and codes of the refused events.
fn refusals(answer: &Answer) -> Vec<(u64, String)> {
    let answer = answer.json();
    let refused = answer["refused"].as_array().unwrap().iter();
    refused
        .map(|one| {
            (
                one["line"].as_u64().unwrap(),
                one["code"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

fn refusal(line: u64, code: &str) -> (u64, String) {
    (line, code.to_owned())
}
