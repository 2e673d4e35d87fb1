//! Tests the checks themselves: they accept rows that are made from the truth of
//! a capture, and they find every fault that is planted in such rows.

mod ideal;

use serde_json::json;
use uuid::Uuid;

use super::{
    corpus::{Capture, captures},
    fact::{Fact, Verdict},
    judge::judge,
    rows::{Rows, Session, Step},
};

#[test]
fn rows_made_from_the_truth_satisfy_every_check() {
    for capture in captures() {
        let verdicts = judge(capture, &ideal::rows(capture));
        for (fact, verdict) in &verdicts {
            assert_eq!(*verdict, Verdict::Held, "{} {fact:?}", capture.name());
        }
        assert!(verdicts.len() > 12, "{} {verdicts:?}", capture.name());
    }
}

#[test]
fn an_empty_database_fails_the_checks() {
    for capture in captures() {
        let verdicts = judge(capture, &Rows::default());
        let always = [Fact::Runs, Fact::LlmCalls];
        let by_the_root = [Fact::Status, Fact::Ended].into_iter();
        let by_the_root = by_the_root.filter(|_| capture.payload.has_root());
        for fact in always.into_iter().chain(by_the_root) {
            assert!(
                matches!(verdicts[&fact], Verdict::Lost(_)),
                "{} {fact:?}",
                capture.name()
            );
        }
    }
}

#[test]
fn facts_that_were_never_sent_are_not_lost() {
    for (name, fact, wanted_lost) in [
        ("langgraph-openinference/stream", Fact::InputTokens, false),
        ("langgraph-openinference/single", Fact::InputTokens, true),
        ("langfuse-sdk/single", Fact::InputTokens, true),
        ("mlflow-sdk/tools", Fact::InputTokens, true),
        ("llamaindex-openinference/tools", Fact::OutputTokens, false),
        ("agno-openinference/tools", Fact::CachedTokens, true),
        (
            "anthropic-openinference/thinking",
            Fact::ReasoningTokens,
            false,
        ),
        ("litellm-otel/single", Fact::Session, false),
        ("agno-openinference/session", Fact::Session, true),
        ("openai-agents-openinference/http500", Fact::Prompts, false),
        ("openai-otel-v2-legacy-events/single", Fact::Prompts, true),
        (
            "openai-otel-genai/responses_reasoning",
            Fact::Thinking,
            false,
        ),
        ("anthropic-openinference/thinking", Fact::Thinking, true),
        ("mlflow-sdk/tools", Fact::Agents, false),
    ] {
        let lost = match &judge(capture(name), &Rows::default())[&fact] {
            Verdict::Lost(_) => true,
            Verdict::NotSent => false,
            Verdict::Held => panic!("{name} {fact:?} held without any rows"),
        };
        assert_eq!(lost, wanted_lost, "{name} {fact:?}");
    }
}

/// A capture, the fact that a fault must violate, and the fault.
type Fault = (&'static str, Fact, fn(&mut Rows));

const HANDOFF: &str = "agno-openinference/handoff";
const TOOLS: &str = "agno-openinference/tools";
const SESSION: &str = "agno-openinference/session";
const FAILED: &str = "agno-openinference/http500";
const TOOL_ERROR: &str = "agno-openinference/toolerror";
const THINKING: &str = "anthropic-openinference/thinking";
const BARE: &str = "openai-openllmetry/tools_manual_parent";
const ABANDONED: &str = "openai-otel-genai/stream_abandoned";

const FAULTS: &[Fault] = &[
    (SESSION, Fact::Runs, |rows| {
        rows.runs.pop();
    }),
    (TOOLS, Fact::Runs, |rows| {
        let mut run = rows.runs[0].clone();
        run.run_id = Uuid::from_u128(99);
        rows.runs.push(run);
    }),
    (HANDOFF, Fact::Agents, |rows| {
        rows.steps.retain(|step| step.step_type != "handoff");
    }),
    (TOOLS, Fact::Agents, |rows| {
        add(rows, "handoff", "get_weather")
    }),
    (BARE, Fact::Agents, |rows| {
        add(rows, "handoff", "handle_chat_request")
    }),
    (TOOLS, Fact::Agents, |rows| {
        rows.runs[0].agent_id = "unknown".to_owned()
    }),
    // The sub-agent at the top instead of below its caller.
    ("strands/handoff", Fact::Nesting, |rows| {
        rows.runs[0].agent_id = "billing_agent".to_owned();
        add(rows, "handoff", "triage_agent");
    }),
    (HANDOFF, Fact::Tree, |rows| {
        for (number, step) in (5000..).zip(&mut rows.steps) {
            step.parent_step_id = Some(Uuid::from_u128(number));
        }
    }),
    (HANDOFF, Fact::Tree, |rows| {
        rows.timeline[0].flags.push("parent_cycle".to_owned())
    }),
    (HANDOFF, Fact::Tree, |rows| {
        rows.timeline.remove(0);
    }),
    (HANDOFF, Fact::Nesting, |rows| {
        for step in rows
            .steps
            .iter_mut()
            .filter(|step| step.step_type == "llm_call")
        {
            step.parent_step_id = None;
        }
    }),
    (TOOLS, Fact::CallTokens, |rows| {
        let again = rows.token_counts.clone();
        rows.token_counts.extend(again);
    }),
    (TOOLS, Fact::CallTokens, |rows| {
        rows.token_counts[0].rollup = true
    }),
    (TOOLS, Fact::Messages, |rows| rows.timeline.reverse()),
    (BARE, Fact::Messages, |rows| repeat(rows, "assistant")),
    (TOOLS, Fact::LlmCalls, |rows| add(rows, "llm_call", "again")),
    (TOOLS, Fact::LlmCalls, |rows| {
        first(rows, "llm_call").step_type = "other".to_owned()
    }),
    (FAILED, Fact::LlmFailures, |rows| {
        first(rows, "llm_call").status = Some("completed".to_owned());
    }),
    (TOOLS, Fact::Models, |rows| {
        first(rows, "llm_call").model = None
    }),
    (TOOLS, Fact::Models, |rows| {
        first(rows, "llm_call").model = Some("gpt-5".to_owned())
    }),
    (TOOLS, Fact::ToolCalls, |rows| {
        add(rows, "tool_call", "get_weather")
    }),
    (TOOLS, Fact::ToolCalls, |rows| {
        first(rows, "tool_call").name = None
    }),
    (BARE, Fact::ToolCalls, |rows| {
        for message in &mut rows.messages {
            message.tool_calls = None;
        }
    }),
    (TOOLS, Fact::ToolArguments, |rows| {
        first(rows, "tool_call").input = Some(json!({"city": "Rome"}));
    }),
    (TOOLS, Fact::ToolArguments, |rows| {
        first(rows, "tool_call").input = Some(json!(r#"{"city":"Paris"}"#));
    }),
    (TOOLS, Fact::ToolResults, |rows| {
        first(rows, "tool_call").output = None
    }),
    (TOOLS, Fact::ToolResults, |rows| {
        first(rows, "tool_call").output = Some(json!("It is 18°C, sunny"));
    }),
    (TOOL_ERROR, Fact::ToolErrors, |rows| {
        first(rows, "tool_call").error = None
    }),
    (TOOLS, Fact::ToolMessages, |rows| {
        rows.messages.retain(|message| message.role != "tool")
    }),
    (TOOLS, Fact::ToolMessages, |rows| repeat(rows, "tool")),
    (TOOLS, Fact::InputTokens, |rows| {
        rows.runs[0].tokens_input = Some(976)
    }),
    (TOOLS, Fact::InputTokens, |rows| {
        rows.runs[0].total_tokens_input = Some(1)
    }),
    (TOOLS, Fact::OutputTokens, |rows| {
        rows.runs[0].tokens_output = None
    }),
    (ABANDONED, Fact::OutputTokens, |rows| {
        rows.runs[0].tokens_output = Some(2)
    }),
    (
        "langgraph-openinference/stream",
        Fact::InputTokens,
        |rows| {
            rows.runs[0].tokens_input = Some(7);
        },
    ),
    (TOOLS, Fact::CachedTokens, |rows| {
        rows.runs[0].tokens_cache_read = Some(0)
    }),
    ("agno-openinference/single", Fact::ReasoningTokens, |rows| {
        rows.runs[0].tokens_reasoning = Some(8);
    }),
    (TOOLS, Fact::Prompts, |rows| repeat(rows, "user")),
    (TOOLS, Fact::Prompts, |rows| {
        for message in &mut rows.messages {
            message.content = message.content.as_ref().map(|text| format!("[{text:?}]"));
        }
    }),
    (SESSION, Fact::Prompts, |rows| {
        rows.messages.retain(|message| message.role != "user")
    }),
    (SESSION, Fact::Answers, |rows| repeat(rows, "assistant")),
    (TOOLS, Fact::Answers, |rows| {
        rows.messages
            .iter_mut()
            .for_each(|message| message.role = "user".to_owned());
    }),
    (THINKING, Fact::Thinking, |rows| {
        rows.messages
            .iter_mut()
            .for_each(|message| message.thinking = None);
    }),
    (THINKING, Fact::Thinking, |rows| repeat(rows, "assistant")),
    (TOOLS, Fact::RunInput, |rows| rows.runs[0].input = None),
    (SESSION, Fact::RunInput, |rows| {
        rows.runs[1].input = rows.runs[0].input.clone()
    }),
    (TOOLS, Fact::RunOutput, |rows| {
        rows.runs[0].output = Some("14:05".to_owned())
    }),
    (FAILED, Fact::Status, |rows| {
        rows.runs[0].status = "completed".to_owned()
    }),
    (TOOLS, Fact::Status, |rows| {
        rows.runs[0].status = "failed".to_owned()
    }),
    (FAILED, Fact::Error, |rows| {
        rows.runs[0].error = Some("an error".to_owned());
        first(rows, "llm_call").error = None;
    }),
    (TOOLS, Fact::Ended, |rows| rows.runs[0].ended_at = None),
    (TOOLS, Fact::Ended, |rows| {
        first(rows, "tool_call").status = Some("running".to_owned())
    }),
    (TOOLS, Fact::Ended, |rows| {
        rows.runs[0].flags.push("steps_closed_with_run".to_owned())
    }),
    (SESSION, Fact::Session, |rows| {
        rows.sessions[0].external_id = None
    }),
    (SESSION, Fact::Session, |rows| {
        rows.runs[1].session_id = None
    }),
    (SESSION, Fact::Session, |rows| {
        rows.messages[0].session_id = Some(Uuid::from_u128(99));
    }),
    (SESSION, Fact::Session, |rows| {
        rows.sessions.push(Session::default())
    }),
];

#[test]
fn planted_faults_are_found() {
    for (number, (name, fact, plant)) in FAULTS.iter().enumerate() {
        let capture = capture(name);
        let mut rows = ideal::rows(capture);
        assert_eq!(
            judge(capture, &rows)[fact],
            Verdict::Held,
            "{name} {fact:?}"
        );
        plant(&mut rows);
        let verdict = &judge(capture, &rows)[fact];
        assert!(
            matches!(verdict, Verdict::Lost(_)),
            "fault {number}, {name} {fact:?}: {verdict:?}"
        );
    }
}

#[test]
fn a_fault_is_planted_for_every_fact() {
    for fact in Fact::ALL {
        assert!(FAULTS.iter().any(|fault| fault.1 == fact), "{fact:?}");
    }
}

fn capture(name: &str) -> &'static Capture {
    let named = |capture: &&Capture| capture.name() == name;
    captures().iter().find(named).unwrap()
}

fn first<'a>(rows: &'a mut Rows, step_type: &str) -> &'a mut Step {
    let mut steps = rows.steps.iter_mut();
    steps.find(|step| step.step_type == step_type).unwrap()
}

fn add(rows: &mut Rows, step_type: &str, name: &str) {
    rows.steps.push(Step {
        id: Uuid::from_u128(1000),
        run_id: rows.runs[0].run_id,
        step_type: step_type.to_owned(),
        kind: (step_type == "handoff").then(|| "agent".to_owned()),
        name: Some(name.to_owned()),
        status: Some("completed".to_owned()),
        ..Step::default()
    });
}

/// Adds a copy of every message of a role.
fn repeat(rows: &mut Rows, role: &str) {
    let again: Vec<_> = rows
        .messages
        .iter()
        .filter(|message| message.role == role)
        .cloned()
        .collect();
    rows.messages.extend(again);
}
