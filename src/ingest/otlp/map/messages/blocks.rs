//! Reads the parts of one message: text, reasoning, tool calls, tool results and
//! media.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use serde_json::{Map, Value, json};

use super::message::{ChatMessage, ToolCall};
use crate::event::MessageRole;
use crate::ingest::otlp::map::value;

/// One part of a message.
enum MessagePart {
    Text(String),
    Thinking(String),
    Call(ToolCall),
    Result(ChatMessage),
    Media(Value),
}

/// Whether an object is a part of a message, and not a message with a role.
pub fn is_block(object: &Map<String, Value>) -> bool {
    if object.contains_key("role") || object.contains_key("message") {
        return false;
    }
    if let Some(kind) = object.get("type").and_then(Value::as_str) {
        let message = matches!(
            kind,
            "message" | "human" | "ai" | "system" | "tool" | "function_call_output"
        );
        return !message && !object.contains_key("data") && !object.contains_key("kwargs");
    }
    const KEYS: [&str; 9] = [
        "text",
        "toolUse",
        "toolResult",
        "reasoningContent",
        "functionCall",
        "functionResponse",
        "message_content",
        "inlineData",
        "inline_data",
    ];
    KEYS.iter().any(|key| object.contains_key(*key)) && !object.contains_key("messages")
}

/// Finds repeated tool calls. Two calls are the same if their ids are or, if one of them
/// has no id, if their names and arguments are.
///
/// It keeps hashes only, under random keys: equal hashes count as equal.
#[derive(Default)]
struct KnownCalls {
    keys: RandomState,
    ids: HashSet<u64>,
    contents: HashSet<u64>,
    contents_without_id: HashSet<u64>,
}

impl KnownCalls {
    fn of(calls: &[ToolCall]) -> Self {
        let mut known = Self::default();
        for call in calls {
            known.insert(call);
        }
        known
    }

    /// Adds a call. False if it is known.
    fn insert(&mut self, call: &ToolCall) -> bool {
        let content = self.keys.hash_one((&call.name, &call.arguments));
        let id = call.id.as_ref().map(|id| self.keys.hash_one(id));
        let is_known = match &id {
            Some(id) => self.ids.contains(id) || self.contents_without_id.contains(&content),
            None => self.contents.contains(&content),
        };
        if !is_known {
            self.contents.insert(content);
            match id {
                Some(id) => self.ids.insert(id),
                None => self.contents_without_id.insert(content),
            };
        }
        !is_known
    }
}

/// Adds parts to a message. Tool results become separate messages in `out`.
pub fn add_parts(parts: &[Value], message: &mut ChatMessage, out: &mut Vec<ChatMessage>) {
    let mut known: Option<KnownCalls> = None;
    for part in parts {
        match classify_part(part) {
            Some(MessagePart::Text(text)) => message.text.push_str(&text),
            Some(MessagePart::Thinking(text)) => message.thinking.push_str(&text),
            Some(MessagePart::Call(call)) => {
                let known = known.get_or_insert_with(|| KnownCalls::of(&message.calls));
                if known.insert(&call) {
                    message.calls.push(call);
                }
            }
            Some(MessagePart::Result(result)) => out.push(result),
            Some(MessagePart::Media(media)) => message.media.push(media),
            None => {}
        }
    }
}

/// Adds parts that are not in a message, and then the message that they make.
pub fn add_standalone_parts(
    parts: &[Value],
    message: &mut ChatMessage,
    out: &mut Vec<ChatMessage>,
) {
    let before = out.len();
    add_parts(parts, message, out);
    let message = std::mem::replace(message, ChatMessage::new(message.role));
    finish_message(message, before, out);
}

/// Adds a finished message to `out`, where the tool results in it already are,
/// from index `before` on.
///
/// A message that had only tool results is dropped. A tool message with results
/// and other content loses its call id, which goes to the results.
pub fn finish_message(mut message: ChatMessage, before: usize, out: &mut Vec<ChatMessage>) {
    let has_results = out.len() > before;
    if has_results {
        for result in &mut out[before..] {
            result.call_id = result.call_id.take().or_else(|| message.call_id.clone());
            result.name = result.name.take().or_else(|| message.name.clone());
        }
        if message.role == MessageRole::Tool {
            message.call_id = None;
        }
    }
    if !message.calls.is_empty() && message.role != MessageRole::Assistant {
        // Strands records tool calls in messages with the role of a tool.
        message.role = MessageRole::Assistant;
        message.call_id = None;
    }
    let has_content = !message.text.is_empty()
        || !message.thinking.is_empty()
        || !message.calls.is_empty()
        || !message.media.is_empty();
    if has_content || !has_results && message.call_id.is_some() {
        out.push(message);
    }
}

fn classify_part(part: &Value) -> Option<MessagePart> {
    let object = match part {
        Value::String(text) => return Some(MessagePart::Text(text.clone())),
        Value::Object(object) => object,
        _ => return None,
    };
    // OpenInference: {"message_content": {…}} or {"message_content": {…}, "tool_call": {…}}.
    if let Some(inner) = object.get("tool_call") {
        return parse_tool_call(inner).map(MessagePart::Call);
    }
    if let Some(inner) = object.get("message_content") {
        return classify_part(inner);
    }
    let text_at = |keys: &[&str]| keys.iter().find_map(|key| object.get(*key)).map(text_of);
    let kind = object
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match kind {
        "text" | "input_text" | "output_text" | "refusal" => {
            return text_at(&["text", "content", "refusal"]).map(MessagePart::Text);
        }
        "reasoning" | "thinking" | "redacted_thinking" => {
            let text = text_at(&["content", "thinking", "text", "reasoning", "summary"])?;
            // OpenLLMetry writes the parts of the summary as a JSON string.
            let text = if text.starts_with('[') {
                text_of(&value::parse(&text))
            } else {
                text
            };
            return Some(MessagePart::Thinking(text));
        }
        "tool_use" | "tool_call" | "tool-call" | "function_call" | "server_tool_use" => {
            return parse_tool_call(part).map(MessagePart::Call);
        }
        "tool_result"
        | "tool_call_response"
        | "tool-result"
        | "tool_response"
        | "function_call_output" => {
            return Some(MessagePart::Result(parse_tool_result(object)));
        }
        _ => {}
    }
    if let Some(inner) = ["toolUse", "functionCall", "function_call"]
        .iter()
        .find_map(|key| object.get(*key))
    {
        return parse_tool_call(inner).map(MessagePart::Call);
    }
    if let Some(Value::Object(inner)) = ["toolResult", "functionResponse", "function_response"]
        .iter()
        .find_map(|key| object.get(*key))
    {
        return Some(MessagePart::Result(parse_tool_result(inner)));
    }
    if let Some(inner) = object.get("reasoningContent") {
        let text = inner
            .pointer("/reasoningText/text")
            .or(Some(inner))
            .map(text_of);
        return text.map(MessagePart::Thinking);
    }
    if object.get("thought").and_then(Value::as_bool) == Some(true) {
        return text_at(&["text"]).map(MessagePart::Thinking);
    }
    match object.get("text") {
        Some(Value::String(text)) => Some(MessagePart::Text(text.clone())),
        _ => Some(MessagePart::Media(media_summary(kind, object))),
    }
}

/// Reads a tool call in the format of any vendor.
pub fn parse_tool_call(value: &Value) -> Option<ToolCall> {
    let object = value.as_object()?;
    // {"tool_call": {…}}, {"function": {…}}, or flat.
    if let Some(inner) = object.get("tool_call") {
        return parse_tool_call(inner);
    }
    let function = object
        .get("function")
        .and_then(Value::as_object)
        .unwrap_or(object);
    let text_at = |object: &Map<String, Value>, keys: &[&str]| {
        let found = keys.iter().find_map(|key| object.get(*key)?.as_str());
        found.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let name = text_at(function, &["name", "toolName", "tool_name"])?;
    let arguments = ["arguments", "args", "input", "parameters"]
        .iter()
        .find_map(|key| function.get(*key));
    let arguments = match arguments {
        Some(Value::String(text)) if text.is_empty() => json!({}),
        Some(Value::String(text)) => value::parse(text),
        Some(other) => other.clone(),
        None => json!({}),
    };
    Some(ToolCall {
        id: text_at(
            object,
            &[
                "call_id",
                "callId",
                "toolCallId",
                "tool_call_id",
                "toolUseId",
                "id",
            ],
        ),
        name,
        arguments,
    })
}

fn parse_tool_result(object: &Map<String, Value>) -> ChatMessage {
    let text_at = |keys: &[&str]| {
        let found = keys.iter().find_map(|key| object.get(*key)?.as_str());
        found.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let content = ["response", "result", "content", "output"]
        .iter()
        .find_map(|key| object.get(*key));
    ChatMessage {
        call_id: text_at(&[
            "tool_use_id",
            "toolUseId",
            "toolCallId",
            "tool_call_id",
            "call_id",
            "id",
        ]),
        name: text_at(&["name", "toolName", "tool_name"]),
        ..ChatMessage::text(MessageRole::Tool, content.map(text_of).unwrap_or_default())
    }
}

/// The kind and size of media. The data itself is only in the step.
fn media_summary(kind: &str, object: &Map<String, Value>) -> Value {
    let kind = if kind.is_empty() {
        object.keys().next().map_or("unknown", String::as_str)
    } else {
        kind
    };
    let bytes: usize = object.values().map(|value| value.to_string().len()).sum();
    json!({"type": kind, "json_bytes": bytes})
}

/// The text of a result or of content: blocks joined, wrappers such as
/// `{type, value}` removed, anything else as JSON.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let texts: Option<Vec<String>> = items.iter().map(text_of_block).collect();
            texts.map_or_else(|| value.to_string(), |texts| texts.concat())
        }
        Value::Object(_) => text_of_block(value).unwrap_or_else(|| value.to_string()),
        other => other.to_string(),
    }
}

fn text_of_block(value: &Value) -> Option<String> {
    let object = match value {
        Value::String(text) => return Some(text.clone()),
        Value::Object(object) => object,
        _ => return None,
    };
    if let Some(text) = object.get("text").and_then(Value::as_str) {
        return Some(text.to_owned());
    }
    // Bedrock's {"json": …}, the Vercel SDK's {"type": "text" | "json", "value": …}.
    if object.len() == 1
        && let Some(inner) = object.get("json")
    {
        return Some(inner.to_string());
    }
    if object.len() == 2 && object.contains_key("type") {
        return object
            .get("value")
            .or_else(|| object.get("content"))
            .map(text_of);
    }
    // Gemini's functionResponse: {"response": {"result": …}}.
    if object.len() == 1 {
        return object
            .get("result")
            .or_else(|| object.get("output"))
            .map(text_of);
    }
    None
}
