//! Messages, tool calls and conversations in the common format.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::media::Media;

use crate::event::MessageRole;

/// A message of a conversation. Its JSON is the input or output of a step if the
/// source has no JSON for them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChatMessage {
    /// The role of the speaker.
    #[serde(serialize_with = "name_of_role")]
    pub role: MessageRole,
    /// The text of the message.
    #[serde(rename = "content")]
    pub text: String,
    /// The reasoning of the model.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub thinking: String,
    /// The tool calls that the model requests.
    #[serde(rename = "tool_calls", skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToolCall>,
    /// For a tool result: the id of the call that it answers.
    #[serde(rename = "tool_call_id", skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// For a tool result: the name of the tool. Else the name of the speaker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Other content. Its data goes into the step, its description into the message.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<Media>,
    /// Why the model stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
}

// serde passes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn name_of_role<S: Serializer>(role: &MessageRole, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(role.as_str())
}

/// A tool call that a model requests. Its JSON is an element of
/// `agent_messages.tool_calls`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ToolCall {
    /// The id that the model gave the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The name of the tool.
    pub name: String,
    /// The arguments. A string that holds JSON is parsed.
    pub arguments: Value,
}

impl ChatMessage {
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

    /// A message with text only.
    pub fn text(role: MessageRole, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::new(role)
        }
    }

    /// Whether the message has no content.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
            && self.thinking.is_empty()
            && self.calls.is_empty()
            && self.media.is_empty()
            && self.call_id.is_none()
    }
}

/// A digest of the id of a call. The id may be long, and many messages may depend on it.
pub type CallDigest = [u8; 32];

/// The input and output of one model call, each in order.
#[derive(Debug, Default)]
pub struct Conversation {
    /// The instructions, then the history from oldest to newest.
    pub input: Vec<ChatMessage>,
    /// The answer.
    pub output: Vec<ChatMessage>,
    /// The call, if its messages are told nowhere else: the provider keeps the
    /// history, and no other call repeats it.
    pub(in crate::ingest::otlp::map) only_in_call: Option<CallDigest>,
}

/// Joins the parts of one message.
///
/// OpenAI's Responses API has one item for the text and one for each call.
/// Google's ADK records streams by chunk, and only the last chunk has a finish
/// reason. Alternative answers, which have a text each, stay separate.
pub fn join(messages: Vec<ChatMessage>) -> Vec<ChatMessage> {
    let mut joined: Vec<ChatMessage> = Vec::with_capacity(messages.len());
    for message in messages.into_iter().filter(|message| !message.is_empty()) {
        let assistant = message.role == MessageRole::Assistant;
        match joined.last_mut() {
            Some(last)
                if assistant
                    && last.role == MessageRole::Assistant
                    && continues(last, &message) =>
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

/// Whether `next` is a part of the same message as `last`.
fn continues(last: &ChatMessage, next: &ChatMessage) -> bool {
    let chunk = last.finish_reason.as_deref() == Some("");
    chunk || last.text.is_empty() || next.text.is_empty()
}
