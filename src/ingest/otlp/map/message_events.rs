//! Reads span events and log records that carry one message in the words of a
//! dialect. Those of the conventions are in [`super::span_events`].

use serde_json::Value;

use super::dialects::{Dialect, EventRole, MessageEvent};
use super::messages::{ChatMessage, Conversation};
use crate::event::MessageRole;

/// The event of a dialect with this name.
pub fn named(dialect: &Dialect, is_named: impl Fn(&str) -> bool) -> Option<&MessageEvent> {
    let mut events = dialect.message_events.iter();
    events.find(|event| is_named(&event.name))
}

/// The role of the message of an event.
pub fn role(event: &MessageEvent) -> MessageRole {
    match event.role {
        EventRole::System => MessageRole::System,
        EventRole::User => MessageRole::User,
        EventRole::Tool => MessageRole::Tool,
        EventRole::Assistant => MessageRole::Assistant,
    }
}

/// Adds the message of a span event to a conversation. `fields` are its attributes.
pub fn add_message(
    dialect: &Dialect,
    is_named: impl Fn(&str) -> bool,
    fields: &Value,
    to: &mut Conversation,
) {
    let Some(event) = named(dialect, is_named) else {
        return;
    };
    let text = fields.get(&event.text).and_then(Value::as_str);
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return;
    };
    let role = role(event);
    let side = match role {
        MessageRole::Assistant => &mut to.output,
        _ => &mut to.input,
    };
    side.push(ChatMessage::text(role, text));
}
