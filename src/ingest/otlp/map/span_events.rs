//! Reads span events: exceptions, and the messages of the GenAI conventions.
//!
//! Up to 1.36, the conventions have one event per message. Later versions have
//! one event for all messages.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::messages::{ChatMessage, Conversation, read};
use super::value;
use crate::event::MessageRole;
use crate::ingest::otlp::wire::{KeyValue, Span, SpanEvent};

/// The most events that a step keeps. An SDK may write one for each chunk of a
/// stream.
const MAX_KEPT_EVENTS: usize = 64;
/// The most messages that are read from the events of one span. No model reads
/// as many.
const MAX_MESSAGES: usize = 10_000;

/// An exception that a span recorded.
#[derive(Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Exception {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub message: Option<String>,
    pub stacktrace: Option<String>,
}

/// The last exception of a span, which ended it.
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

/// Reads the messages in the events of a span.
pub fn conversation(span: &Span<'_>) -> Conversation {
    let mut conversation = Conversation::default();
    for event in &span.events {
        if carries_messages(event.name) {
            let body = value::object(&event.attributes);
            add_messages(event.name, &body, &mut conversation);
        }
    }
    conversation
}

/// Whether an event or log record of this name carries messages.
pub fn carries_messages(name: &str) -> bool {
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

/// Adds the messages of one event or log record to a conversation.
pub fn add_messages(name: &str, body: &Value, to: &mut Conversation) {
    if to.input.len() + to.output.len() >= MAX_MESSAGES {
        return;
    }
    let field = |key: &str| body.get(key).cloned().unwrap_or(Value::Null);
    let mut add_input = |role, value: &Value| to.input.extend(read(value, role));
    match name {
        "gen_ai.system.message" => {
            add_input(MessageRole::System, &message_with_role(body, "system"))
        }
        "gen_ai.user.message" => add_input(MessageRole::User, &message_with_role(body, "user")),
        "gen_ai.assistant.message" => add_input(
            MessageRole::Assistant,
            &message_with_role(body, "assistant"),
        ),
        "gen_ai.tool.message" => add_input(MessageRole::Tool, &message_with_role(body, "tool")),
        "gen_ai.content.prompt" => add_input(MessageRole::User, &parsed(field("gen_ai.prompt"))),
        "gen_ai.content.completion" => {
            let value = parsed(field("gen_ai.completion"));
            to.output.extend(read(&value, MessageRole::Assistant));
        }
        "gen_ai.choice" => to.output.extend(choice_messages(body)),
        "gen_ai.client.inference.operation.details" => {
            let system = parsed(field("gen_ai.system_instructions"));
            to.input.extend(read(&system, MessageRole::System));
            let input = parsed(field("gen_ai.input.messages"));
            to.input.extend(read(&input, MessageRole::User));
            let output = parsed(field("gen_ai.output.messages"));
            to.output.extend(read(&output, MessageRole::Assistant));
        }
        _ => {}
    }
}

/// The message in the fields of an event. `role` is the role if the fields have none.
fn message_with_role(body: &Value, role: &str) -> Value {
    let mut object = body.as_object().cloned().unwrap_or_default();
    let named = object.get("role").is_some_and(Value::is_string);
    if !named {
        object.insert("role".into(), role.into());
    }
    object.entry("content").or_insert(Value::Null);
    unwrap_strings(&mut object);
    Value::Object(object)
}

fn choice_messages(body: &Value) -> Vec<ChatMessage> {
    let content = parsed(body.get("message").cloned().unwrap_or(Value::Null));
    let wrapped = match content {
        Value::Object(object) => message_with_role(&Value::Object(object), "assistant"),
        Value::Null => message_with_role(body, "assistant"),
        content => json!({"role": "assistant", "content": content}),
    };
    let mut messages = read(&wrapped, MessageRole::Assistant);
    if let Some(last) = messages.last_mut() {
        let reason = body.get("finish_reason").and_then(Value::as_str);
        last.finish_reason = reason.map(str::to_owned);
    }
    messages
}

/// Parses content and tool calls, which are JSON strings if the event has them as
/// attributes.
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

/// The arguments of a tool, if an event holds them (Strands).
pub fn tool_arguments(span: &Span<'_>) -> Option<Value> {
    parsed_at(span, "gen_ai.tool.message", "content")
}

/// The result of a tool, if an event holds it (Strands).
pub fn tool_result(span: &Span<'_>) -> Option<Value> {
    parsed_at(span, "gen_ai.choice", "message")
}

fn parsed_at(span: &Span<'_>, name: &str, key: &str) -> Option<Value> {
    let event = span.events.iter().find(|event| event.name == name)?;
    Some(value::parse(&text_at(&event.attributes, key)?))
}

/// The events that go into the metadata of the step: all except exceptions,
/// messages, and empty events of stream chunks, up to [`MAX_KEPT_EVENTS`]. The
/// last entry counts the events that were left out.
pub fn kept_events(span: &Span<'_>) -> Option<Value> {
    let keep = |event: &&SpanEvent<'_>| !carries_messages(event.name) && event.name != "exception";
    let mut kept: Vec<Value> = Vec::new();
    let mut left_out = 0_usize;
    for event in span.events.iter().filter(keep) {
        if kept.len() >= MAX_KEPT_EVENTS
            || event.name.contains("chunk") && event.attributes.is_empty()
        {
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
