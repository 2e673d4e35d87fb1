//! Events, briefly.

use bytes::Bytes;
use prost_types::Timestamp;
use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, EndStatus, Event, MessageRole, StepType};
use uuid::Uuid;

/// 2026-01-01T00:00:00Z.
pub const BASE_SECONDS: i64 = 1_767_225_600;

pub fn id(id: Uuid) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// So many milliseconds after 2026 began.
pub fn at(millis: i64) -> Timestamp {
    Timestamp {
        seconds: BASE_SECONDS + millis.div_euclid(1_000),
        nanos: i32::try_from(millis.rem_euclid(1_000)).unwrap() * 1_000_000,
    }
}

pub fn event(millis: i64, body: Body) -> Event {
    Event {
        time: Some(at(millis)),
        event: Some(body),
    }
}

pub fn run_started(millis: i64, run: Uuid) -> Event {
    let started = proto::RunStarted {
        run_id: id(run),
        agent_id: "agent".into(),
        agent_type: "test".into(),
        ..Default::default()
    };
    event(millis, Body::RunStarted(started))
}

pub fn run_ended(millis: i64, run: Uuid, status: EndStatus) -> Event {
    let ended = proto::RunEnded {
        run_id: id(run),
        status: status.into(),
        ..Default::default()
    };
    event(millis, Body::RunEnded(ended))
}

pub fn heartbeat(millis: i64, run: Uuid) -> Event {
    event(
        millis,
        Body::Heartbeat(proto::Heartbeat { run_id: id(run) }),
    )
}

pub fn details(name: &str) -> proto::StepDetails {
    proto::StepDetails {
        step_type: StepType::ToolCall.into(),
        name: Some(name.into()),
        input_json: Some("{\"q\":1}".into()),
        ..Default::default()
    }
}

pub fn step_started(millis: i64, run: Uuid, step: Uuid) -> Event {
    let started = proto::StepStarted {
        step_id: id(step),
        run_id: id(run),
        details: Some(details("tool")),
    };
    event(millis, Body::StepStarted(started))
}

/// The end of an announced step.
pub fn step_ended(millis: i64, run: Uuid, step: Uuid) -> Event {
    let ended = proto::StepEnded {
        step_id: id(step),
        run_id: id(run),
        status: EndStatus::Completed.into(),
        output_json: Some("\"out\"".into()),
        announced: true,
        ..Default::default()
    };
    event(millis, Body::StepEnded(ended))
}

/// A step in one event.
pub fn step(started: i64, ended: i64, run: Uuid, step: Uuid) -> Event {
    let mut event = step_ended(ended, run, step);
    if let Some(Body::StepEnded(end)) = &mut event.event {
        end.details = Some(details("tool"));
        end.started_at = Some(at(started));
        end.announced = false;
    }
    event
}

pub fn message(millis: i64, run: Option<Uuid>, session: Option<Uuid>, message: Uuid) -> Event {
    let appended = proto::MessageAppended {
        message_id: id(message),
        run_id: run.map(id).unwrap_or_default(),
        session_id: session.map(id).unwrap_or_default(),
        role: MessageRole::User.into(),
        content: Some("hello".into()),
        ..Default::default()
    };
    event(millis, Body::MessageAppended(appended))
}

/// A message of a run, with so many bytes of text.
pub fn long_message(run: Uuid, bytes: usize) -> Event {
    let mut event = message(0, Some(run), None, new_id());
    if let Some(Body::MessageAppended(message)) = &mut event.event {
        message.content = Some("x".repeat(bytes));
    }
    event
}

pub fn tokens(millis: i64, run: Uuid, count: Uuid, input: i64, output: i64) -> Event {
    let count = proto::TokenCount {
        token_count_id: id(count),
        run_id: id(run),
        input: Some(input),
        output: Some(output),
        ..Default::default()
    };
    event(millis, Body::TokenCount(count))
}

/// A score of a run.
pub fn score(millis: i64, run: Uuid, score: Uuid, value: f64) -> Event {
    let added = proto::ScoreAdded {
        score_id: id(score),
        run_id: id(run),
        name: "correctness".into(),
        value: Some(value),
        ..Default::default()
    };
    event(millis, Body::ScoreAdded(added))
}

/// A count that repeats others.
pub fn rollup(millis: i64, run: Uuid, count: Uuid, input: i64, output: i64) -> Event {
    let mut event = tokens(millis, run, count, input, output);
    if let Some(Body::TokenCount(count)) = &mut event.event {
        count.rollup = true;
    }
    event
}

pub fn session_titled(millis: i64, session: Uuid, title: &str) -> Event {
    let upsert = proto::SessionUpsert {
        session_id: id(session),
        title: Some(title.into()),
        ..Default::default()
    };
    event(millis, Body::SessionUpsert(upsert))
}

pub fn approval_requested(millis: i64, run: Uuid, approval: Uuid) -> Event {
    let requested = proto::ApprovalRequested {
        approval_id: id(approval),
        run_id: id(run),
        action_type: "send_email".into(),
        ..Default::default()
    };
    event(millis, Body::ApprovalRequested(requested))
}

/// Changes an event's inner message, if it is a start of a run.
pub fn started_with(mut event: Event, change: impl FnOnce(&mut proto::RunStarted)) -> Event {
    if let Some(Body::RunStarted(started)) = &mut event.event {
        change(started);
    }
    event
}

/// The same for the end of a run.
pub fn ended_with(mut event: Event, change: impl FnOnce(&mut proto::RunEnded)) -> Event {
    if let Some(Body::RunEnded(ended)) = &mut event.event {
        change(ended);
    }
    event
}

/// So many steps of a run, each told at once.
pub fn steps(run: Uuid, count: usize) -> Vec<Event> {
    (0..count).map(|_| step(1, 2, run, new_id())).collect()
}
