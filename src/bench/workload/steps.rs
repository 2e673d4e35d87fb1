//! Runs that are a start and complete steps, sent once at their end.

use super::{EPOCH_MS, Kind, Random, Shape, event, time};
use crate::proto::event::Event as Body;
use crate::proto::{EndStatus, Event, RunStarted, StepDetails, StepEnded, StepType};

/// Sizes of a run and its steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    steps_per_run: usize,
    input_bytes: usize,
    output_bytes: usize,
    /// All runs at once, a step of each in turn, instead of one after the other.
    interleaved: bool,
}

impl Form {
    pub(super) fn of(kind: Kind, rows: usize) -> Self {
        // With names, ids, times and statuses a row of `steps` is 920 bytes.
        let steps = Self {
            steps_per_run: 20,
            input_bytes: 300,
            output_bytes: 450,
            interleaved: false,
        };
        match kind {
            Kind::Tiny => Self {
                input_bytes: 40,
                output_bytes: 60,
                ..steps
            },
            Kind::Huge => Self {
                input_bytes: 30_000,
                output_bytes: 70_000,
                ..steps
            },
            Kind::Long => Self {
                steps_per_run: rows,
                ..steps
            },
            Kind::Wide => Self {
                steps_per_run: 2,
                interleaved: true,
                ..steps
            },
            Kind::Steps | Kind::Agent | Kind::Otlp => steps,
        }
    }
}

/// The events of each stream. Runs go to the streams in turn.
pub(super) fn streams(shape: &Shape, form: Form, random: &mut Random) -> Vec<Vec<Event>> {
    let mut streams = vec![Vec::new(); shape.streams];
    let runs = shape.rows.div_ceil(form.steps_per_run + 1);
    let all: Vec<Vec<Event>> = (0..runs).map(|n| run(n, form, random)).collect();
    if form.interleaved {
        for turn in 0..=form.steps_per_run {
            for (number, run) in all.iter().enumerate() {
                streams[number % shape.streams].push(run[turn].clone());
            }
        }
    } else {
        for (number, run) in all.into_iter().enumerate() {
            streams[number % shape.streams].extend(run);
        }
    }
    streams
}

fn run(number: usize, form: Form, random: &mut Random) -> Vec<Event> {
    let began = EPOCH_MS + number as u64 * 10;
    let run_id = random.id(began);
    let started = RunStarted {
        run_id: run_id.clone(),
        agent_id: "renewal-assistant".into(),
        agent_type: "orchestrator".into(),
        ..Default::default()
    };
    let mut events = vec![event(began, Body::RunStarted(started))];
    for step in 0..form.steps_per_run as u64 {
        let at = began + step;
        let details = StepDetails {
            step_type: step_type(random).into(),
            name: Some("search_contracts".into()),
            model: Some("claude-opus".into()),
            input_json: Some(random.json("query", form.input_bytes)),
            ..Default::default()
        };
        let ended = StepEnded {
            step_id: random.id(at),
            run_id: run_id.clone(),
            details: Some(details),
            status: EndStatus::Completed.into(),
            output_json: Some(random.json("result", form.output_bytes)),
            started_at: Some(time(at)),
            ..Default::default()
        };
        events.push(event(at + 30, Body::StepEnded(ended)));
    }
    events
}

pub(super) fn step_type(random: &mut Random) -> StepType {
    match random.below(3) {
        0 => StepType::LlmCall,
        1 => StepType::ToolCall,
        _ => StepType::Thinking,
    }
}
