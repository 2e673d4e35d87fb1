//! The conversation around one call of a model: what it was given, what it
//! answered, and which message each of them is.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use super::facts::Facts;
use super::ids::{self, Named};
pub use super::messages::Conversation;
use super::messages::{Message, join, read, unflatten};
use super::slots::{Side, Slot};
use super::span_events;
use super::value;
use crate::event::MessageRole;

impl Conversation {
    /// Reads it from wherever the span has it: structured messages, one
    /// attribute a field, span events, or the raw request and response.
    pub fn read(facts: &Facts<'_>) -> Self {
        let mut input = Vec::new();
        if let Some(system) = facts.json(Slot::SystemInstructions) {
            input.extend(read(&system, MessageRole::System));
        }
        let mut found = side(facts, Side::Input);
        let mut output = side(facts, Side::Output);
        let events = span_events::conversation(facts.span);
        if found.is_empty() {
            found = events.input;
        }
        if output.is_empty() {
            output = events.output;
        }
        if found.is_empty()
            && let Some(raw) = facts.json(Slot::Input)
        {
            found = read(&raw, MessageRole::User);
        }
        if output.is_empty()
            && let Some(raw) = facts.json(Slot::Output)
        {
            output = read(&raw, MessageRole::Assistant);
        }
        input.extend(found);
        let mut conversation = Self {
            input: join(input),
            output: join(output),
        };
        conversation.recover_thinking(facts);
        conversation
    }

    /// LangChain's instrumentation leaves reasoning out of its messages; the
    /// raw response has it. Looked for only where tokens were spent on it.
    fn recover_thinking(&mut self, facts: &Facts<'_>) {
        let Some(last) = self.output.last_mut() else {
            return;
        };
        let reasoned = facts
            .count(Slot::UsageReasoning)
            .is_some_and(|tokens| tokens > 0);
        if reasoned
            && last.thinking.is_empty()
            && let Some(raw) = facts.json(Slot::Output)
        {
            let told = read(&raw, MessageRole::Assistant).into_iter();
            last.thinking = told.map(|message| message.thinking).collect();
        }
    }

    /// The text that the latest turn asked: what a run is about.
    pub fn question(&self) -> Option<&str> {
        let asked =
            |message: &&Message| message.role == MessageRole::User && !message.text.is_empty();
        self.input
            .iter()
            .rfind(asked)
            .map(|message| message.text.as_str())
    }

    /// The text that was answered.
    pub fn answer(&self) -> Option<&str> {
        let said =
            |message: &&Message| message.role == MessageRole::Assistant && !message.text.is_empty();
        self.output
            .iter()
            .rfind(said)
            .map(|message| message.text.as_str())
    }

    /// Every message with its id and place. An id follows from the content and
    /// from how often the same was said before in this conversation: so a
    /// message that every later call repeats is one message, and a second "yes"
    /// is another. Positions would not do: what histories drop or split differs.
    pub fn identified(self, scope: Uuid) -> impl Iterator<Item = (Uuid, i64, Message, bool)> {
        // By the id that a message has where it is said first.
        let mut seen: HashMap<Uuid, u32> = HashMap::new();
        let given = self.input.into_iter().map(|message| (message, false));
        let answered = self.output.into_iter().map(|message| (message, true));
        (0_i64..)
            .zip(given.chain(answered))
            .map(move |(place, (message, answer))| {
                let key = content_key(&message);
                let first = ids::within(scope, Named::Message(&key, 0));
                let times = seen.entry(first).or_default();
                let id = match *times {
                    0 => first,
                    times => ids::within(scope, Named::Message(&key, times)),
                };
                *times += 1;
                (id, place, message, answer)
            })
    }
}

fn side(facts: &Facts<'_>, side: Side) -> Vec<Message> {
    let (slot, role) = match side {
        Side::Input => (Slot::InputMessages, MessageRole::User),
        Side::Output => (Slot::OutputMessages, MessageRole::Assistant),
    };
    if let Some(raw) = facts.json(slot) {
        let messages = read(&raw, role);
        if !messages.is_empty() {
            return messages;
        }
    }
    if facts.flat.iter().any(|(of, ..)| *of == side) {
        let paths = facts.flat.iter().filter(|(of, ..)| *of == side);
        return read(
            &unflatten(paths.map(|(_, path, value)| (*path, *value))),
            role,
        );
    }
    match side {
        Side::Input => facts
            .json(Slot::Prompt)
            .map_or_else(Vec::new, |raw| read(&raw, role)),
        Side::Output => in_fields(facts),
    }
}

/// The Vercel SDK's answer: text, reasoning and calls in fields of their own.
fn in_fields(facts: &Facts<'_>) -> Vec<Message> {
    let text = |slot| {
        facts
            .value(slot)
            .map(value::text)
            .unwrap_or_default()
            .into_owned()
    };
    let mut message = Message {
        thinking: text(Slot::ResponseReasoning),
        ..Message::text(MessageRole::Assistant, text(Slot::ResponseText))
    };
    if let Some(Value::Array(calls)) = facts.json(Slot::ResponseToolCalls) {
        let parts = serde_json::json!({"role": "assistant", "tool_calls": calls});
        message.calls = read(&parts, MessageRole::Assistant)
            .into_iter()
            .flat_map(|m| m.calls)
            .collect();
    }
    if message.is_empty() {
        Vec::new()
    } else {
        vec![message]
    }
}

/// What makes a message the same message wherever it is seen. Calls have ids,
/// and so have the answers to them; where they have none, content decides.
/// Reasoning is not part of it, since histories drop it; nor is white space at
/// the ends.
fn content_key(message: &Message) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.extend(message.role.as_str().as_bytes());
    let mut add = |word: &str, text: &str| {
        key.push(0);
        key.extend(word.as_bytes());
        key.push(0);
        key.extend(text.as_bytes());
    };
    match (&message.call_id, message.calls.is_empty()) {
        (Some(id), _) if message.role == MessageRole::Tool => add("answers", id),
        (_, false) => {
            for call in &message.calls {
                match &call.id {
                    Some(id) => add("call", id),
                    None => {
                        add("tool", &call.name);
                        // The keys of objects are sorted, so equal arguments are equal text.
                        add("arguments", &call.arguments.to_string());
                    }
                }
            }
        }
        _ => {
            add("text", message.text.trim());
            if message.text.trim().is_empty() {
                for media in &message.media {
                    add("media", &media.to_string());
                }
            }
        }
    }
    key
}
