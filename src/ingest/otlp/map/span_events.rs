//! What span events say: exceptions, and conversations as the conventions
//! recorded them up to 1.36 (and in a later form as one event).

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::messages::{Conversation, Message, read};
use super::value;
use crate::event::MessageRole;
use crate::ingest::otlp::wire::{Event, KeyValue, Span};

/// Events that are kept on a step; an SDK may write one for each chunk of a stream.
const MAX_KEPT: usize = 64;

/// An exception that a span recorded.
#[derive(Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Exception {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub message: Option<String>,
    pub stacktrace: Option<String>,
}

/// The last exception: what the span ended with.
pub fn exception(span: &Span<'_>) -> Option<Exception> {
    let event = span
        .events
        .iter()
        .rfind(|event| event.name == "exception")?;
    let text = |key| text_at(&event.attributes, key);
    Some(Exception {
        kind: text("exception.type"),
        message: text("exception.message"),
        stacktrace: text("exception.stacktrace"),
    })
}

/// The messages of the events, by the conventions' names for them.
pub fn conversation(span: &Span<'_>) -> Conversation {
    let mut conversation = Conversation::default();
    for event in &span.events {
        if is_message(event.name) {
            let body = value::object(&event.attributes);
            add(event.name, &body, &mut conversation);
        }
    }
    conversation
}

/// Whether an event (or a log record) of this name carries messages.
pub fn is_message(name: &str) -> bool {
    matches!(
        name,
        "gen_ai.system.message"
            | "gen_ai.user.message"
            | "gen_ai.assistant.message"
            | "gen_ai.tool.message"
            | "gen_ai.choice"
            | "gen_ai.content.prompt"
            | "gen_ai.content.completion"
            | "gen_ai.client.inference.operation.details"
    )
}

/// Messages that one span's events may hold.
const MAX_MESSAGES: usize = 10_000;

/// Adds the messages of one event or log record.
pub fn add(name: &str, body: &Value, to: &mut Conversation) {
    if to.input.len() + to.output.len() >= MAX_MESSAGES {
        return;
    }
    let field = |key: &str| body.get(key).cloned().unwrap_or(Value::Null);
    let mut said = |role, value: &Value| to.input.extend(read(value, role));
    match name {
        "gen_ai.system.message" => said(MessageRole::System, &message(body, "system")),
        "gen_ai.user.message" => said(MessageRole::User, &message(body, "user")),
        "gen_ai.assistant.message" => said(MessageRole::Assistant, &message(body, "assistant")),
        "gen_ai.tool.message" => said(MessageRole::Tool, &message(body, "tool")),
        "gen_ai.content.prompt" => said(MessageRole::User, &parsed(field("gen_ai.prompt"))),
        "gen_ai.content.completion" => {
            let value = parsed(field("gen_ai.completion"));
            to.output.extend(read(&value, MessageRole::Assistant));
        }
        "gen_ai.choice" => to.output.extend(choice(body)),
        "gen_ai.client.inference.operation.details" => {
            let system = parsed(field("gen_ai.system_instructions"));
            to.input.extend(read(&system, MessageRole::System));
            let given = parsed(field("gen_ai.input.messages"));
            to.input.extend(read(&given, MessageRole::User));
            let answered = parsed(field("gen_ai.output.messages"));
            to.output.extend(read(&answered, MessageRole::Assistant));
        }
        _ => {}
    }
}

/// A body that has its fields flat; the name of the event is the speaker where
/// the body names none.
fn message(body: &Value, role: &str) -> Value {
    let mut object = body.as_object().cloned().unwrap_or_default();
    let named = object.get("role").is_some_and(Value::is_string);
    if !named {
        object.insert("role".into(), role.into());
    }
    object.entry("content").or_insert(Value::Null);
    unwrap_strings(&mut object);
    Value::Object(object)
}

fn choice(body: &Value) -> Vec<Message> {
    let content = parsed(body.get("message").cloned().unwrap_or(Value::Null));
    let wrapped = match content {
        Value::Object(object) => message(&Value::Object(object), "assistant"),
        Value::Null => message(body, "assistant"),
        content => json!({"role": "assistant", "content": content}),
    };
    let mut messages = read(&wrapped, MessageRole::Assistant);
    if let Some(last) = messages.last_mut() {
        let reason = body.get("finish_reason").and_then(Value::as_str);
        last.finish_reason = reason.map(str::to_owned);
    }
    messages
}

/// Content and calls are JSON strings where attributes can be no more than that.
fn unwrap_strings(object: &mut Map<String, Value>) {
    for key in ["content", "tool_calls"] {
        if let Some(value) = object.get_mut(key) {
            *value = parsed(value.take());
        }
    }
}

fn parsed(value: Value) -> Value {
    match value {
        Value::String(text) => value::parse(&text),
        other => other,
    }
}

/// The arguments of a tool, where an event holds them (Strands).
pub fn tool_arguments(span: &Span<'_>) -> Option<Value> {
    parsed_at(span, "gen_ai.tool.message", "content")
}

/// The same of the result.
pub fn tool_result(span: &Span<'_>) -> Option<Value> {
    parsed_at(span, "gen_ai.choice", "message")
}

fn parsed_at(span: &Span<'_>, name: &str, key: &str) -> Option<Value> {
    let event = span.events.iter().find(|event| event.name == name)?;
    Some(value::parse(&text_at(&event.attributes, key)?))
}

/// The events that are kept with the step: all but those that are understood,
/// and no more than a few of those that come by the chunk.
pub fn kept(span: &Span<'_>) -> Option<Value> {
    let keep = |event: &&Event<'_>| !is_message(event.name) && event.name != "exception";
    let mut kept: Vec<Value> = Vec::new();
    let mut left_out = 0_usize;
    for event in span.events.iter().filter(keep) {
        if kept.len() >= MAX_KEPT || event.name.contains("chunk") && event.attributes.is_empty() {
            left_out += 1;
            continue;
        }
        kept.push(json!({
            "name": event.name,
            "time_unix_nano": event.time_unix_nano.to_string(),
            "attributes": value::object(&event.attributes),
        }));
    }
    if left_out > 0 {
        kept.push(json!({"left_out": left_out}));
    }
    (!kept.is_empty()).then_some(Value::Array(kept))
}

fn text_at(attributes: &[KeyValue<'_>], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    let text = value::text(found.value.as_ref()?);
    (!text.is_empty()).then(|| text.into_owned())
}
