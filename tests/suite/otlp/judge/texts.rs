//! Checks messages, and the input and output of runs.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use uuid::Uuid;

use super::{Case, Verdicts, same, says};
use crate::otlp::fact::{Fact, Verdict};

pub(super) fn judge(case: &Case, verdicts: &mut Verdicts) {
    let truth = &case.truth;
    let wrong: Vec<String> = repeated(case).into_iter().chain(disordered(case)).collect();
    verdicts.insert(
        Fact::Messages,
        Verdict::held_or(wrong.is_empty(), || wrong.join("; ")),
    );
    each_once(case, verdicts, Fact::Prompts, "user", &truth.user_prompts);
    each_once(
        case,
        verdicts,
        Fact::Answers,
        "assistant",
        &truth.assistant_final_answers,
    );
    if let Some(thinking) = &truth.thinking_text {
        judge_thinking(case, verdicts, thinking);
    }
    let inputs = case.rows.runs.iter().map(|run| run.input.as_deref());
    let outputs = case.rows.runs.iter().map(|run| run.output.as_deref());
    judge_runs(
        case,
        verdicts,
        Fact::RunInput,
        inputs.collect(),
        &truth.user_prompts,
    );
    let answers = &truth.assistant_final_answers;
    judge_runs(case, verdicts, Fact::RunOutput, outputs.collect(), answers);
}

/// The messages that a conversation has twice, regardless of the role.
fn repeated(case: &Case) -> Vec<String> {
    let mut seen = HashSet::new();
    let messages = case.rows.messages.iter();
    let again = messages.filter(|message| {
        let content = message.content.as_deref().unwrap_or_default().trim();
        let calls = message.tool_calls.as_ref().map(Value::to_string);
        !seen.insert((
            case.rows.conversation(message),
            &message.role,
            content,
            calls,
        ))
    });
    again
        .map(|message| format!("twice {}: {:?}", message.role, message.content))
        .collect()
}

/// The answers that the timeline of a run shows before their question.
fn disordered(case: &Case) -> Vec<String> {
    let truth = &case.truth;
    let at = |run: Uuid, role: &str, text: &str| {
        let mut rows = case.rows.timeline.iter();
        rows.position(|row| {
            let said = row.content.as_deref().is_some_and(|said| same(said, text));
            row.item == "message" && row.run_id == run && row.kind == role && said
        })
    };
    let pairs = truth
        .user_prompts
        .iter()
        .zip(&truth.assistant_final_answers);
    let mut wrong = Vec::new();
    for (run, (prompt, answer)) in case
        .rows
        .runs
        .iter()
        .flat_map(|run| pairs.clone().map(move |pair| (run, pair)))
    {
        let (asked, answered) = (
            at(run.run_id, "user", prompt),
            at(run.run_id, "assistant", answer),
        );
        if let (Some(asked), Some(answered)) = (asked, answered)
            && answered < asked
        {
            wrong.push(format!("{answer:?} stands before {prompt:?}"));
        }
    }
    wrong
}

fn each_once(case: &Case, verdicts: &mut Verdicts, fact: Fact, role: &str, texts: &[String]) {
    if texts.is_empty() {
        return;
    }
    let wrong: Vec<String> = texts
        .iter()
        .filter_map(|text| not_once(case, role, text))
        .collect();
    let sent = texts.iter().all(|text| case.was_sent(text));
    let verdict = Verdict::held_or(wrong.is_empty(), || wrong.join("; "));
    verdicts.insert(fact, verdict.if_sent(sent));
}

/// Why a text is not exactly one message of each conversation that has it.
fn not_once(case: &Case, role: &str, text: &str) -> Option<String> {
    let mut counts: HashMap<Uuid, usize> = HashMap::new();
    for message in &case.rows.messages {
        let content = message.content.as_deref().unwrap_or_default();
        if message.role != role || !content.contains(text.trim()) {
            continue;
        }
        if content.starts_with(['{', '[', '"']) {
            return Some(format!("within JSON: {content:?}"));
        }
        // A longer message may quote the text.
        if !same(content, text) {
            continue;
        }
        *counts.entry(case.rows.conversation(message)).or_default() += 1;
    }
    match counts.values().max() {
        None => Some(format!("no message of role {role} is {text:?}")),
        Some(1) => None,
        Some(count) => Some(format!("{count} times: {text:?}")),
    }
}

/// Thinking must be in its own column of a message. A step may have it as well.
fn judge_thinking(case: &Case, verdicts: &mut Verdicts, thinking: &str) {
    let mut counts: HashMap<Uuid, usize> = HashMap::new();
    for message in &case.rows.messages {
        if message
            .thinking
            .as_deref()
            .is_some_and(|text| same(text, thinking))
        {
            *counts.entry(case.rows.conversation(message)).or_default() += 1;
        }
    }
    let steps = case
        .rows
        .steps
        .iter()
        .filter(|step| step.step_type == "thinking");
    let in_step = steps
        .flat_map(|step| [&step.input, &step.output])
        .flatten()
        .any(|value| says(value, thinking));
    let once = counts.values().all(|count| *count == 1);
    let verdict = Verdict::held_or(once && (!counts.is_empty() || in_step), || {
        format!("{} messages have it", counts.values().sum::<usize>())
    });
    verdicts.insert(Fact::Thinking, verdict.if_sent(case.was_sent(thinking)));
}

/// Every text must be that of a run, and no run may have another text. If an
/// exchange has several runs, a run may have no text, or its own output.
fn judge_runs(
    case: &Case,
    verdicts: &mut Verdicts,
    fact: Fact,
    found: Vec<Option<&str>>,
    wanted: &[String],
) {
    if wanted.is_empty() {
        return;
    }
    let is = |found: &Option<&str>, text: &String| found.is_some_and(|found| same(found, text));
    let told = |text: &&String| found.iter().any(|found| is(found, text));
    let known = |found: &&Option<&str>| wanted.iter().any(|text| is(found, text));
    let held = if found.len() >= wanted.len() {
        let strangers = found
            .iter()
            .filter(|found| found.is_some() && !known(found));
        let spare = match fact {
            Fact::RunOutput => found.len() - wanted.len(),
            _ => 0,
        };
        wanted.iter().all(|text| told(&text)) && strangers.count() <= spare
    } else {
        found.iter().all(|found| known(&found))
    };
    let sent = wanted.iter().all(|text| case.was_sent(text)) && case.payload.has_root();
    let wanted: Vec<Value> = wanted.iter().cloned().map(Value::from).collect();
    let verdict = Verdict::held_or(held, || format!("{found:?}, not {wanted:?}"));
    verdicts.insert(fact, verdict.if_sent(sent));
}
