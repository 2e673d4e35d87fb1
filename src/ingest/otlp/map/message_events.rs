//! Reads span events and log records that carry one message in the words of a
//! dialect. Those of the conventions are in [`super::span_events`].

use serde_json::Value;

use super::dialects::{Dialect, EventRole};
use super::messages::{ChatMessage, Conversation};
use crate::event::MessageRole;

/// Adds the message of an event to a conversation. Returns whether it carries one.
/// `fields` are its attributes, and those of its body.
pub fn add_message(
    dialect: &Dialect,
    is_named: impl Fn(&str) -> bool,
    fields: &Value,
    to: &mut Conversation,
) -> bool {
    let mut events = dialect.message_events.iter();
    let Some(event) = events.find(|event| is_named(&event.name)) else {
        return false;
    };
    let text = fields.get(&event.text).and_then(Value::as_str);
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return false;
    };
    let (role, side) = match event.role {
        EventRole::System => (MessageRole::System, &mut to.input),
        EventRole::User => (MessageRole::User, &mut to.input),
        EventRole::Tool => (MessageRole::Tool, &mut to.input),
        EventRole::Assistant => (MessageRole::Assistant, &mut to.output),
    };
    side.push(ChatMessage::text(role, text));
    true
}
