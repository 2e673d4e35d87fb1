//! What spans become, and what becomes of them when there is no room.

mod delivery;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tonic::Status;
use tracing::field::Empty;
use tracing::{error, info, info_span};
use tracing_subscriber::prelude::*;

use super::buffer::MAX_WAITING_BYTES;
use super::deliver::{MAX_BATCH_BYTES, MAX_BATCH_EVENTS};
use super::*;
use crate::StreamOptions;
use crate::proto::event::Event as Body;
use crate::proto::{EndStatus, Event, RunEnded, StepDetails, StepEnded, StepType};
use crate::tests::fake::{FakeDaemon, StreamPlan};
use crate::tests::{HASTY, QUICK, connect};

/// Runs something under the layer; what it told, and how much was dropped.
fn told_with(max_waiting: usize, work: impl FnOnce()) -> (Vec<Body>, u64) {
    let (buffer, mut messages) = SpanBuffer::new(max_waiting);
    let dropped = Arc::clone(&buffer.dropped);
    let subscriber = tracing_subscriber::registry().with(SpanLayer(buffer));
    tracing::subscriber::with_default(subscriber, work);
    let mut bodies = Vec::new();
    while let Ok(SpanMessage::Events(events, _)) = messages.try_recv() {
        for event in events {
            assert!(event.time.is_some());
            bodies.push(event.event.unwrap());
        }
    }
    (bodies, dropped.load(Relaxed))
}

fn told(work: impl FnOnce()) -> Vec<Body> {
    let (bodies, dropped) = told_with(100, work);
    assert_eq!(dropped, 0);
    bodies
}

/// The step of that name.
fn step<'a>(bodies: &'a [Body], name: &str) -> (&'a StepEnded, &'a StepDetails) {
    let steps = bodies.iter().filter_map(|body| match body {
        Body::StepEnded(step) => Some((step, step.details.as_ref().unwrap())),
        _ => None,
    });
    let mut named = steps.filter(|(_, details)| details.name.as_deref() == Some(name));
    named.next().unwrap()
}

fn run_ended(bodies: &[Body]) -> &RunEnded {
    match bodies.last() {
        Some(Body::RunEnded(end)) => end,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_is_told_at_once_and_steps_when_they_end() {
    let (buffer, mut messages) = SpanBuffer::new(10);
    let subscriber = tracing_subscriber::registry().with(SpanLayer(buffer));
    tracing::subscriber::with_default(subscriber, || {
        let run = info_span!(
            "brief",
            run.agent = "writer",
            run.type = "assistant",
            run.input = "Write",
            run.session = "0194bb0b-0000-7000-8000-0000000000aa",
            team = "docs"
        );
        let Ok(SpanMessage::Events(events, _)) = messages.try_recv() else {
            panic!("no start");
        };
        let Some(Body::RunStarted(start)) = &events[0].event else {
            panic!("{events:?}");
        };
        assert_eq!(
            (start.agent_id.as_str(), start.agent_type.as_str()),
            ("writer", "assistant")
        );
        assert_eq!(
            (start.name.as_deref(), start.input.as_deref()),
            (Some("brief"), Some("Write"))
        );
        assert_eq!(start.session_id[..2], [0x01, 0x94]);
        assert!(
            start
                .metadata_json
                .as_deref()
                .unwrap()
                .contains(r#""team":"docs""#)
        );
        let step = info_span!(parent: &run, "look");
        drop(run);
        assert!(messages.try_recv().is_err(), "the step keeps its run open");
        drop(step);
        assert_eq!(messages.len(), 2);
    });
}

#[test]
fn spans_below_a_run_are_a_tree_of_steps() {
    let bodies = told(|| {
        let run = info_span!("run", run.agent = "a", run.output = Empty).entered();
        info_span!("outer", step.type = "tool_call", step.input = r#"{"q": 1}"#, step.output = "{no")
            .in_scope(|| {
                let call = info_span!(
                    "call",
                    gen_ai.request.model = "large-1",
                    gen_ai.usage.input_tokens = 900,
                    gen_ai.usage.output_tokens = Empty,
                    temperature = 0.5,
                    odd = f64::NAN
                );
                call.record("gen_ai.usage.output_tokens", 40_u64);
            });
        info_span!("third", step.type = "guardrail", step.name = "check")
            .in_scope(|| info!("hello"));
        run.record("run.output", "done");
    });
    assert_eq!(bodies.len(), 6);
    let (outer, details) = step(&bodies, "outer");
    assert_eq!(details.step_type(), StepType::ToolCall);
    assert!(details.parent_step_id.is_empty());
    assert_eq!(details.input_json.as_deref(), Some(r#"{"q": 1}"#));
    assert_eq!(outer.output_json.as_deref(), Some(r#""{no""#));
    assert_eq!(details.metadata_json, None);
    assert_eq!(outer.status(), EndStatus::Completed);
    assert!(outer.started_at.is_some() && outer.duration_ms.is_some() && !outer.announced);

    let (call, details) = step(&bodies, "call");
    assert_eq!(details.step_type(), StepType::LlmCall);
    assert_eq!(details.parent_step_id, outer.step_id);
    assert_eq!(
        details.metadata_json.as_deref(),
        Some(r#"{"odd":null,"temperature":0.5}"#)
    );
    let Some(Body::TokenCount(tokens)) = bodies.iter().find(|b| matches!(b, Body::TokenCount(_)))
    else {
        panic!("{bodies:?}");
    };
    assert_eq!((tokens.input, tokens.output), (Some(900), Some(40)));
    assert_eq!(tokens.step_id, call.step_id);
    assert_eq!(tokens.model.as_deref(), Some("large-1"));

    let (_, details) = step(&bodies, "check");
    assert_eq!(
        (details.step_type(), details.kind.as_deref()),
        (StepType::Other, Some("guardrail"))
    );
    let end = run_ended(&bodies);
    assert_eq!(
        (end.run_id.clone(), end.output.as_deref()),
        (call.run_id.clone(), Some("done"))
    );
    assert_eq!(end.status(), EndStatus::Completed);
}

#[test]
fn a_span_fails_by_its_field_its_own_error_event_or_a_panic() {
    let bodies = told(|| {
        let _run = info_span!("run", run.agent = "a").entered();
        info_span!("field", error = "no such file").in_scope(|| ());
        info_span!("not", error = false, otel.status_code = "OK").in_scope(|| ());
        info_span!("otel", otel.status_code = "ERROR").in_scope(|| ());
        info_span!("mute").in_scope(|| error!(code = 3));
        let outer = info_span!("outer");
        outer.in_scope(|| info_span!("event").in_scope(|| error!(error = "timeout", "gave up")));
        let panics = || info_span!("panics").in_scope(|| panic!("on purpose"));
        std::panic::catch_unwind(panics).unwrap_err();
    });
    for (name, error) in [
        ("field", Some("no such file")),
        ("not", None),
        ("otel", Some("failed")),
        ("mute", Some("failed")),
        ("outer", None),
        ("event", Some("gave up: timeout")),
        ("panics", Some("panicked")),
    ] {
        let (step, _) = step(&bodies, name);
        assert_eq!(step.error.as_deref(), error, "{name}");
        assert_eq!(
            step.status() == EndStatus::Failed,
            error.is_some(),
            "{name}"
        );
    }
    assert_eq!(run_ended(&bodies).status(), EndStatus::Completed);
}

#[test]
fn a_run_reports_totals_and_its_failure() {
    let bodies = told(|| {
        let _run = info_span!(
            "run",
            run.agent = "a",
            error = "no key",
            gen_ai.usage.input_tokens = 7,
            gen_ai.usage.output_tokens = -1
        )
        .entered();
    });
    let end = run_ended(&bodies);
    assert_eq!(
        (end.status(), end.error.as_deref()),
        (EndStatus::Failed, Some("no key"))
    );
    assert_eq!(
        (end.reported_tokens_input, end.reported_tokens_output),
        (Some(7), None)
    );
    // What no count can be is kept all the same.
    let metadata = r#"{"gen_ai.usage.output_tokens":-1}"#;
    assert_eq!(end.metadata_json.as_deref(), Some(metadata));
}

#[test]
fn a_run_below_a_run_is_its_child_and_nothing_is_told_outside() {
    let bodies = told(|| {
        let _server = info_span!("request", user = "dana").entered();
        info_span!("sql").in_scope(|| error!("away"));
        info_span!("outer", run.agent = "a").in_scope(|| {
            info_span!("step").in_scope(|| {
                info_span!("inner", run.agent = "b").in_scope(|| {
                    info_span!("below").in_scope(|| ());
                });
            });
        });
    });
    assert_eq!(bodies.len(), 6);
    let starts: Vec<_> = bodies
        .iter()
        .filter_map(|body| match body {
            Body::RunStarted(start) => Some(start),
            _ => None,
        })
        .collect();
    assert!(starts[0].parent_run_id.is_empty());
    assert_eq!(starts[1].parent_run_id, starts[0].run_id);
    let (below, details) = step(&bodies, "below");
    assert_eq!(below.run_id, starts[1].run_id);
    assert!(details.parent_step_id.is_empty(), "a step of another run");
}

/// A value whose text cannot be had without logging.
struct Talkative;

impl std::fmt::Debug for Talkative {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        error!("while formatting");
        f.write_str("said")
    }
}

#[test]
fn values_that_log_while_they_are_formatted_lock_nothing() {
    let bodies = told(|| {
        let _run = info_span!("run", run.agent = "a").entered();
        let step = info_span!("step", value = Empty).entered();
        step.record("value", tracing::field::debug(Talkative));
        error!(value = ?Talkative, "seen");
    });
    let (step, details) = step(&bodies, "step");
    assert_eq!(
        details.metadata_json.as_deref(),
        Some(r#"{"value":"said"}"#)
    );
    assert_eq!(step.error.as_deref(), Some("seen"));
}

#[test]
fn a_full_buffer_drops_steps_counts_them_and_takes_ends_of_runs() {
    let (bodies, dropped) = told_with(16, || {
        let _run = info_span!("run", run.agent = "a").entered();
        for _ in 0..100 {
            info_span!("call", gen_ai.usage.input_tokens = 1).in_scope(|| ());
        }
        info_span!("inner", run.agent = "b").in_scope(|| ());
    });
    // 14 of 16 places: the start of the run and 13 steps, each of two events. The rest
    // is for the other run and the end of the first, of which one finds no place.
    assert_eq!(bodies.len(), 1 + 13 * 2 + 2);
    assert_eq!(dropped, (100 - 13) * 2 + 1);
}

#[test]
fn the_bytes_that_wait_are_bounded() {
    let large = "x".repeat(MAX_WAITING_BYTES / 4);
    let (bodies, dropped) = told_with(1_000, || {
        let _run = info_span!("run", run.agent = "a").entered();
        for _ in 0..10 {
            info_span!("step", step.input = large).in_scope(|| ());
        }
    });
    assert_eq!((bodies.len(), dropped), (1 + 3 + 1, 7));
}

#[test]
fn the_smallest_buffer_keeps_a_place_for_ends_of_runs_and_has_one_for_steps() {
    for max_waiting in [0, 1, 2] {
        let (bodies, dropped) = told_with(max_waiting, || {
            let _run = info_span!("run", run.agent = "a").entered();
            info_span!("step").in_scope(|| ());
        });
        assert_eq!((bodies.len(), dropped), (2, 1));
        run_ended(&bodies);
    }
}

/// Scenario: steps end on many threads at once.
/// Guarantees: not one of them gets what is kept for starts and ends of runs.
#[test]
fn steps_of_many_threads_leave_the_last_eighth_alone() {
    for _ in 0..50 {
        let (buffer, mut messages) = SpanBuffer::new(64);
        let barrier = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    for _ in 0..64 {
                        buffer.offer(vec![Event::default()], true);
                    }
                });
            }
        });
        assert_eq!((messages.len(), buffer.dropped.load(Relaxed)), (56, 456));
        // Who takes one out gives its room back.
        drop(messages.try_recv().unwrap());
        for (of_a_step, count) in [(true, 56), (true, 56), (false, 57)] {
            buffer.offer(vec![Event::default()], of_a_step);
            assert_eq!(messages.len(), count);
        }
    }
}
