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

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::event::MessageRole;

pub use blocks::text_of;
pub use flat::unflatten;
pub use shapes::read;

/// One message; as JSON, as a step's input or output holds it where the source
/// has no JSON of its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    /// Who speaks.
    #[serde(serialize_with = "name_of_role")]
    pub role: MessageRole,
    /// What is said.
    #[serde(rename = "content")]
    pub text: String,
    /// The reasoning that came with it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub thinking: String,
    /// The tools that the model wants called.
    #[serde(rename = "tool_calls", skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToolCall>,
    /// Of a tool's answer: which call it answers.
    #[serde(rename = "tool_call_id", skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// Of a tool's answer: the tool; else who speaks, where that is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is not text: kind and size, the data itself stays in the step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<Value>,
    /// Why the model stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
}

// serde asks for a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn name_of_role<S: Serializer>(role: &MessageRole, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(role.as_str())
}

/// A call of a tool, as the model asks for it, and as `agent_messages.tool_calls` holds it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ToolCall {
    /// The model's id of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The tool.
    pub name: String,
    /// Its arguments; a JSON string holding JSON is taken as what it says.
    pub arguments: Value,
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
}

/// Input and output of one call, each in order.
#[derive(Debug, Default)]
pub struct Conversation {
    /// Instructions first, then the history, the latest last.
    pub input: Vec<Message>,
    /// The answer.
    pub output: Vec<Message>,
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
