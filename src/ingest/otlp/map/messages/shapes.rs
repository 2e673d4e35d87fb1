//! Finds the messages in conversations, requests and responses of any format.

use serde_json::{Map, Value};

use super::blocks;
use super::calls::{parse_tool_call, parse_tool_result, text_at};
use super::content::{is_key_of_mcp_result, plain_text, text_and_media, text_of};
use super::items::collect_item;
use super::media;
use super::message::ChatMessage;
use super::roles::{lang_chain_role, role_named, role_of, role_of_part, typed_role};
use crate::event::MessageRole;
use crate::ingest::otlp::map::lenient::{self, Purpose};
use crate::ingest::otlp::map::value;
use crate::ingest::otlp::wire::AnyValue;

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

/// Reads the messages in an attribute, in order. Damaged JSON gives the messages
/// that are whole.
pub fn read_attribute(attribute: &AnyValue<'_>, role: MessageRole) -> Vec<ChatMessage> {
    let mut messages = Vec::new();
    match attribute {
        AnyValue::String(text) => collect_text(text, role, 0, &mut messages),
        other => collect(&value::json(other), role, 0, &mut messages),
    }
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

/// Adds a text, or the messages in it: a text may hold a conversation as JSON, or
/// as a language prints it.
fn collect_text(text: &str, role: MessageRole, depth: usize, out: &mut Vec<ChatMessage>) {
    if text.is_empty() {
        return;
    }
    match value::structured(text, Purpose::Messages).or_else(|| printed(text)) {
        // A string within a string.
        Some(Value::String(inner)) if depth < MAX_DEPTH => {
            return collect_text(&inner, role, depth + 1, out);
        }
        Some(Value::Array(items)) if items.is_empty() => return,
        Some(inner @ (Value::Array(_) | Value::Object(_))) => {
            let before = out.len();
            collect(&inner, role, depth + 1, out);
            // JSON without messages is no question and no answer by itself. Within
            // a message, it is what was said.
            if out.len() > before || depth == 0 && value::looks_like_json(text) {
                return;
            }
        }
        _ if depth == 0 && is_unreadable_dump(text) => return,
        _ => {}
    }
    out.push(said(role, text));
}

/// A message of a text.
fn said(role: MessageRole, text: &str) -> ChatMessage {
    let mut message = ChatMessage::new(role);
    message.text = plain_text(text, &mut message.media);
    message
}

/// The object that a language printed. `None` if the text is anything else.
fn printed(text: &str) -> Option<Value> {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let end = text.find(|c| !word(c))?;
    let starts_object = end > 0 && text[end..].starts_with(['(', '=']);
    starts_object.then(|| lenient::read(text, Purpose::Messages))?
}

/// Whether a text is a list of messages that is too damaged to be read.
fn is_unreadable_dump(text: &str) -> bool {
    let text = text.trim_start();
    let starts = ["[{", "{\"", "{'", "[[{"];
    let names = [
        "\"role\"",
        "'role'",
        "\"messages\"",
        "'messages'",
        "\"content\"",
    ];
    starts.iter().any(|start| text.starts_with(start))
        && names.iter().any(|name| text.contains(name))
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
    let is_printed = |item: &Value| item.as_str().and_then(printed).is_some();
    if !items.is_empty()
        && items.iter().all(|item| is_block(item) || item.is_string())
        && !is_printed(&items[0])
    {
        let mut message = ChatMessage::new(role);
        blocks::add_standalone_parts(items, &mut message, out);
        return;
    }
    for item in items {
        collect(item, role, depth + 1, out);
    }
}

/// Adds a message that has a role and a text, and nothing else, as most have.
fn collect_plain(object: &Map<String, Value>, out: &mut Vec<ChatMessage>) -> bool {
    let string = |key: &str| object.get(key).and_then(Value::as_str);
    if object.len() == 2
        && let (Some(text), Some(role)) = (string("content"), string("role"))
        && let Some(role) = role_named(role)
    {
        let (mut message, before) = (ChatMessage::new(role), out.len());
        add_text(&mut message, text, out);
        blocks::finish_message(message, before, out);
        return true;
    }
    false
}

/// Adds the messages in a request, response, wrapper or message. Returns false
/// if the object is none of these.
fn collect_object(
    object: &Map<String, Value>,
    role: MessageRole,
    depth: usize,
    out: &mut Vec<ChatMessage>,
) -> bool {
    if collect_plain(object, out) {
        return true;
    }
    let get = |key: &str| object.get(key).filter(|value| !value.is_null());
    let next = depth + 1;
    let before = out.len();
    // Wrappers around one message.
    if let Some(inner) = get("message").filter(|inner| inner.is_object()) {
        if let Some(Value::Array(results)) = get("function") {
            return collect_function_results(results, out);
        }
        collect(inner, role, next, out);
        if let (Some(last), Some(reason)) = (
            out[before..].last_mut(),
            get("finish_reason").and_then(Value::as_str),
        ) {
            last.finish_reason = Some(reason.to_owned());
        }
        return true;
    }
    if let Some(kwargs) = get("kwargs").and_then(Value::as_object) {
        return match lang_chain_role(object) {
            Some(role) => collect_message(kwargs, role, out),
            None => collect_object(kwargs, role, next, out),
        };
    }
    if let (Some(data), Some(role)) = (get("data").and_then(Value::as_object), typed_role(object)) {
        return collect_message(data, role, out);
    }
    // LangWatch and others: {"type": "chat_messages", "value": […]}.
    if let Some(inner) = get("value").filter(|_| object.len() == 2 && get("type").is_some()) {
        collect(inner, role, next, out);
        return true;
    }
    if collect_item(object, out) {
        return true;
    }
    if let Some(Value::Array(parts)) = get("parts")
        && parts.iter().any(|part| role_of_part(part).is_some())
    {
        // A request of Pydantic AI: each part has its own role.
        let mut message = ChatMessage::new(role);
        blocks::add_standalone_parts(parts, &mut message, out);
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
        "preamble",
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
        ("chat_history", role),
        ("prompt", MessageRole::User),
        ("input", MessageRole::User),
        ("choices", answers),
        ("generations", answers),
        ("candidates", answers),
        ("replies", answers),
        ("chat_message", answers),
        ("output", answers),
        ("update", role),
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
        out.push(said(role, text));
    }
    out.len() > before
}

/// AutoGen writes the results of calls beside the message that holds them, each
/// as JSON text.
fn collect_function_results(results: &[Value], out: &mut Vec<ChatMessage>) -> bool {
    for result in results {
        let parsed = match result {
            Value::String(text) => value::parse(text),
            other => other.clone(),
        };
        match parsed {
            Value::Object(result) => out.push(parse_tool_result(&result)),
            other => out.push(ChatMessage::text(MessageRole::Tool, text_of(&other))),
        }
    }
    true
}

/// Whether an object is a message: it has a role (or a `type` that is one) and
/// content; or it is the result of a call of the Vercel SDK.
fn is_message(object: &Map<String, Value>) -> bool {
    let content_keys = [
        "content",
        "_content",
        "parts",
        "contents",
        "items",
        "tool_calls",
        "toolCalls",
        "function_call",
        "thinking",
        "message",
        "audio",
    ];
    let has_role = role_of(object).is_some()
        || object.get("role").is_some_and(Value::is_string)
        || typed_role(object).is_some();
    let has_calls = ["tool_calls", "toolCalls"]
        .iter()
        .any(|key| object.get(*key).is_some_and(Value::is_array));
    has_role && content_keys.iter().any(|key| object.contains_key(*key))
        || has_calls && object.contains_key("text")
}

fn collect_message(
    object: &Map<String, Value>,
    role: MessageRole,
    out: &mut Vec<ChatMessage>,
) -> bool {
    let role = role_of(object).unwrap_or(role);
    let mut message = ChatMessage {
        call_id: text_at(object, &["tool_call_id", "toolCallId", "tool_use_id"]),
        name: text_at(object, &["name"]),
        finish_reason: object
            .get("finish_reason")
            .and_then(Value::as_str)
            .map(str::to_owned),
        ..ChatMessage::new(role)
    };
    if role == MessageRole::Tool && message.call_id.is_none() {
        // The events of older GenAI conventions.
        message.call_id = text_at(object, &["id"]);
    }
    message.thinking = thinking_of(object);
    let array_at = |key: &str| object.get(key).and_then(Value::as_array);
    let calls = ["tool_calls", "toolCalls"]
        .iter()
        .find_map(|key| array_at(key));
    for call in calls.into_iter().flatten() {
        message.calls.extend(parse_tool_call(call));
    }
    message
        .calls
        .extend(object.get("function_call").and_then(parse_tool_call));
    if let Some(extra) = object
        .get("additional_kwargs")
        .and_then(|extra| extra.get("tool_calls"))
        .and_then(Value::as_array)
        && message.calls.is_empty()
    {
        message
            .calls
            .extend(extra.iter().filter_map(parse_tool_call));
    }
    let before = out.len();
    for key in ["content", "_content", "parts", "items", "blocks", "message"] {
        match object.get(key) {
            Some(Value::String(text)) => add_text(&mut message, text, out),
            Some(Value::Array(parts)) => blocks::add_parts(parts, &mut message, out),
            Some(Value::Object(part)) if blocks::is_block(part) => {
                blocks::add_parts(&[Value::Object(part.clone())], &mut message, out);
            }
            Some(other @ Value::Object(_)) => {
                let text = text_and_media(other, &mut message.media);
                message.text.push_str(&text);
            }
            _ => {}
        }
    }
    if let Some(parts) = array_at("contents") {
        // OpenInference may hold the same text here and in `content`.
        let text = std::mem::take(&mut message.text);
        blocks::add_parts(parts, &mut message, out);
        if !text.is_empty() {
            message.text = text;
        }
    }
    if message.text.is_empty()
        && let Some(text) = text_at(object, &["text", "refusal"])
    {
        add_text(&mut message, &text, out);
    }
    add_other_media(object, &mut message);
    blocks::finish_message(message, before, out);
    true
}

/// The reasoning in a message of its own field.
fn thinking_of(object: &Map<String, Value>) -> String {
    let keys = [
        "reasoning_content",
        "reasoning",
        "reasoningText",
        "thinking",
    ];
    let mut texts = keys.iter().filter_map(|key| match object.get(*key)? {
        Value::String(text) => Some(text.clone()),
        parts @ Value::Array(_) => Some(text_of(parts)),
        _ => None,
    });
    texts
        .find(|text| !text.is_empty() && text != "[]")
        .unwrap_or_default()
}

/// Adds media beside the content: Ollama's `images`, the files of the Vercel SDK,
/// spoken answers of OpenAI.
fn add_other_media(object: &Map<String, Value>, message: &mut ChatMessage) {
    for key in ["images", "files"] {
        let items = object.get(key).and_then(Value::as_array);
        for item in items.into_iter().flatten() {
            let part = match item {
                Value::String(data) => serde_json::json!({"type": "image", "image": data}),
                other => other.clone(),
            };
            message
                .media
                .extend(part.as_object().and_then(media::of_part));
        }
    }
    if let Some(Value::Object(audio)) = object.get("audio") {
        let mut part = audio.clone();
        part.insert("type".into(), "audio".into());
        message.media.extend(media::of_part(&part));
        if message.text.is_empty() {
            message.text = text_at(audio, &["transcript"]).unwrap_or_default();
        }
    }
}

/// Adds text to a message. Content in events of Bedrock is a JSON string of blocks.
fn add_text(message: &mut ChatMessage, text: &str, out: &mut Vec<ChatMessage>) {
    if text.starts_with('[')
        && let Some(Value::Array(parts)) = value::structured(text, Purpose::Messages)
        && !parts.is_empty()
        && parts
            .iter()
            .all(|part| part.as_object().is_some_and(blocks::is_block))
    {
        blocks::add_parts(&parts, message, out);
        return;
    }
    if message.role == MessageRole::Tool
        && text.starts_with('{')
        && let Some(result @ Value::Object(_)) = value::structured(text, Purpose::Values)
        && is_mcp_result(&result)
    {
        let text = text_and_media(&result, &mut message.media);
        message.text.push_str(&text);
        return;
    }
    let text = plain_text(text, &mut message.media);
    if message.text.is_empty() {
        message.text = text;
    } else {
        message.text.push_str(&text);
    }
}

/// Whether a value is a result of MCP.
fn is_mcp_result(value: &Value) -> bool {
    let object = value.as_object();
    object.is_some_and(|object| {
        object.get("content").is_some_and(Value::is_array)
            && object.keys().all(|key| is_key_of_mcp_result(key))
    })
}
