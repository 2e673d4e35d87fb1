//! The rows that a capture would give if nothing were lost.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::otlp::{
    corpus::{Capture, Truth},
    rows::{Message, Rows, Run, Session, Step, TimelineRow, TokenCount},
};

/// Makes the rows from the truth alone.
pub fn rows(capture: &Capture) -> Rows {
    let truth = capture.visible_truth();
    let mut rows = Rows::default();
    let session = truth.session_ids().first().map(|id| Session {
        id: Uuid::from_u128(1),
        external_id: Some((*id).to_owned()),
    });
    let count = truth.runs(&capture.payload);
    for number in 0..count {
        rows.runs.push(run(&truth, number, count, session.as_ref()));
    }
    rows.sessions.extend(session);
    add_agents(&truth, &mut rows, count);
    add_calls(&truth, &mut rows);
    if capture.payload.has_tool_spans() {
        add_tools(&truth, &mut rows);
    }
    add_messages(&truth, &mut rows);
    rows.timeline = rows.steps.iter().map(shown).collect();
    rows.timeline.extend(rows.messages.iter().map(said));
    rows.token_counts = truth.per_call_tokens.iter().map(counted).collect();
    rows
}

fn run(truth: &Truth, number: usize, count: usize, session: Option<&Session>) -> Run {
    // The first run has the totals of all runs.
    let of_first = |total: Option<i64>| total.filter(|_| number == 0);
    let last = number + 1 == count;
    let output = truth.assistant_final_answers.get(number);
    Run {
        run_id: Uuid::from_u128(10 + number as u128),
        session_id: session.map(|session| session.id),
        agent_id: "a service".to_owned(),
        status: if truth.failed() {
            "failed"
        } else {
            "completed"
        }
        .to_owned(),
        input: truth.user_prompts.get(number).cloned(),
        output: match last {
            true => truth.assistant_final_answers.last().cloned(),
            false => output.cloned(),
        },
        error: truth
            .error
            .as_ref()
            .map(|error| error.message_contains.clone()),
        ended_at: Some("2026-01-01T00:00:00Z".to_owned()),
        tokens_input: of_first(truth.input_tokens),
        tokens_output: of_first(truth.output_tokens),
        tokens_cache_read: of_first(truth.cached_input_tokens),
        tokens_reasoning: of_first(truth.reasoning_output_tokens),
        total_tokens_input: of_first(truth.input_tokens),
        total_tokens_output: of_first(truth.output_tokens),
        flags: Vec::new(),
    }
}

/// Assigns a run to each top-level agent as long as there are runs. Every other
/// agent gets a step.
fn add_agents(truth: &Truth, rows: &mut Rows, count: usize) {
    let mut placed: Vec<(String, Option<Uuid>)> = Vec::new();
    let invocations = &truth.agent_invocations;
    let named = |name: &String| invocations.iter().any(|other| &other.agent == name);
    let parents = invocations
        .iter()
        .filter_map(|invocation| invocation.parent_agent.clone());
    let mut unlisted: Vec<String> = parents.filter(|parent| !named(parent)).collect();
    unlisted.dedup();
    let tops = invocations
        .iter()
        .filter(|invocation| invocation.parent_agent.is_none());
    let tops: Vec<String> = tops
        .map(|invocation| invocation.agent.clone())
        .chain(unlisted)
        .collect();
    for (number, name) in tops.iter().enumerate() {
        if tops.len() == count {
            rows.runs[number].agent_id = name.clone();
            placed.push((name.clone(), None));
        } else {
            rows.runs[0].agent_id = tops[0].clone();
            let id = add(rows, "handoff", name, None);
            placed.push((name.clone(), Some(id)));
        }
    }
    for invocation in invocations {
        if let Some(parent) = &invocation.parent_agent {
            let above = placed.iter().find(|(name, _)| name == parent).unwrap().1;
            add(rows, "handoff", &invocation.agent, above);
        }
    }
}

/// Adds model calls, first one for each inner agent.
fn add_calls(truth: &Truth, rows: &mut Rows) {
    let agents: Vec<Uuid> = rows.steps.iter().map(|step| step.id).collect();
    for number in 0..truth.llm_calls {
        // The inner agents are the last ones.
        let agent = agents.iter().rev().nth(number).copied();
        add(rows, "llm_call", "chat", agent);
        let step = rows.steps.last_mut().unwrap();
        let models = &truth.models_requested;
        step.model = Some(models[number % models.len()].clone());
        if number < truth.llm_calls_failed {
            step.status = Some("failed".to_owned());
            step.error = truth
                .error
                .as_ref()
                .map(|error| error.message_contains.clone());
        }
    }
}

fn add_tools(truth: &Truth, rows: &mut Rows) {
    for call in &truth.tool_calls {
        add(rows, "tool_call", &call.name, None);
        let step = rows.steps.last_mut().unwrap();
        step.input = Some(call.arguments.clone());
        step.output = call.result.clone().map(Value::from);
        step.error = call.error.clone();
    }
}

fn add_messages(truth: &Truth, rows: &mut Rows) {
    for text in &truth.user_prompts {
        say(rows, "user", text);
    }
    for call in &truth.tool_calls {
        say(rows, "assistant", "");
        let arguments = call.arguments.to_string();
        let function = json!({"name": call.name, "arguments": arguments});
        rows.messages.last_mut().unwrap().tool_calls = Some(json!([{"function": function}]));
        if let Some(answer) = call.result.as_ref().or(call.error.as_ref()) {
            say(rows, "tool", answer);
        }
    }
    for text in &truth.assistant_final_answers {
        say(rows, "assistant", text);
        rows.messages.last_mut().unwrap().thinking = truth.thinking_text.clone();
    }
}

fn say(rows: &mut Rows, role: &str, text: &str) {
    rows.messages.push(Message {
        session_id: rows.runs[0].session_id,
        run_id: Some(rows.runs[0].run_id),
        role: role.to_owned(),
        content: Some(text.to_owned()),
        ..Message::default()
    });
}

fn add(rows: &mut Rows, step_type: &str, name: &str, parent: Option<Uuid>) -> Uuid {
    let id = Uuid::from_u128(100 + rows.steps.len() as u128);
    rows.steps.push(Step {
        id,
        run_id: rows.runs[0].run_id,
        // The root, which is only a run.
        parent_step_id: parent.or(Some(Uuid::from_u128(50))),
        step_type: step_type.to_owned(),
        kind: (step_type == "handoff").then(|| "agent".to_owned()),
        name: Some(name.to_owned()),
        status: Some("completed".to_owned()),
        ..Step::default()
    });
    id
}

fn shown(step: &Step) -> TimelineRow {
    TimelineRow {
        run_id: step.run_id,
        item: "step".to_owned(),
        id: step.id,
        kind: step.step_type.clone(),
        ..TimelineRow::default()
    }
}

fn said(message: &Message) -> TimelineRow {
    TimelineRow {
        run_id: message.run_id.unwrap(),
        item: "message".to_owned(),
        kind: message.role.clone(),
        content: message.content.clone(),
        ..TimelineRow::default()
    }
}

fn counted((input, output): &(i64, i64)) -> TokenCount {
    TokenCount {
        input: Some(*input),
        output: Some(*output),
        rollup: false,
    }
}
