//! The conversation of one model call: its input, its answer, and the id of
//! each message.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use super::dialects::Dialect;
use super::facts::SpanFacts;
use super::history;
use super::ids::{self, IdSource};
use super::message_events;
pub use super::messages::Conversation;
use super::messages::{ChatMessage, join, read, read_attribute, read_sections, unflatten};
use super::slots::{ConversationSide, Slot};
use super::span_events;
use super::value;
use crate::event::MessageRole;

/// The initial capacity of a message key. It fits the key of a tool call.
const TYPICAL_KEY_BYTES: usize = 64;

/// A message with its identity in a conversation.
pub struct IdentifiedMessage {
    /// The id, derived from the content.
    pub id: Uuid,
    /// The position in the conversation.
    pub position: i64,
    /// Whether it belongs to the answer of the call.
    pub is_answer: bool,
    /// The message.
    pub message: ChatMessage,
}

impl Conversation {
    /// Reads the conversation of a span from structured messages, from messages
    /// with one attribute per field, from span events, or from the raw request
    /// and response.
    pub fn read(facts: &SpanFacts<'_>) -> Self {
        let of_slot = |slot, role| {
            let attribute = facts.value(slot);
            attribute.map_or_else(Vec::new, |attribute| read_attribute(attribute, role))
        };
        let mut input = of_slot(Slot::SystemInstructions, MessageRole::System);
        let mut history = read_side(facts, ConversationSide::Input);
        let mut output = read_side(facts, ConversationSide::Output);
        let mut events = span_events::conversation(facts.span);
        if !facts.dialect.message_events.is_empty() {
            for event in &facts.span.events {
                let fields = value::object(&event.attributes);
                let is_named = |name: &str| name == event.name;
                message_events::add_message(facts.dialect, is_named, &fields, &mut events);
            }
        }
        if history.is_empty() {
            history = events.input;
        }
        if output.is_empty() {
            output = events.output;
        }
        if history.is_empty() {
            history = of_slot(Slot::Input, MessageRole::User);
        }
        if output.is_empty() {
            output = of_slot(Slot::Output, MessageRole::Assistant);
        }
        input.extend(history);
        let mut conversation = Self::of_messages(input, output);
        conversation.recover_thinking(facts);
        conversation.drop_placeholders(facts.dialect);
        conversation.only_in_call = history::only_in_call(facts, &conversation);
        conversation
    }

    /// The conversation of these messages, as they are read from a source.
    pub fn of_messages(input: Vec<ChatMessage>, output: Vec<ChatMessage>) -> Self {
        let mut conversation = Self {
            input: join(input),
            output: join(output),
            only_in_call: None,
        };
        let sides = [&mut conversation.input, &mut conversation.output];
        sides.into_iter().flatten().for_each(read_sections);
        conversation.drop_repeated_instructions();
        conversation.drop_echo();
        conversation
    }

    /// Drops instructions that the messages repeat from an attribute of their own.
    fn drop_repeated_instructions(&mut self) {
        let is_system = |message: &ChatMessage| message.role == MessageRole::System;
        if self
            .input
            .iter()
            .take(2)
            .filter(|message| is_system(message))
            .count()
            < 2
        {
            return;
        }
        if self.input[0].text.trim() == self.input[1].text.trim() {
            self.input.remove(1);
        }
    }

    /// Drops the answer from the end of the input: some sources write one list of
    /// both.
    fn drop_echo(&mut self) {
        let (Some(last), Some(first)) = (self.input.last(), self.output.first()) else {
            return;
        };
        let is_echo = last.role == MessageRole::Assistant
            && self.output.len() == 1
            && content_key(last) == content_key(first);
        if is_echo {
            self.input.pop();
        }
    }

    /// Drops messages whose text only stands for what they really say.
    fn drop_placeholders(&mut self, dialect: &Dialect) {
        if dialect.placeholders.is_empty() {
            return;
        }
        let says = |message: &ChatMessage| !dialect.placeholders.matches(&message.text);
        self.input.retain(says);
        self.output.retain(says);
    }

    /// Adds the reasoning from the raw response, because LangChain's
    /// instrumentation leaves it out of its messages. Parses the response only
    /// if the call used reasoning tokens.
    fn recover_thinking(&mut self, facts: &SpanFacts<'_>) {
        let Some(last) = self.output.last_mut() else {
            return;
        };
        let reasoned = facts
            .count(Slot::UsageReasoning)
            .is_some_and(|tokens| tokens > 0);
        if reasoned
            && last.thinking.is_empty()
            && let Some(raw) = facts.value(Slot::Output)
        {
            let raw_messages = read_attribute(raw, MessageRole::Assistant).into_iter();
            last.thinking = raw_messages.map(|message| message.thinking).collect();
        }
    }

    /// The text of the last user message. It becomes the input of the run.
    pub fn last_question(&self) -> Option<&str> {
        let asked =
            |message: &&ChatMessage| message.role == MessageRole::User && !message.text.is_empty();
        self.input
            .iter()
            .rfind(asked)
            .map(|message| message.text.as_str())
    }

    /// The text of the last answer. It becomes the output of the run.
    pub fn last_answer(&self) -> Option<&str> {
        let answered = |message: &&ChatMessage| {
            message.role == MessageRole::Assistant && !message.text.is_empty()
        };
        self.output
            .iter()
            .rfind(answered)
            .map(|message| message.text.as_str())
    }

    /// Every message with its id and position.
    ///
    /// An id is derived from the content of the message and from the number of
    /// equal messages before it in the conversation. So a message that later
    /// calls repeat keeps its id, and a second "yes" has another one. Positions
    /// are no basis for ids: histories drop and split messages in different ways.
    ///
    /// If the provider keeps the history, no call repeats what another call said.
    /// Then the call is part of the ids, and the same words are a new message.
    /// Instructions keep one id, because each call repeats them.
    pub fn with_ids(self, scope: Uuid) -> impl Iterator<Item = IdentifiedMessage> {
        // Counts equal messages, by the id of the first.
        let mut seen: HashMap<Uuid, u32> = HashMap::new();
        let call = self.only_in_call;
        let input = self.input.into_iter().map(|message| (message, false));
        let output = self.output.into_iter().map(|message| (message, true));
        (0_i64..)
            .zip(input.chain(output))
            .map(move |(position, (message, is_answer))| {
                let mut key = content_key(&message);
                if let Some(call) = &call
                    && message.role != MessageRole::System
                {
                    key.extend(b"\0call\0");
                    key.extend(call);
                }
                let first = ids::derived(scope, IdSource::Message(&key, 0));
                let equal_before = seen.entry(first).or_default();
                let id = match *equal_before {
                    0 => first,
                    count => ids::derived(scope, IdSource::Message(&key, count)),
                };
                *equal_before += 1;
                IdentifiedMessage {
                    id,
                    position,
                    is_answer,
                    message,
                }
            })
    }
}

fn read_side(facts: &SpanFacts<'_>, side: ConversationSide) -> Vec<ChatMessage> {
    let (slot, role) = match side {
        ConversationSide::Input => (Slot::InputMessages, MessageRole::User),
        ConversationSide::Output => (Slot::OutputMessages, MessageRole::Assistant),
    };
    if let Some(raw) = facts.value(slot) {
        let messages = read_attribute(raw, role);
        if !messages.is_empty() {
            return messages;
        }
    }
    if facts.indexed_messages.iter().any(|(of, ..)| *of == side) {
        let paths = facts.indexed_messages.iter().filter(|(of, ..)| *of == side);
        return read(
            &unflatten(paths.map(|(_, path, value)| (*path, *value))),
            role,
        );
    }
    match side {
        ConversationSide::Input => facts
            .value(Slot::Prompt)
            .map_or_else(Vec::new, |raw| read_attribute(raw, role)),
        ConversationSide::Output => read_answer_fields(facts),
    }
}

/// The answer of the Vercel SDK, which has an attribute each for text, reasoning
/// and tool calls.
fn read_answer_fields(facts: &SpanFacts<'_>) -> Vec<ChatMessage> {
    let text = |slot| {
        facts
            .value(slot)
            .map(value::text)
            .unwrap_or_default()
            .into_owned()
    };
    let mut message = ChatMessage {
        thinking: text(Slot::ResponseReasoning),
        ..ChatMessage::text(MessageRole::Assistant, text(Slot::ResponseText))
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

/// The key of a message: equal for every sighting of the same message.
///
/// Tool calls and their results are identified by the call's id, everything else
/// by its content. The key leaves out reasoning, because histories drop it, and
/// white space at both ends.
fn content_key(message: &ChatMessage) -> Vec<u8> {
    let mut key = Vec::with_capacity(TYPICAL_KEY_BYTES);
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
                        // Objects have sorted keys, so equal arguments give equal text.
                        add("arguments", &call.arguments.to_string());
                    }
                }
            }
        }
        _ => {
            add("text", message.text.trim());
            if message.text.trim().is_empty() {
                for media in &message.media {
                    add("media", &media.summary().to_string());
                }
            }
        }
    }
    key
}
