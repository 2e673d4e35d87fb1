//! The workloads `steps`, `tiny`, `huge`, `long` and `wide`: runs of a `RunStarted` and complete
//! steps, each sent once, at its end.

use super::{
    EPOCH_MS, RUN_INTERVAL_MS, SeededRandom, WorkloadKind, WorkloadSpec, event, timestamp,
};
use crate::proto::event::Event as Body;
use crate::proto::{EndStatus, Event, RunStarted, StepDetails, StepEnded, StepType};

/// Duration of every step.
const STEP_DURATION_MS: u64 = 30;

/// The number and size of a run's steps, and the order of the runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunLayout {
    steps_per_run: usize,
    input_bytes: usize,
    output_bytes: usize,
    /// Sends one event of each run in turn, instead of one run after the other.
    interleaved: bool,
}

impl RunLayout {
    pub(super) fn of(kind: WorkloadKind, rows: usize) -> Self {
        // With its other columns, a row of `steps` has 920 bytes.
        let steps = Self {
            steps_per_run: 20,
            input_bytes: 300,
            output_bytes: 450,
            interleaved: false,
        };
        match kind {
            WorkloadKind::Tiny => Self {
                input_bytes: 40,
                output_bytes: 60,
                ..steps
            },
            WorkloadKind::Huge => Self {
                input_bytes: 30_000,
                output_bytes: 70_000,
                ..steps
            },
            WorkloadKind::Long => Self {
                steps_per_run: rows,
                ..steps
            },
            WorkloadKind::Wide => Self {
                steps_per_run: 2,
                interleaved: true,
                ..steps
            },
            WorkloadKind::Steps
            | WorkloadKind::Agent
            | WorkloadKind::Otlp
            | WorkloadKind::History
            | WorkloadKind::Chat => steps,
        }
    }
}

/// The events of each stream. Runs are assigned to streams round-robin.
pub(super) fn streams(
    spec: &WorkloadSpec,
    layout: RunLayout,
    random: &mut SeededRandom,
) -> Vec<Vec<Event>> {
    let mut streams = vec![Vec::new(); spec.streams];
    let runs = spec.rows.div_ceil(layout.steps_per_run + 1);
    let all: Vec<Vec<Event>> = (0..runs).map(|n| run_events(n, layout, random)).collect();
    if layout.interleaved {
        for turn in 0..=layout.steps_per_run {
            for (number, run_events) in all.iter().enumerate() {
                streams[number % spec.streams].push(run_events[turn].clone());
            }
        }
    } else {
        for (number, run_events) in all.into_iter().enumerate() {
            streams[number % spec.streams].extend(run_events);
        }
    }
    streams
}

fn run_events(number: usize, layout: RunLayout, random: &mut SeededRandom) -> Vec<Event> {
    let began = EPOCH_MS + number as u64 * RUN_INTERVAL_MS;
    let run_id = random.id(began);
    let started = RunStarted {
        run_id: run_id.clone(),
        agent_id: "renewal-assistant".into(),
        agent_type: "orchestrator".into(),
        ..Default::default()
    };
    let mut events = vec![event(began, Body::RunStarted(started))];
    for step in 0..layout.steps_per_run as u64 {
        let at = began + step;
        let details = StepDetails {
            step_type: step_type(random).into(),
            name: Some("search_contracts".into()),
            model: Some("claude-opus".into()),
            input_json: Some(random.json("query", layout.input_bytes)),
            ..Default::default()
        };
        let ended = StepEnded {
            step_id: random.id(at),
            run_id: run_id.clone(),
            details: Some(details),
            status: EndStatus::Completed.into(),
            output_json: Some(random.json("result", layout.output_bytes)),
            started_at: Some(timestamp(at)),
            ..Default::default()
        };
        events.push(event(at + STEP_DURATION_MS, Body::StepEnded(ended)));
    }
    events
}

pub(super) fn step_type(random: &mut SeededRandom) -> StepType {
    match random.below(3) {
        0 => StepType::LlmCall,
        1 => StepType::ToolCall,
        _ => StepType::Thinking,
    }
}
