//! Checks tool calls. A tool call is a step. If its SDK has no span for it, it is
//! a request in one message and its result in another.

use serde_json::Value;

use super::{Case, Verdicts, says};
use crate::otlp::{
    corpus::ToolCall,
    fact::{Fact, Verdict},
    rows::{Message, Step},
};

/// A tool call of the truth and the rows that describe it.
struct Told<'a> {
    call: &'a ToolCall,
    step: Option<&'a Step>,
    /// The arguments in the messages that request this tool.
    asked: Vec<Value>,
}

pub(super) fn judge(case: &Case, verdicts: &mut Verdicts) {
    let (told, left) = tell(case);
    let mut wrong: Vec<String> = told
        .iter()
        .filter(|told| !told.is_told(case))
        .map(|told| format!("{} is not told", told.call.name))
        .collect();
    let surplus = left
        .iter()
        .map(|step| format!("nobody called {}", name(step)));
    wrong.extend(surplus);
    insert(verdicts, Fact::ToolCalls, wrong, true);
    if told.is_empty() {
        return;
    }
    let arguments = told
        .iter()
        .filter(|told| !told.has_arguments())
        .map(|told| {
            let found = told.step.map(|step| &step.input);
            format!(
                "{}: {found:?} {:?}, not {}",
                told.call.name, told.asked, told.call.arguments
            )
        });
    insert(verdicts, Fact::ToolArguments, arguments.collect(), true);
    judge_results(case, &told, verdicts);
    judge_errors(case, &told, verdicts);
}

fn judge_results(case: &Case, told: &[Told], verdicts: &mut Verdicts) {
    let (mut steps, mut messages, mut sent) = (Vec::new(), Vec::new(), true);
    let mut any = false;
    for told in told {
        let Some(result) = &told.call.result else {
            continue;
        };
        any = true;
        sent &= case.was_sent(result);
        let from_step = told
            .step
            .and_then(|step| step.output.as_ref())
            .is_some_and(|output| says(output, result));
        let answers = answers(case, result);
        if !from_step && (told.step.is_some() || answers.is_empty()) {
            let output = told.step.map(|step| &step.output);
            steps.push(format!("{}: {output:?}, not {result}", told.call.name));
        }
        let calls = case.truth.tool_calls.iter();
        let allowed = calls
            .filter(|call| call.result.as_ref() == Some(result))
            .count();
        let most = answers.iter().map(|(_, count)| *count).max().unwrap_or(0);
        if most == 0 || most > allowed {
            messages.push(format!("{result}: {most} messages, not {allowed}"));
        }
    }
    if any {
        insert(verdicts, Fact::ToolResults, steps, sent);
        insert(verdicts, Fact::ToolMessages, messages, sent);
    }
}

fn judge_errors(case: &Case, told: &[Told], verdicts: &mut Verdicts) {
    let (mut wrong, mut sent, mut any) = (Vec::new(), true, false);
    for told in told {
        let Some(error) = &told.call.error else {
            continue;
        };
        any = true;
        sent &= case.was_sent(error);
        let held = match told.step {
            Some(step) => {
                let output = step.output.as_ref().map(Value::to_string);
                let texts = [step.error.clone(), output];
                texts.iter().flatten().any(|text| text.contains(error))
            }
            None => {
                let runs = case.rows.runs.iter().filter_map(|run| run.error.as_ref());
                let answers = tool_messages(case).filter_map(|message| message.content.as_ref());
                runs.chain(answers).any(|text| text.contains(error))
            }
        };
        if !held {
            let found = told.step.map(|step| (&step.error, &step.output));
            wrong.push(format!("{}: {found:?}, not {error}", told.call.name));
        }
    }
    if any {
        insert(verdicts, Fact::ToolErrors, wrong, sent);
    }
}

/// Assigns a step to each call of the truth. Also returns the steps that are left.
fn tell<'a>(case: &'a Case) -> (Vec<Told<'a>>, Vec<&'a Step>) {
    let is_tool = |step: &&Step| step.step_type == "tool_call";
    let mut left: Vec<&Step> = case.rows.steps.iter().filter(is_tool).collect();
    let asked = asked(&case.rows.messages);
    let mut told: Vec<Told> = Vec::new();
    for call in &case.truth.tool_calls {
        let fits = |step: &&&Step| name(step) == call.name;
        let arguments = |step: &Step| step.input.as_ref() == Some(&call.arguments);
        let result = |step: &Step| match (&call.result, &step.output) {
            (Some(result), Some(output)) => says(output, result),
            (result, _) => result.is_none(),
        };
        // If a tool was called several times, each call gets the best match.
        let step = left
            .iter()
            .position(|step| fits(&step) && arguments(step) && result(step))
            .or_else(|| left.iter().position(|step| fits(&step) && arguments(step)))
            .or_else(|| left.iter().position(|step| fits(&step)))
            .or_else(|| {
                let handoff = |step: &&Step| call.is_handoff() && name(step).starts_with("handoff");
                left.iter().position(handoff)
            });
        let of_call = asked.iter().filter(|(name, _)| *name == call.name);
        told.push(Told {
            call,
            step: step.map(|at| left.remove(at)),
            asked: of_call.map(|(_, arguments)| arguments.clone()).collect(),
        });
    }
    (told, left)
}

impl ToolCall {
    fn is_handoff(&self) -> bool {
        self.kind.as_deref() == Some("handoff")
    }
}

impl Told<'_> {
    /// A call that is not of a plain tool may have been sent as an agent.
    fn is_told(&self, case: &Case) -> bool {
        let message_is_enough = self.call.kind.is_some() || !case.payload.has_tool_spans();
        self.step.is_some() || (message_is_enough && !self.asked.is_empty())
    }

    /// The span of a handoff has agents instead of arguments.
    fn has_arguments(&self) -> bool {
        match self.step {
            Some(step) if name(step) == self.call.name => {
                step.input.as_ref() == Some(&self.call.arguments)
            }
            _ => self.asked.contains(&self.call.arguments),
        }
    }
}

/// The names and arguments of the tool calls that messages request.
fn asked(messages: &[Message]) -> Vec<(String, Value)> {
    let calls = messages
        .iter()
        .filter_map(|message| message.tool_calls.as_ref());
    let calls = calls.filter_map(Value::as_array).flatten();
    calls
        .filter_map(|call| {
            let call = call.get("function").unwrap_or(call);
            let arguments = match call.get("arguments")? {
                Value::String(text) => serde_json::from_str(text).ok()?,
                value => value.clone(),
            };
            Some((call.get("name")?.as_str()?.to_owned(), arguments))
        })
        .collect()
}

fn tool_messages<'a>(case: &'a Case) -> impl Iterator<Item = &'a Message> {
    let messages = case.rows.messages.iter();
    messages.filter(|message| message.role == "tool")
}

/// The number of messages with this result in each conversation.
fn answers(case: &Case, result: &str) -> Vec<(uuid::Uuid, usize)> {
    let mut counts = std::collections::HashMap::new();
    for message in tool_messages(case) {
        let content = message.content.clone().map(Value::String);
        if content.is_some_and(|content| says(&content, result)) {
            *counts.entry(case.rows.conversation(message)).or_default() += 1;
        }
    }
    counts.into_iter().collect()
}

fn name(step: &Step) -> &str {
    step.name.as_deref().unwrap_or("(no name)")
}

fn insert(verdicts: &mut Verdicts, fact: Fact, wrong: Vec<String>, sent: bool) {
    let verdict = Verdict::held_or(wrong.is_empty(), || wrong.join("; "));
    verdicts.insert(fact, verdict.if_sent(sent));
}
