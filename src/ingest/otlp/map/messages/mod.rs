//! Conversations in whatever form they come, as one form.
//!
//! SDKs write messages as OpenAI, Anthropic, Bedrock, Gemini, LangChain, the
//! conventions or the Vercel SDK shape them, whole requests and responses
//! included. [`read`] tells the shapes apart by the keys they have; nothing
//! depends on who wrote them, so an SDK that mixes shapes is read as well.

mod blocks;
mod flat;
mod shapes;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use crate::event::MessageRole;

pub use blocks::text_of;
pub use flat::unflatten;
pub use shapes::read;

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: MessageRole,
    /// What is said.
    pub text: String,
    /// The reasoning that came with it.
    pub thinking: String,
    /// The tools that the model wants called.
    pub calls: Vec<ToolCall>,
    /// Of a tool's answer: which call it answers.
    pub call_id: Option<String>,
    /// Of a tool's answer: the tool; else who speaks, where that is said.
    pub name: Option<String>,
    /// What is not text: kind and size, the data itself stays in the step.
    pub media: Vec<Value>,
    /// Why the model stopped.
    pub finish_reason: Option<String>,
}

/// A call of a tool, as the model asks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// The model's id of the call.
    pub id: Option<String>,
    /// The tool.
    pub name: String,
    /// Its arguments; a JSON string holding JSON is taken as what it says.
    pub arguments: Value,
}

impl ToolCall {
    /// As `agent_messages.tool_calls` holds it.
    pub fn to_json(&self) -> Value {
        match &self.id {
            Some(id) => json!({"id": id, "name": self.name, "arguments": self.arguments}),
            None => json!({"name": self.name, "arguments": self.arguments}),
        }
    }
}

impl Message {
    /// An empty message.
    pub fn new(role: MessageRole) -> Self {
        Self {
            role,
            text: String::new(),
            thinking: String::new(),
            calls: Vec::new(),
            call_id: None,
            name: None,
            media: Vec::new(),
            finish_reason: None,
        }
    }

    /// A message of text alone.
    pub fn text(role: MessageRole, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::new(role)
        }
    }

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
            && self.thinking.is_empty()
            && self.calls.is_empty()
            && self.media.is_empty()
            && self.call_id.is_none()
    }

    /// As a step's input or output holds it where the source has no JSON of its own.
    pub fn to_json(&self) -> Value {
        let mut object = json!({"role": self.role.as_str(), "content": self.text});
        let calls: Vec<_> = self.calls.iter().map(ToolCall::to_json).collect();
        let fields = [
            (
                "thinking",
                (!self.thinking.is_empty()).then(|| self.thinking.clone().into()),
            ),
            ("tool_calls", (!calls.is_empty()).then(|| calls.into())),
            ("tool_call_id", self.call_id.clone().map(Value::from)),
            ("name", self.name.clone().map(Value::from)),
            (
                "media",
                (!self.media.is_empty()).then(|| self.media.clone().into()),
            ),
            ("finish_reason", self.finish_reason.clone().map(Value::from)),
        ];
        for (key, value) in fields {
            if let Some(value) = value {
                object[key] = value;
            }
        }
        object
    }
}

/// Puts together what is one message though it came as several: OpenAI's
/// Responses API has an item for the text and for each call, and streams are
/// recorded a chunk at a time (Google's ADK: no chunk but the last has a reason
/// to finish). Alternatives, of which each has its own text, stay apart.
pub fn join(messages: Vec<Message>) -> Vec<Message> {
    let mut joined: Vec<Message> = Vec::with_capacity(messages.len());
    for message in messages.into_iter().filter(|message| !message.is_empty()) {
        let assistant = message.role == MessageRole::Assistant;
        match joined.last_mut() {
            Some(last)
                if assistant && last.role == MessageRole::Assistant && goes_on(last, &message) =>
            {
                last.text.push_str(&message.text);
                last.thinking.push_str(&message.thinking);
                last.calls.extend(message.calls);
                last.media.extend(message.media);
                last.finish_reason = message.finish_reason.or(last.finish_reason.take());
            }
            _ => joined.push(message),
        }
    }
    joined
}

fn goes_on(last: &Message, next: &Message) -> bool {
    let chunk = last.finish_reason.as_deref() == Some("");
    chunk || last.text.is_empty() || next.text.is_empty()
}
