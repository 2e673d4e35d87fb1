//! The shapes that whole conversations, requests and responses come in.

use serde_json::{Map, Value};

use super::blocks::{self, text_of};
use super::{Message, ToolCall};
use crate::event::MessageRole;
use crate::ingest::otlp::map::value;

/// Containers within containers (`{"data": {"messages": [[…]]}}`) are followed
/// so far and no farther.
const MAX_DEPTH: usize = 8;
/// Messages that one value may hold; no model reads as many.
const MAX_MESSAGES: usize = 10_000;

/// Reads the messages that a value holds, in order. `role` is the speaker where
/// a part does not say so itself.
pub fn read(value: &Value, role: MessageRole) -> Vec<Message> {
    let mut messages = Vec::new();
    collect(value, role, 0, &mut messages);
    messages
}

fn collect(value: &Value, role: MessageRole, depth: usize, out: &mut Vec<Message>) {
    if depth > MAX_DEPTH || out.len() >= MAX_MESSAGES {
        return;
    }
    match value {
        Value::String(text) => text_or_json(text, role, depth, out),
        Value::Array(items) => array(items, role, depth, out),
        Value::Object(object) => {
            container(object, role, depth, out);
        }
        _ => {}
    }
}

/// A JSON string may hold a conversation itself.
fn text_or_json(text: &str, role: MessageRole, depth: usize, out: &mut Vec<Message>) {
    if text.is_empty() {
        return;
    }
    if value::looks_like_json(text)
        && let Ok(inner) = serde_json::from_str::<Value>(text)
        && (inner.is_object() || inner.is_array())
    {
        let before = out.len();
        collect(&inner, role, depth + 1, out);
        if out.len() > before {
            return;
        }
    }
    out.push(Message::text(role, text));
}

fn array(items: &[Value], role: MessageRole, depth: usize, out: &mut Vec<Message>) {
    // LangChain's short form: ["user", "text"].
    if let [Value::String(who), Value::String(text)] = items
        && let Some(role) = role_named(who)
    {
        out.push(Message::text(role, text.as_str()));
        return;
    }
    let is_block = |item: &Value| item.as_object().is_some_and(blocks::is_block);
    if !items.is_empty() && items.iter().all(|item| is_block(item) || item.is_string()) {
        let mut message = Message::new(role);
        blocks::add_all(items, &mut message, out);
        return;
    }
    for item in items {
        collect(item, role, depth + 1, out);
    }
}

/// A request, a response, a wrapper, or a message. False when it is none.
fn container(
    object: &Map<String, Value>,
    role: MessageRole,
    depth: usize,
    out: &mut Vec<Message>,
) -> bool {
    let get = |key: &str| object.get(key).filter(|value| !value.is_null());
    let next = depth + 1;
    // Wrappers around one message.
    if let Some(inner) = get("message").filter(|inner| inner.is_object()) {
        let before = out.len();
        collect(inner, role, next, out);
        if let (Some(last), Some(reason)) = (
            out[before..].last_mut(),
            get("finish_reason").and_then(Value::as_str),
        ) {
            last.finish_reason = Some(reason.to_owned());
        }
        return true;
    }
    if let Some(kwargs) = get("kwargs").and_then(Value::as_object)
        && let Some(role) = lang_chain_role(object)
    {
        return message(kwargs, role, out);
    }
    if let (Some(data), Some(role)) = (get("data").and_then(Value::as_object), typed_role(object)) {
        return message(data, role, out);
    }
    // Items of the Responses API that are no messages.
    if item(object, out) {
        return true;
    }
    if is_message(object) {
        return message(object, typed_role(object).unwrap_or(role), out);
    }
    // Requests: instructions stand before the conversation.
    for key in [
        "system",
        "instructions",
        "system_instruction",
        "systemInstruction",
    ] {
        if let Some(system) = get(key) {
            collect(system, MessageRole::System, next, out);
        }
    }
    let before = out.len();
    let answers = MessageRole::Assistant;
    for (key, role) in [
        ("messages", role),
        ("contents", role),
        ("prompt", MessageRole::User),
        ("input", MessageRole::User),
        ("choices", answers),
        ("generations", answers),
        ("candidates", answers),
        ("output", answers),
        ("content", answers),
        ("parts", role),
    ] {
        if let Some(inner) = get(key) {
            collect(inner, role, next, out);
            if out.len() > before {
                return true;
            }
        }
    }
    if let Some(text) = get("text").and_then(Value::as_str) {
        out.push(Message::text(role, text));
    }
    out.len() > before
}

/// Whether an object speaks for itself: a role (or LangChain's `type`), and something said.
fn is_message(object: &Map<String, Value>) -> bool {
    let says = [
        "content",
        "parts",
        "contents",
        "tool_calls",
        "toolCalls",
        "function_call",
        "thinking",
    ];
    (object.get("role").is_some_and(Value::is_string) || typed_role(object).is_some())
        && says.iter().any(|key| object.contains_key(*key))
}

fn message(object: &Map<String, Value>, role: MessageRole, out: &mut Vec<Message>) -> bool {
    let role = object
        .get("role")
        .and_then(Value::as_str)
        .and_then(role_named)
        .unwrap_or(role);
    let text_at = |keys: &[&str]| {
        let found = keys.iter().find_map(|key| object.get(*key)?.as_str());
        found.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let mut message = Message {
        call_id: text_at(&["tool_call_id", "toolCallId", "tool_use_id"]),
        name: text_at(&["name"]),
        finish_reason: object
            .get("finish_reason")
            .and_then(Value::as_str)
            .map(str::to_owned),
        ..Message::new(role)
    };
    if role == MessageRole::Tool && message.call_id.is_none() {
        // The conventions' older events.
        message.call_id = text_at(&["id"]);
    }
    message.thinking = text_at(&["reasoning_content", "reasoning", "thinking"]).unwrap_or_default();
    let calls = ["tool_calls", "toolCalls"]
        .iter()
        .find_map(|key| object.get(*key)?.as_array());
    for call in calls.into_iter().flatten() {
        message.calls.extend(blocks::call(call));
    }
    message
        .calls
        .extend(object.get("function_call").and_then(blocks::call));
    if let Some(extra) = object
        .get("additional_kwargs")
        .and_then(|extra| extra.get("tool_calls"))
        .and_then(Value::as_array)
        && message.calls.is_empty()
    {
        message.calls.extend(extra.iter().filter_map(blocks::call));
    }
    let before = out.len();
    for key in ["content", "parts"] {
        match object.get(key) {
            Some(Value::String(text)) => add_text(&mut message, text, out),
            Some(Value::Array(parts)) => blocks::add_parts(parts, &mut message, out),
            Some(Value::Object(part)) if blocks::is_block(part) => {
                blocks::add_parts(&[Value::Object(part.clone())], &mut message, out);
            }
            Some(other @ Value::Object(_)) => add_text(&mut message, &text_of(other), out),
            _ => {}
        }
    }
    if let Some(Value::Array(parts)) = object.get("contents") {
        // OpenInference may hold the same text here and in `content`.
        let text = std::mem::take(&mut message.text);
        blocks::add_parts(parts, &mut message, out);
        if !text.is_empty() {
            message.text = text;
        }
    }
    blocks::finish(message, before, out);
    true
}

/// A message's content may be a JSON string of blocks (Bedrock's, in events).
fn add_text(message: &mut Message, text: &str, out: &mut Vec<Message>) {
    if text.starts_with('[')
        && let Ok(Value::Array(parts)) = serde_json::from_str::<Value>(text)
        && !parts.is_empty()
        && parts
            .iter()
            .all(|part| part.as_object().is_some_and(blocks::is_block))
    {
        blocks::add_parts(&parts, message, out);
    } else {
        message.text.push_str(text);
    }
}

/// `function_call`, `function_call_output` and `reasoning` items.
fn item(object: &Map<String, Value>, out: &mut Vec<Message>) -> bool {
    let kind = object.get("type").and_then(Value::as_str);
    match kind {
        Some("function_call" | "custom_tool_call" | "mcp_call") if object.contains_key("name") => {
            let mut message = Message::new(MessageRole::Assistant);
            message
                .calls
                .extend(blocks::call(&Value::Object(object.clone())));
            out.push(message);
        }
        Some("function_call_output" | "custom_tool_call_output" | "function_call_result") => {
            let output = object.get("output").unwrap_or(&Value::Null);
            let id = ["call_id", "callId", "id"]
                .iter()
                .find_map(|key| object.get(*key)?.as_str());
            out.push(Message {
                call_id: id.map(str::to_owned),
                name: object
                    .get("name")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
                ..Message::text(MessageRole::Tool, text_of(output))
            });
        }
        Some("reasoning") if !object.contains_key("role") => {
            let said = ["summary", "content", "text"]
                .iter()
                .find_map(|key| object.get(*key));
            let text = said.map(text_of).unwrap_or_default();
            if !text.is_empty() {
                out.push(Message {
                    thinking: text,
                    ..Message::new(MessageRole::Assistant)
                });
            }
        }
        _ => return false,
    }
    true
}

/// A role by any of its names.
pub fn role_named(name: &str) -> Option<MessageRole> {
    Some(match name.to_ascii_lowercase().as_str() {
        "user" | "human" => MessageRole::User,
        "assistant" | "ai" | "model" | "bot" | "chatbot" => MessageRole::Assistant,
        "system" | "developer" => MessageRole::System,
        "tool" | "function" => MessageRole::Tool,
        _ => return None,
    })
}

/// LangChain's dictionaries say `type` where others say `role`.
fn typed_role(object: &Map<String, Value>) -> Option<MessageRole> {
    match object.get("type")?.as_str()? {
        "human" | "HumanMessage" => Some(MessageRole::User),
        "ai" | "AIMessage" | "AIMessageChunk" => Some(MessageRole::Assistant),
        "system" | "SystemMessage" => Some(MessageRole::System),
        "tool" | "function" | "ToolMessage"
            if object.contains_key("content") || object.contains_key("data") =>
        {
            Some(MessageRole::Tool)
        }
        _ => None,
    }
}

/// LangChain's constructors: `{"id": ["langchain", …, "HumanMessage"], "kwargs": {…}}`.
fn lang_chain_role(object: &Map<String, Value>) -> Option<MessageRole> {
    let class = object.get("id")?.as_array()?.last()?.as_str()?;
    let class = class.strip_suffix("Chunk").unwrap_or(class);
    role_named(class.strip_suffix("Message")?)
}

impl ToolCall {
    /// Whether both are the same call, as far as can be told.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (&self.id, &other.id) {
            (Some(one), Some(two)) => one == two,
            _ => self.name == other.name && self.arguments == other.arguments,
        }
    }
}
