//! Reads tool calls and their results in the formats of all vendors.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use serde_json::{Map, Value, json};

use super::content::text_and_media;
use super::media;
use super::message::{ChatMessage, ToolCall};
use crate::event::MessageRole;
use crate::ingest::otlp::map::value;

/// The first of the keys whose value is a text that is not empty.
pub fn text_at(object: &Map<String, Value>, keys: &[&str]) -> Option<String> {
    let found = keys
        .iter()
        .find_map(|key| object.get(*key)?.as_str().filter(|text| !text.is_empty()));
    found.map(str::to_owned)
}

/// Reads a tool call.
pub fn parse_tool_call(value: &Value) -> Option<ToolCall> {
    let object = value.as_object()?;
    // {"tool_call": {…}}, {"function": {…}}, or flat.
    if let Some(inner) = object
        .get("tool_call")
        .or_else(|| object.get("toolInvocation"))
    {
        return parse_tool_call(inner);
    }
    let function = object
        .get("function")
        .and_then(Value::as_object)
        .unwrap_or(object);
    let name = text_at(function, &["name", "toolName", "tool_name", "functionName"])
        .or_else(|| text_at(object, &["tool", "function"]))?;
    let arguments = [
        "arguments",
        "args",
        "input",
        "parameters",
        "params",
        "toolInput",
    ]
    .iter()
    .find_map(|key| function.get(*key));
    let arguments = match arguments {
        Some(Value::String(text)) if text.is_empty() => json!({}),
        Some(Value::String(text)) => value::parse(text),
        Some(Value::Null) | None => json!({}),
        Some(other) => other.clone(),
    };
    // Pydantic AI: {"args_json": "…"} or {"args_dict": {…}}.
    let arguments = match &arguments {
        Value::Object(args) if args.len() == 1 => {
            match (args.get("args_json"), args.get("args_dict")) {
                (Some(Value::String(text)), _) => value::parse(text),
                (_, Some(inner)) => inner.clone(),
                _ => arguments,
            }
        }
        _ => arguments,
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
                "tool_use_id",
                "id",
            ],
        ),
        name: plain_tool_name(&name).to_owned(),
        arguments: media::take_from(&arguments, &mut Vec::new()).unwrap_or(arguments),
    })
}

/// The name of a tool without the method that DSPy prints behind it.
pub fn plain_tool_name(name: &str) -> &str {
    name.strip_suffix(".__call__").unwrap_or(name)
}

/// Reads the result of a tool call.
pub fn parse_tool_result(object: &Map<String, Value>) -> ChatMessage {
    // Haystack: {"result", "origin": {"id", "tool_name"}, "error"}.
    let origin = object.get("origin").and_then(Value::as_object);
    let text_at =
        |keys: &[&str]| text_at(object, keys).or_else(|| super::calls::text_at(origin?, keys));
    let content = ["response", "result", "content", "output", "tool_response"]
        .iter()
        .find_map(|key| object.get(*key));
    let mut media = Vec::new();
    let text = content.map(|content| text_and_media(content, &mut media));
    ChatMessage {
        call_id: text_at(&[
            "tool_use_id",
            "toolUseId",
            "toolCallId",
            "tool_call_id",
            "call_id",
            "callId",
            "id",
        ]),
        name: text_at(&["name", "toolName", "tool_name", "functionName"]),
        media,
        ..ChatMessage::text(MessageRole::Tool, text.unwrap_or_default())
    }
}

/// Finds repeated tool calls. Two calls are the same if their ids are or, if one of
/// them has no id, if their names and arguments are.
///
/// It keeps hashes only, under random keys: equal hashes count as equal.
#[derive(Default)]
pub struct KnownCalls {
    keys: RandomState,
    ids: HashSet<u64>,
    contents: HashSet<u64>,
    contents_without_id: HashSet<u64>,
}

impl KnownCalls {
    /// The calls that a message has.
    pub fn of(calls: &[ToolCall]) -> Self {
        let mut known = Self::default();
        for call in calls {
            known.insert(call);
        }
        known
    }

    /// Adds a call. False if it is known.
    pub fn insert(&mut self, call: &ToolCall) -> bool {
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
