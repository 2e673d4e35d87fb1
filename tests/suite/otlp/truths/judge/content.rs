//! What was said: the texts of runs and messages, and who said them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{TruthJudge, has, words};
use crate::otlp::truths::rows::text;

pub(super) fn judge(judge: &mut TruthJudge<'_>, runs: &[&Value], messages: &[&Value]) {
    let truth = judge.truth;
    let of_runs = |column: &str| -> Vec<Value> {
        let texts = runs.iter().map(|run| match &run[column] {
            Value::String(text) => words(text).into(),
            other => other.clone(),
        });
        texts.collect()
    };
    let all = |texts: &[Option<String>]| -> Vec<Value> {
        let texts = texts.iter().map(|text| text.as_deref().map(words));
        texts.map(Value::from).collect()
    };
    let (seen, wanted) = (of_runs("input"), all(&truth.inputs));
    judge.fact("run input", seen == wanted, wanted, seen);
    if !truth.outputs.is_empty() {
        let (seen, wanted) = (of_runs("output"), all(&truth.outputs));
        judge.fact("run output", seen == wanted, wanted, seen);
    }
    let twice = said_too_often(judge, messages);
    judge.fact(
        "messages once",
        twice.is_empty(),
        "none twice",
        json!(twice),
    );
    each_once(judge, messages, "prompts", "user", &truth.prompts);
    if !truth.answers.is_empty() {
        each_once(judge, messages, "answers", "assistant", &truth.answers);
    }
    if !truth.tools.is_empty() {
        tool_messages(judge, messages);
    }
    let is_empty = |message: &&&Value| {
        let calls = message["tool_calls"].as_array();
        text(message, "content").is_empty()
            && text(message, "thinking").is_empty()
            && calls.is_none_or(Vec::is_empty)
    };
    let empty = messages.iter().filter(is_empty).count();
    judge.fact("other messages", empty == 0, 0, empty);
    if let Some(session) = &truth.session {
        let mut seen: Vec<_> = runs.iter().map(|run| text(run, "external_id")).collect();
        seen.sort_unstable();
        seen.dedup();
        judge.fact("session", seen == [session], &**session, json!(seen));
    }
    if let Some(user) = &truth.user {
        let named = user.to_string();
        let has_user = |run: &&Value| run["session_metadata"].to_string().contains(&named);
        let holds = !runs.is_empty() && runs.iter().all(has_user);
        let seen: Vec<_> = runs
            .iter()
            .map(|run| run["session_metadata"].clone())
            .collect();
        judge.fact("user", holds, user.clone(), seen);
    }
}

/// The messages that are there more often than they were said. A system prompt may be said once per run.
fn said_too_often(judge: &TruthJudge<'_>, messages: &[&Value]) -> Vec<String> {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for message in messages {
        let mut role = text(message, "role").to_owned();
        if role == "system" {
            role.push_str(text(message, "run_id"));
        }
        let content = words(text(message, "content"));
        let said = if content.is_empty() {
            let calls = message["tool_calls"].as_array().into_iter().flatten();
            let names: Vec<_> = calls.map(|call| call["name"].clone()).collect();
            json!(names).to_string()
        } else {
            content
        };
        *counts.entry((role, said)).or_default() += 1;
    }
    let most = |said: &String| judge.truth.repeats.get(said).copied().unwrap_or(1);
    let twice = counts
        .iter()
        .filter(|((_, said), count)| **count > most(said));
    twice
        .map(|((role, said), _)| format!("{role}: {said}"))
        .collect()
}

fn each_once(
    judge: &mut TruthJudge<'_>,
    messages: &[&Value],
    fact: &str,
    role: &str,
    wanted: &[String],
) {
    let of_role = messages
        .iter()
        .filter(|message| text(message, "role") == role);
    let seen: Vec<String> = of_role
        .map(|message| words(text(message, "content")))
        .filter(|said| !said.is_empty())
        .collect();
    let once = |wanted: &String| seen.iter().filter(|said| **said == words(wanted)).count() == 1;
    let holds = seen.len() == wanted.len() && wanted.iter().all(once);
    judge.fact(fact, holds, json!(wanted), json!(seen));
}

fn tool_messages(judge: &mut TruthJudge<'_>, messages: &[&Value]) {
    let truth = judge.truth;
    let of_role = |role: &'static str| {
        let messages = messages.iter().copied();
        messages.filter(move |message| text(message, "role") == role)
    };
    let wanted = if truth.answers.is_empty() {
        0
    } else {
        truth.tools.len()
    };
    let answers: Vec<_> = of_role("tool").map(|message| &message["content"]).collect();
    let told = |result: &Value| {
        let result = match result {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        answers.iter().any(|content| has(content, &result))
    };
    let holds = answers.len() == wanted && truth.results().all(told);
    let results: Vec<_> = truth.results().collect();
    judge.fact("tool messages", holds, json!(results), json!(answers));
    let asked = of_role("assistant").filter_map(|message| message["tool_calls"].as_array());
    let asked: usize = asked.map(Vec::len).sum();
    judge.fact("asked calls", asked == truth.asked, truth.asked, asked);
}
