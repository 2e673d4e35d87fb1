//! The items of OpenAI's Responses API that are not messages.

use serde_json::{Map, Value};

use super::calls::{parse_tool_call, text_at};
use super::content::{text_and_media, text_of};
use super::media;
use super::message::ChatMessage;
use crate::event::MessageRole;

/// Adds an item: a tool call, its result, reasoning, or a generated image. Returns
/// false if the object is none of these.
pub fn collect_item(object: &Map<String, Value>, out: &mut Vec<ChatMessage>) -> bool {
    let kind = object.get("type").and_then(Value::as_str);
    match kind {
        Some("function_call" | "custom_tool_call" | "mcp_call") if object.contains_key("name") => {
            let mut message = ChatMessage::new(MessageRole::Assistant);
            message
                .calls
                .extend(parse_tool_call(&Value::Object(object.clone())));
            out.push(message);
            // The provider made this call itself: the item also has the result.
            let result = ["output", "error"]
                .iter()
                .find_map(|key| object.get(*key).filter(|value| !value.is_null()));
            if kind == Some("mcp_call")
                && let Some(result) = result
            {
                out.push(result_message(object, result));
            }
        }
        Some(
            "function_call_output"
            | "custom_tool_call_output"
            | "function_call_result"
            | "computer_call_output"
            | "local_shell_call_output",
        ) => {
            let output = object.get("output").unwrap_or(&Value::Null);
            out.push(result_message(object, output));
        }
        Some("reasoning") if !object.contains_key("role") => {
            let keys = ["summary", "content", "text"].iter();
            let text = keys
                .filter_map(|key| object.get(*key))
                .map(text_of)
                .find(|text| !text.is_empty());
            if let Some(thinking) = text {
                out.push(ChatMessage {
                    thinking,
                    ..ChatMessage::new(MessageRole::Assistant)
                });
            }
        }
        Some("image_generation_call") => {
            let mut message = ChatMessage::new(MessageRole::Assistant);
            message.media.extend(media::of_part(object));
            out.push(message);
        }
        _ => return false,
    }
    true
}

fn result_message(object: &Map<String, Value>, output: &Value) -> ChatMessage {
    let mut media = Vec::new();
    let text = text_and_media(output, &mut media);
    ChatMessage {
        call_id: text_at(object, &["call_id", "callId", "id"]),
        name: text_at(object, &["name"]),
        media,
        ..ChatMessage::text(MessageRole::Tool, text)
    }
}
