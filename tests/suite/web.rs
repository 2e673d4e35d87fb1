//! The page's API on the real daemon: what it shows, to whom, and how it holds up.

pub mod client;
mod costs;
mod counting;
mod deciding;
mod filters;
mod growing;
mod hostile;
mod live;
mod paths;
mod providers;
mod reading;
mod rights;
mod searching;
mod standing;
mod starving;
mod strangers;
mod sums;

use std::process::Command;

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, EndStatus, Event};
use uuid::Uuid;

use crate::support::events::{
    details, event, id, message, run_ended, run_started, started_with, step, tokens,
};

/// Runs the program on a database, and returns what it printed.
pub fn runtraced(database: &str, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_runtraced"))
        .args(args)
        .env("DATABASE_URL", database)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A finished run with a tool step, a message and tokens.
fn finished(millis: i64, run: Uuid, agent: &str, tool: &str) -> Vec<Event> {
    let [call, said, used] = [(); 3].map(|()| Uuid::now_v7());
    let mut called = step(millis + 10, millis + 60, run, call);
    if let Some(Body::StepEnded(ended)) = &mut called.event {
        ended.details = Some(proto::StepDetails {
            name: Some(tool.to_owned()),
            step_type: proto::StepType::ToolCall.into(),
            input_json: Some(format!("{{\"tool\":\"{tool}\"}}")),
            ..details("x")
        });
    }
    vec![
        started_with(run_started(millis, run), |start| {
            start.agent_id = agent.to_owned();
            start.name = Some(format!("{agent} {tool}"));
            start.metadata_json = Some(format!("{{\"team\":\"{tool}\",\"tags\":[\"t-{tool}\"]}}"));
        }),
        called,
        message(millis + 20, Some(run), None, said),
        tokens(millis + 30, run, used, 1_000, 50),
        run_ended(millis + 100, run, EndStatus::Completed),
    ]
}

/// A request for approval that expires at a time.
pub fn approval(
    millis: i64,
    run: Uuid,
    approval: Uuid,
    expires: Option<prost_types::Timestamp>,
) -> Event {
    event(
        millis,
        Body::ApprovalRequested(proto::ApprovalRequested {
            approval_id: id(approval),
            run_id: id(run),
            action_type: "send_email".into(),
            action_data_json: Some("{\"to\":\"dana@example.org\"}".into()),
            expires_at: expires,
            ..Default::default()
        }),
    )
}
