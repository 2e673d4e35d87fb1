//! Runs of 20 complete steps, about 920 bytes of row each.

use bytes::Bytes;
use prost_types::Timestamp;
use runtraced::proto::event::Event as Body;
use runtraced::proto::{EndStatus, Event, RunStarted, StepDetails, StepEnded, StepType};
use uuid::Uuid;

pub const STEPS_PER_RUN: usize = 20;
const INPUT_BYTES: usize = 300;
const OUTPUT_BYTES: usize = 450;

/// One run: its start and its steps.
pub struct Run {
    pub events: Vec<Event>,
}

pub fn runs(steps: usize) -> Vec<Run> {
    (0..steps.div_ceil(STEPS_PER_RUN))
        .map(|number| run(number, STEPS_PER_RUN.min(steps - number * STEPS_PER_RUN)))
        .collect()
}

fn run(number: usize, steps: usize) -> Run {
    let id = Uuid::now_v7();
    let start = Timestamp {
        seconds: 1_767_225_600 + i64::try_from(number).unwrap(),
        nanos: 0,
    };
    let started = RunStarted {
        run_id: Bytes::copy_from_slice(id.as_bytes()),
        agent_id: "renewal-assistant".into(),
        agent_type: "orchestrator".into(),
        ..Default::default()
    };
    let mut events = vec![Event {
        time: Some(start),
        event: Some(Body::RunStarted(started)),
    }];
    events.extend((0..steps).map(|step| self::step(id, start, step)));
    Run { events }
}

fn step(run: Uuid, start: Timestamp, number: usize) -> Event {
    let millis = i32::try_from(number).unwrap() * 40 * 1_000_000;
    let details = StepDetails {
        step_type: if number.is_multiple_of(3) {
            StepType::LlmCall
        } else {
            StepType::ToolCall
        }
        .into(),
        name: Some("search_contracts".into()),
        model: Some("claude-opus".into()),
        input_json: Some(json("query", number, INPUT_BYTES)),
        ..Default::default()
    };
    let ended = StepEnded {
        step_id: Bytes::copy_from_slice(Uuid::now_v7().as_bytes()),
        run_id: Bytes::copy_from_slice(run.as_bytes()),
        details: Some(details),
        status: EndStatus::Completed.into(),
        output_json: Some(json("result", number, OUTPUT_BYTES)),
        started_at: Some(Timestamp {
            nanos: millis,
            ..start
        }),
        ..Default::default()
    };
    let time = Timestamp {
        nanos: millis + 30_000_000,
        ..start
    };
    Event {
        time: Some(time),
        event: Some(Body::StepEnded(ended)),
    }
}

/// A small object with a text that does not compress to nothing.
fn json(key: &str, seed: usize, bytes: usize) -> String {
    let mut state = seed as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let text: String = (0..bytes - 40)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b'a' + ((state >> 59) % 26) as u8)
        })
        .collect();
    format!("{{\"{key}\":\"{text}\",\"rank\":{seed},\"ok\":true}}")
}
