//! The text of content, and the media in it.

use serde_json::Value;

use super::media::{self, Media};
use crate::ingest::otlp::map::lenient::Purpose;
use crate::ingest::otlp::map::value;

/// The deepest nesting of wrappers around content.
const MAX_WRAPPERS: usize = 6;

/// The text of a result or of content: blocks joined, wrappers such as
/// `{type, value}` removed, anything else as JSON.
pub fn text_of(value: &Value) -> String {
    text_and_media(value, &mut Vec::new())
}

/// The text of a result or of content. Media goes into `found` instead.
pub fn text_and_media(value: &Value, found: &mut Vec<Media>) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain_text(text, found),
        other => blocks_text(other, found, 0).unwrap_or_else(|| {
            let taken = media::take_from(other, found);
            taken.as_ref().unwrap_or(other).to_string()
        }),
    }
}

/// A text without media: some SDKs write the blocks of a result as JSON text.
pub fn plain_text(text: &str, found: &mut Vec<Media>) -> String {
    if holds_media(text)
        && let Some(value) = value::structured(text, Purpose::Values)
    {
        let before = found.len();
        let rest = text_and_media(&value, found);
        if found.len() > before {
            return rest;
        }
    }
    if let Some(rest) = media::take_from_text(text, found) {
        return rest;
    }
    text.to_owned()
}

/// Whether a text may be JSON with media in it.
fn holds_media(text: &str) -> bool {
    /// No media is smaller.
    const SHORT_BYTES: usize = 64;
    const SIGNS: [&str; 9] = [
        "base64",
        "iVBORw0KGgo",
        "/9j/",
        "R0lGOD",
        "JVBERi0",
        "inlineData",
        "inline_data",
        "\"blob\"",
        "\"bytes\"",
    ];
    const TYPES: [&str; 4] = ["mimeType", "mime_type", "media_type", "mediaType"];
    let contains = |words: &[&str]| words.iter().any(|word| text.contains(word));
    text.len() > SHORT_BYTES
        && text.trim_start().starts_with(['{', '[', '"'])
        && (contains(&SIGNS) || text.contains("\"data\"") && contains(&TYPES))
}

/// The text of a block, a list of blocks or a wrapper. `None` if it is none.
fn blocks_text(value: &Value, found: &mut Vec<Media>, depth: usize) -> Option<String> {
    if depth > MAX_WRAPPERS {
        return None;
    }
    let object = match value {
        Value::String(text) => return Some(plain_text(text, found)),
        Value::Array(items) => {
            let before = found.len();
            let texts = items
                .iter()
                .map(|item| item_text(item, found, depth + 1))
                .collect::<Option<Vec<_>>>();
            if texts.is_none() {
                found.truncate(before);
            }
            return texts.map(|texts| texts.concat());
        }
        Value::Object(object) => object,
        _ => return None,
    };
    if let Some(text) = object.get("text").and_then(Value::as_str) {
        return Some(plain_text(text, found));
    }
    // OpenInference.
    if let Some(inner) = object.get("message_content") {
        return blocks_text(inner, found, depth + 1);
    }
    if let Some(media) = media::of_part(object) {
        found.push(media);
        return Some(String::new());
    }
    // MCP: {"type": "resource", "resource": {"uri", "mimeType", "text"}}.
    if let Some(text) = object
        .get("resource")
        .and_then(|inner| inner.get("text")?.as_str())
    {
        return Some(plain_text(text, found));
    }
    let inner = |key: &str| object.get(key);
    let of_inner = |value: &Value, found: &mut Vec<Media>| {
        Some(blocks_text(value, found, depth + 1).unwrap_or_else(|| text_and_media(value, found)))
    };
    // MCP's result.
    if let Some(content @ Value::Array(_)) = inner("content")
        && object.keys().all(|key| is_key_of_mcp_result(key))
    {
        return of_inner(content, found);
    }
    // Bedrock's {"json": …}, the Vercel SDK's {"type": "text" | "json", "value": …}.
    if object.len() == 1
        && let Some(json) = inner("json")
    {
        return Some(json.to_string());
    }
    if object.len() == 2 && object.contains_key("type") {
        return of_inner(inner("value").or_else(|| inner("content"))?, found);
    }
    // Gemini's functionResponse: {"response": {"result": …}}.
    if object.len() == 1 {
        return of_inner(inner("result").or_else(|| inner("output"))?, found);
    }
    None
}

/// The text of an item of a list of blocks.
fn item_text(item: &Value, found: &mut Vec<Media>, depth: usize) -> Option<String> {
    match item {
        Value::Array(_) => None,
        item => blocks_text(item, found, depth),
    }
}

/// Whether a result of MCP has a field of this name.
pub fn is_key_of_mcp_result(key: &str) -> bool {
    matches!(
        key,
        "content"
            | "isError"
            | "is_error"
            | "meta"
            | "_meta"
            | "structuredContent"
            | "structured_content"
    )
}
