//! The roles of messages under all their names.

use serde_json::{Map, Value};

use crate::event::MessageRole;

/// The role for any of its names.
pub fn role_named(name: &str) -> Option<MessageRole> {
    Some(match name.to_ascii_lowercase().as_str() {
        "user" | "human" => MessageRole::User,
        "assistant" | "ai" | "model" | "bot" | "chatbot" => MessageRole::Assistant,
        "system" | "developer" => MessageRole::System,
        // LangWatch knows no role for the result of a tool.
        "tool" | "function" | "ipython" | "unknown" => MessageRole::Tool,
        _ => return None,
    })
}

/// The role that an object names, as a text or as Semantic Kernel writes it.
pub fn role_of(object: &Map<String, Value>) -> Option<MessageRole> {
    let role = object.get("role").or_else(|| object.get("_role"))?;
    let label = || {
        ["label", "Label", "value"]
            .iter()
            .find_map(|key| role.get(*key))
    };
    role_named(role.as_str().or_else(|| label()?.as_str())?)
}

/// The role that the `type` of a message is: LangChain's dictionaries, and the
/// classes of printed objects.
pub fn typed_role(object: &Map<String, Value>) -> Option<MessageRole> {
    // Pydantic AI writes `kind` in JSON.
    if let (Some(kind), Some(_)) = (object.get("kind"), object.get("parts")) {
        match kind.as_str() {
            Some("request") => return Some(MessageRole::User),
            Some("response") => return Some(MessageRole::Assistant),
            _ => {}
        }
    }
    let Some(kind) = object.get("type").and_then(Value::as_str) else {
        // Some exporters drop the type of LangChain's messages.
        let answers = object.contains_key("tool_call_id") && object.contains_key("content");
        return answers.then_some(MessageRole::Tool);
    };
    match kind {
        "human" => Some(MessageRole::User),
        "ai" => Some(MessageRole::Assistant),
        "system" => Some(MessageRole::System),
        "tool" | "function" if object.contains_key("content") || object.contains_key("data") => {
            Some(MessageRole::Tool)
        }
        _ => role_of_class(kind, object),
    }
}

/// The role of a class, such as `HumanMessage` or `ModelResponse`.
fn role_of_class(class: &str, object: &Map<String, Value>) -> Option<MessageRole> {
    match class {
        "ModelRequest" => return Some(MessageRole::User),
        "ModelResponse" | "ToolCallRequestEvent" | "ThoughtEvent" => {
            return Some(MessageRole::Assistant);
        }
        "FunctionExecutionResultMessage" | "ToolCallExecutionEvent" => {
            return Some(MessageRole::Tool);
        }
        _ => {}
    }
    let class = class.strip_suffix("Chunk").unwrap_or(class);
    let word = class.strip_suffix("Message")?;
    if !object.contains_key("content") && !object.contains_key("parts") {
        return None;
    }
    // AutoGen names the speaker, and all its messages have the same classes.
    let speaker = object.get("source").and_then(Value::as_str);
    role_named(word).or_else(|| {
        Some(match speaker? {
            "user" => MessageRole::User,
            _ => MessageRole::Assistant,
        })
    })
}

/// The role in LangChain's constructors:
/// `{"id": ["langchain", …, "HumanMessage"], "kwargs": {…}}`.
pub fn lang_chain_role(object: &Map<String, Value>) -> Option<MessageRole> {
    let class = object.get("id")?.as_array()?.last()?.as_str()?;
    let class = class.strip_suffix("Chunk").unwrap_or(class);
    role_named(class.strip_suffix("Message")?)
}

/// The role of the message that a part of Pydantic AI is.
pub fn role_of_part(part: &Value) -> Option<MessageRole> {
    let kind = ["part_kind", "type"]
        .iter()
        .find_map(|key| part.get(*key)?.as_str());
    Some(match kind? {
        "system-prompt" | "SystemPromptPart" => MessageRole::System,
        "user-prompt" | "UserPromptPart" => MessageRole::User,
        "tool-return" | "ToolReturnPart" | "retry-prompt" | "RetryPromptPart" => MessageRole::Tool,
        _ => return None,
    })
}
