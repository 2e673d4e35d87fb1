//! Reads the parts of one message: text, reasoning, tool calls, tool results and
//! media.

use serde_json::{Map, Value};

use super::calls::{KnownCalls, parse_tool_call, parse_tool_result};
use super::content::{text_and_media, text_of};
use super::media::{self, Media};
use super::message::{ChatMessage, ToolCall};
use super::roles::role_of_part;
use crate::event::MessageRole;
use crate::ingest::otlp::map::lenient::Purpose;
use crate::ingest::otlp::map::value;

/// One part of a message.
enum MessagePart {
    Text(String, Vec<Media>),
    Thinking(String),
    Call(ToolCall),
    Result(ChatMessage),
    Media(Media),
    /// A call and its result in one part, as the Vercel SDK's messages of a page.
    CallAndResult(ToolCall, ChatMessage),
}

/// Whether an object is a part of a message, and not a message with a role.
pub fn is_block(object: &Map<String, Value>) -> bool {
    if object.contains_key("role") || object.contains_key("message") {
        return false;
    }
    if let Some(kind) = object.get("type").and_then(Value::as_str)
        && kind.starts_with(|c: char| c.is_ascii_uppercase())
    {
        // The class of a printed object.
        const ENDS: [&str; 5] = ["Part", "Content", "Block", "Call", "Result"];
        return ENDS.iter().any(|end| kind.ends_with(end)) || media::names_media(object);
    }
    if let Some(kind) = object.get("type").and_then(Value::as_str) {
        let message = matches!(
            kind,
            "message"
                | "human"
                | "ai"
                | "system"
                | "tool"
                | "function_call_output"
                | "json"
                | "chat_messages"
                | "list"
                | "constructor"
        );
        return !message
            && ["data", "kwargs", "messages", "value"]
                .iter()
                .all(|key| !object.contains_key(*key))
            || media::names_media(object);
    }
    const KEYS: [&str; 13] = [
        "text",
        "reasoning",
        "toolUse",
        "toolResult",
        "reasoningContent",
        "functionCall",
        "functionResponse",
        "message_content",
        "inlineData",
        "inline_data",
        "tool_call_result",
        "fileData",
        "file_data",
    ];
    let nested_call = object.get("tool_call").is_some_and(Value::is_object);
    (nested_call || KEYS.iter().any(|key| object.contains_key(*key)) || media::names_media(object))
        && !["messages", "toolCalls", "tool_calls", "files"]
            .iter()
            .any(|key| object.contains_key(*key))
}

/// Adds parts to a message. Tool results become separate messages in `out`.
pub fn add_parts(parts: &[Value], message: &mut ChatMessage, out: &mut Vec<ChatMessage>) {
    let mut known: Option<KnownCalls> = None;
    let mut add_call = |message: &mut ChatMessage, call: ToolCall| {
        let known = known.get_or_insert_with(|| KnownCalls::of(&message.calls));
        if known.insert(&call) {
            message.calls.push(call);
        }
    };
    for part in parts {
        match classify_part(part) {
            Some(MessagePart::Text(text, media)) => {
                message.text.push_str(&text);
                message.media.extend(media);
            }
            Some(MessagePart::Thinking(text)) => message.thinking.push_str(&text),
            Some(MessagePart::Call(call)) => add_call(message, call),
            Some(MessagePart::Result(result)) => out.push(result),
            Some(MessagePart::Media(media)) => message.media.push(media),
            Some(MessagePart::CallAndResult(call, result)) => {
                add_call(message, call);
                out.push(result);
            }
            None => {}
        }
    }
}

/// Adds parts that are not in a message, and then the messages that they make.
/// Parts of Pydantic AI name the role of the message that they are.
pub fn add_standalone_parts(
    parts: &[Value],
    message: &mut ChatMessage,
    out: &mut Vec<ChatMessage>,
) {
    let own_role = message.role;
    let mut start = 0;
    while start < parts.len() {
        let role = |part: &Value| role_of_part(part).unwrap_or(own_role);
        message.role = role(&parts[start]);
        let length = parts[start..]
            .iter()
            .position(|part| role(part) != message.role);
        let end = length.map_or(parts.len(), |length| start + length);
        let before = out.len();
        add_parts(&parts[start..end], message, out);
        let done = std::mem::replace(message, ChatMessage::new(own_role));
        finish_message(done, before, out);
        start = end;
    }
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
        // A call comes before its result, also if one message holds both.
        let at = if message.calls.is_empty() {
            out.len()
        } else {
            before
        };
        out.insert(at, message);
    }
}

fn text_part(value: &Value) -> MessagePart {
    let mut media = Vec::new();
    let text = text_and_media(value, &mut media);
    MessagePart::Text(text, media)
}

fn classify_part(part: &Value) -> Option<MessagePart> {
    let object = match part {
        Value::String(text) => {
            // AutoGen and others print the parts of a message.
            return match value::structured(text, Purpose::Messages) {
                Some(inner @ Value::Object(_)) if is_typed_part(&inner) => classify_part(&inner),
                _ => Some(text_part(part)),
            };
        }
        Value::Object(object) => object,
        _ => return None,
    };
    // OpenInference: {"message_content": {…}} or {"message_content": {…}, "tool_call": {…}}.
    if let Some(inner) = object.get("tool_call").filter(|inner| inner.is_object()) {
        return parse_tool_call(inner).map(MessagePart::Call);
    }
    if let Some(inner) = object.get("message_content") {
        return classify_part(inner);
    }
    if let Some(Value::Object(inner)) = object.get("tool_call_result") {
        return Some(MessagePart::Result(parse_tool_result(inner)));
    }
    let value_at = |keys: &[&str]| keys.iter().find_map(|key| object.get(*key));
    let kind = [
        "type",
        "part_kind",
        "block_type",
        "kind",
        "$type",
        "content_type",
    ]
    .iter()
    .find_map(|key| object.get(*key)?.as_str())
    .unwrap_or_default();
    match kind {
        "text" | "input_text" | "output_text" | "refusal" | "text-plain" | "user-prompt"
        | "system-prompt" | "TextPart" | "TextContent" | "TextBlock" | "UserPromptPart"
        | "SystemPromptPart" => {
            return value_at(&["text", "content", "refusal"]).map(text_part);
        }
        "reasoning" | "thinking" | "redacted_thinking" | "ThinkingPart" | "ThinkingBlock"
        | "ReasoningContent" => {
            let keys = [
                "content",
                "thinking",
                "text",
                "reasoning",
                "summary",
                "reasoning_text",
            ];
            let text = text_of(value_at(&keys)?);
            // OpenLLMetry writes the parts of the summary as a JSON string.
            let text = if text.starts_with('[') {
                text_of(&value::parse(&text))
            } else {
                text
            };
            return Some(MessagePart::Thinking(text));
        }
        "tool_use"
        | "tool_call"
        | "tool-call"
        | "function_call"
        | "server_tool_use"
        | "mcp_tool_use"
        | "dynamic-tool"
        | "toolCall"
        | "ToolCallPart"
        | "ToolCall"
        | "FunctionCall"
        | "ToolUseBlock"
        | "ToolCallBlock"
        | "builtin-tool-call"
        | "FunctionCallContent"
        | "functionCall" => {
            return parse_tool_call(part).map(MessagePart::Call);
        }
        "tool_result"
        | "tool_call_response"
        | "tool-result"
        | "tool_response"
        | "function_call_output"
        | "mcp_tool_result"
        | "web_search_tool_result"
        | "tool-return"
        | "builtin-tool-return"
        | "toolResult"
        | "ToolReturnPart"
        | "RetryPromptPart"
        | "retry-prompt"
        | "ToolCallResult"
        | "FunctionExecutionResult"
        | "ToolResultBlock"
        | "FunctionResultContent"
        | "functionResult" => {
            return Some(MessagePart::Result(parse_tool_result(object)));
        }
        "tool-invocation" => {
            let inner = object.get("toolInvocation")?;
            let call = parse_tool_call(inner)?;
            let result = inner
                .as_object()
                .filter(|inner| inner.contains_key("result"));
            return Some(match result {
                Some(result) => MessagePart::CallAndResult(call, parse_tool_result(result)),
                None => MessagePart::Call(call),
            });
        }
        // Markers between the parts of the Vercel SDK.
        "step-start" | "step-finish" | "tool-approval-request" => return None,
        _ => {}
    }
    if let Some(inner) = value_at(&["toolUse", "functionCall", "function_call"]) {
        return parse_tool_call(inner).map(MessagePart::Call);
    }
    if let Some(Value::Object(inner)) =
        value_at(&["toolResult", "functionResponse", "function_response"])
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
    if let Some(Value::Object(inner)) = object.get("reasoning") {
        // Haystack.
        return inner
            .get("reasoning_text")
            .map(text_of)
            .map(MessagePart::Thinking);
    }
    if object.get("thought").and_then(Value::as_bool) == Some(true) {
        return value_at(&["text"]).map(text_of).map(MessagePart::Thinking);
    }
    match object.get("text") {
        Some(text @ Value::String(_)) => Some(text_part(text)),
        _ => Some(MessagePart::Media(media::describe(kind, object))),
    }
}

/// Whether a value in a text is a part of a message rather than a text about one.
fn is_typed_part(value: &Value) -> bool {
    let kind = value.get("type").and_then(Value::as_str);
    kind.is_some_and(|kind| {
        kind.ends_with("Part") || kind.ends_with("Content") || kind.ends_with("Block")
    })
}
