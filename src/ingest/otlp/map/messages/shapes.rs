//! Finds the messages in conversations, requests and responses of any format.

use serde_json::{Map, Value};

use super::blocks::{self, text_of};
use super::message::ChatMessage;
use crate::event::MessageRole;
use crate::ingest::otlp::map::value;

/// The deepest nesting of containers that is searched, such as
/// `{"data": {"messages": [[…]]}}`. Real formats need less.
const MAX_DEPTH: usize = 8;
/// The most messages that are read from one value. No model reads as many.
const MAX_MESSAGES: usize = 10_000;

/// Reads the messages in a value, in order. `role` is the role of a message that
/// names none.
pub fn read(value: &Value, role: MessageRole) -> Vec<ChatMessage> {
    let mut messages = Vec::new();
    collect(value, role, 0, &mut messages);
    messages
}

fn collect(value: &Value, role: MessageRole, depth: usize, out: &mut Vec<ChatMessage>) {
    if depth > MAX_DEPTH || out.len() >= MAX_MESSAGES {
        return;
    }
    match value {
        Value::String(text) => collect_text(text, role, depth, out),
        Value::Array(items) => collect_array(items, role, depth, out),
        Value::Object(object) => {
            collect_object(object, role, depth, out);
        }
        _ => {}
    }
}

/// Adds a text, or the messages in it: a JSON string may hold a conversation.
fn collect_text(text: &str, role: MessageRole, depth: usize, out: &mut Vec<ChatMessage>) {
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
    out.push(ChatMessage::text(role, text));
}

fn collect_array(items: &[Value], role: MessageRole, depth: usize, out: &mut Vec<ChatMessage>) {
    // LangChain's short form: ["user", "text"].
    if let [Value::String(who), Value::String(text)] = items
        && let Some(role) = role_named(who)
    {
        out.push(ChatMessage::text(role, text.as_str()));
        return;
    }
    let is_block = |item: &Value| item.as_object().is_some_and(blocks::is_block);
    if !items.is_empty() && items.iter().all(|item| is_block(item) || item.is_string()) {
        let mut message = ChatMessage::new(role);
        blocks::add_standalone_parts(items, &mut message, out);
        return;
    }
    for item in items {
        collect(item, role, depth + 1, out);
    }
}

/// Adds the messages in a request, response, wrapper or message. Returns false
/// if the object is none of these.
fn collect_object(
    object: &Map<String, Value>,
    role: MessageRole,
    depth: usize,
    out: &mut Vec<ChatMessage>,
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
        return collect_message(kwargs, role, out);
    }
    if let (Some(data), Some(role)) = (get("data").and_then(Value::as_object), typed_role(object)) {
        return collect_message(data, role, out);
    }
    // Items of the Responses API that are not messages.
    if collect_responses_item(object, out) {
        return true;
    }
    if is_message(object) {
        return collect_message(object, typed_role(object).unwrap_or(role), out);
    }
    // In a request, the instructions come before the conversation.
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
        out.push(ChatMessage::text(role, text));
    }
    out.len() > before
}

/// Whether an object is a message: it has a role (or LangChain's `type`) and content.
fn is_message(object: &Map<String, Value>) -> bool {
    let content_keys = [
        "content",
        "parts",
        "contents",
        "tool_calls",
        "toolCalls",
        "function_call",
        "thinking",
    ];
    (object.get("role").is_some_and(Value::is_string) || typed_role(object).is_some())
        && content_keys.iter().any(|key| object.contains_key(*key))
}

fn collect_message(
    object: &Map<String, Value>,
    role: MessageRole,
    out: &mut Vec<ChatMessage>,
) -> bool {
    let role = object
        .get("role")
        .and_then(Value::as_str)
        .and_then(role_named)
        .unwrap_or(role);
    let text_at = |keys: &[&str]| {
        let found = keys.iter().find_map(|key| object.get(*key)?.as_str());
        found.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let mut message = ChatMessage {
        call_id: text_at(&["tool_call_id", "toolCallId", "tool_use_id"]),
        name: text_at(&["name"]),
        finish_reason: object
            .get("finish_reason")
            .and_then(Value::as_str)
            .map(str::to_owned),
        ..ChatMessage::new(role)
    };
    if role == MessageRole::Tool && message.call_id.is_none() {
        // The events of older GenAI conventions.
        message.call_id = text_at(&["id"]);
    }
    message.thinking = text_at(&["reasoning_content", "reasoning", "thinking"]).unwrap_or_default();
    let calls = ["tool_calls", "toolCalls"]
        .iter()
        .find_map(|key| object.get(*key)?.as_array());
    for call in calls.into_iter().flatten() {
        message.calls.extend(blocks::parse_tool_call(call));
    }
    message.calls.extend(
        object
            .get("function_call")
            .and_then(blocks::parse_tool_call),
    );
    if let Some(extra) = object
        .get("additional_kwargs")
        .and_then(|extra| extra.get("tool_calls"))
        .and_then(Value::as_array)
        && message.calls.is_empty()
    {
        message
            .calls
            .extend(extra.iter().filter_map(blocks::parse_tool_call));
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
    blocks::finish_message(message, before, out);
    true
}

/// Adds text to a message. Content in events of Bedrock is a JSON string of blocks.
fn add_text(message: &mut ChatMessage, text: &str, out: &mut Vec<ChatMessage>) {
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

/// Adds a `function_call`, `function_call_output` or `reasoning` item. Returns
/// false if the object is none of these.
fn collect_responses_item(object: &Map<String, Value>, out: &mut Vec<ChatMessage>) -> bool {
    let kind = object.get("type").and_then(Value::as_str);
    match kind {
        Some("function_call" | "custom_tool_call" | "mcp_call") if object.contains_key("name") => {
            let mut message = ChatMessage::new(MessageRole::Assistant);
            message
                .calls
                .extend(blocks::parse_tool_call(&Value::Object(object.clone())));
            out.push(message);
        }
        Some("function_call_output" | "custom_tool_call_output" | "function_call_result") => {
            let output = object.get("output").unwrap_or(&Value::Null);
            let id = ["call_id", "callId", "id"]
                .iter()
                .find_map(|key| object.get(*key)?.as_str());
            out.push(ChatMessage {
                call_id: id.map(str::to_owned),
                name: object
                    .get("name")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
                ..ChatMessage::text(MessageRole::Tool, text_of(output))
            });
        }
        Some("reasoning") if !object.contains_key("role") => {
            let reasoning = ["summary", "content", "text"]
                .iter()
                .find_map(|key| object.get(*key));
            let text = reasoning.map(text_of).unwrap_or_default();
            if !text.is_empty() {
                out.push(ChatMessage {
                    thinking: text,
                    ..ChatMessage::new(MessageRole::Assistant)
                });
            }
        }
        _ => return false,
    }
    true
}

/// The role for any of its names.
pub fn role_named(name: &str) -> Option<MessageRole> {
    Some(match name.to_ascii_lowercase().as_str() {
        "user" | "human" => MessageRole::User,
        "assistant" | "ai" | "model" | "bot" | "chatbot" => MessageRole::Assistant,
        "system" | "developer" => MessageRole::System,
        "tool" | "function" => MessageRole::Tool,
        _ => return None,
    })
}

/// The role in LangChain's dictionaries, which have `type` instead of `role`.
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

/// The role in LangChain's constructors:
/// `{"id": ["langchain", …, "HumanMessage"], "kwargs": {…}}`.
fn lang_chain_role(object: &Map<String, Value>) -> Option<MessageRole> {
    let class = object.get("id")?.as_array()?.last()?.as_str()?;
    let class = class.strip_suffix("Chunk").unwrap_or(class);
    role_named(class.strip_suffix("Message")?)
}
