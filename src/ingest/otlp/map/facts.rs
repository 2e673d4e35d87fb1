//! The facts that a span states, read in one pass over its attributes.

use std::borrow::Cow;
use std::cell::OnceCell;

use serde_json::Value as JsonValue;
use uuid::NonNilUuid;

use super::detect::detect_dialect;
use super::dialects::{Dialect, lookup};
use super::slots::{ConversationSide, Slot, is_agentic, is_foreign, split_indexed_key};
use super::value;
use crate::ingest::otlp::wire::{AnyValue, KeyValue, Span};

/// A span and the meaning of its attributes.
pub struct SpanFacts<'a> {
    /// The span itself.
    pub span: &'a Span<'a>,
    /// The name of the instrumentation scope.
    pub scope: &'a str,
    /// The dialect of the span.
    pub dialect: Dialect,
    /// The tenant of the key that the request carries.
    pub tenant: Option<NonNilUuid>,
    /// Whether it has a key that only instrumentations of agents use.
    pub agentic: bool,
    /// Messages with one attribute per field: the side, the key after its
    /// prefix, and the value.
    pub indexed_messages: Vec<(ConversationSide, &'a str, &'a AnyValue<'a>)>,
    /// The attributes that go into the step's metadata unchanged.
    pub kept_attributes: Vec<&'a KeyValue<'a>>,
    /// By slot: the attribute that fills it, with its preference number.
    slots: [Option<(&'a KeyValue<'a>, u8)>; Slot::COUNT],
    metadata: OnceCell<Option<JsonValue>>,
}

impl<'a> SpanFacts<'a> {
    /// Reads the attributes of a span.
    pub fn read(span: &'a Span<'a>, scope: &'a str, tenant: Option<NonNilUuid>) -> Self {
        let mut facts = Self {
            span,
            scope,
            tenant,
            dialect: Dialect::Unknown,
            agentic: false,
            indexed_messages: Vec::new(),
            kept_attributes: Vec::new(),
            slots: [None; Slot::COUNT],
            metadata: OnceCell::new(),
        };
        for attribute in &span.attributes {
            facts.add_attribute(attribute);
        }
        facts.dialect = detect_dialect(scope, |slot| facts.has(slot), facts.agentic);
        facts
    }

    fn add_attribute(&mut self, attribute: &'a KeyValue<'a>) {
        let Some(value) = &attribute.value else {
            return;
        };
        let key = attribute.key;
        self.agentic = self.agentic || is_agentic(key);
        if let Some((side, rest)) = split_indexed_key(key) {
            self.indexed_messages.push((side, rest, value));
            return;
        }
        let Some((slot, preference)) = lookup(key) else {
            self.kept_attributes.push(attribute);
            return;
        };
        if is_blank(value) {
            return;
        }
        if slot.keeps_raw_attribute() {
            self.kept_attributes.push(attribute);
        }
        let entry = &mut self.slots[slot as usize];
        match entry {
            Some((_, best)) if *best <= preference => {
                if !slot.keeps_raw_attribute() {
                    self.kept_attributes.push(attribute);
                }
            }
            _ => {
                if let Some((replaced, _)) = entry.replace((attribute, preference))
                    && !slot.keeps_raw_attribute()
                {
                    self.kept_attributes.push(replaced);
                }
            }
        }
    }

    /// Whether it has a key of web servers, databases and other foreign work.
    pub fn is_foreign(&self) -> bool {
        let kind = self.span.kind;
        let attributes = self.span.attributes.iter();
        attributes
            .filter(|attribute| attribute.value.is_some())
            .any(|attribute| is_foreign(attribute.key, kind))
    }

    /// Whether an attribute fills the slot.
    pub fn has(&self, slot: Slot) -> bool {
        self.slots[slot as usize].is_some()
    }

    /// The key of the attribute that fills the slot.
    pub fn key(&self, slot: Slot) -> Option<&'a str> {
        self.slots[slot as usize].map(|(attribute, _)| attribute.key)
    }

    /// The value of a slot, unchanged.
    pub fn value(&self, slot: Slot) -> Option<&'a AnyValue<'a>> {
        let (attribute, _) = self.slots[slot as usize]?;
        attribute.value.as_ref()
    }

    /// The value of the first slot that is filled.
    pub fn first(&self, slots: &[Slot]) -> Option<&'a AnyValue<'a>> {
        slots.iter().find_map(|slot| self.value(*slot))
    }

    /// The value of a slot if it is a string.
    pub fn str(&self, slot: Slot) -> Option<&'a str> {
        match self.value(slot)? {
            AnyValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a slot as text, without the JSON quotes that some dialects
    /// put around every string. `None` if the text is empty.
    pub fn text(&self, slot: Slot) -> Option<Cow<'a, str>> {
        let text = value::text(self.value(slot)?);
        if text.starts_with('"')
            && let Ok(inner) = serde_json::from_str::<String>(&text)
        {
            return Some(inner.into());
        }
        (!text.is_empty()).then_some(text)
    }

    /// The value of a slot as a count.
    pub fn count(&self, slot: Slot) -> Option<i64> {
        value::count(self.value(slot)?)
    }

    /// The value of a slot as JSON. A string that holds JSON is parsed.
    pub fn json(&self, slot: Slot) -> Option<JsonValue> {
        Some(value::parsed(self.value(slot)?))
    }

    /// A field of the JSON object that LangChain and others write as `metadata`.
    pub fn metadata_field(&self, key: &str) -> Option<&JsonValue> {
        let text = self.str(Slot::Metadata)?;
        if !text.contains(key) {
            return None;
        }
        let metadata = self
            .metadata
            .get_or_init(|| serde_json::from_str(text).ok())
            .as_ref()?;
        metadata.get(key)
    }

    /// A field of the JSON object in `metadata`, if it is a string.
    pub fn metadata_text(&self, key: &str) -> Option<String> {
        self.metadata_field(key)?.as_str().map(str::to_owned)
    }

    /// Whether messages of the answer are written with one attribute per field.
    pub fn has_output_messages(&self) -> bool {
        self.indexed_messages
            .iter()
            .any(|(side, ..)| *side == ConversationSide::Output)
    }

    /// Whether the span has a parent.
    pub fn has_parent(&self) -> bool {
        self.span.parent_span_id.iter().any(|byte| *byte != 0)
    }
}

/// Whether a value says nothing: an empty string or list, or the word that a
/// language prints for no value.
fn is_blank(value: &AnyValue<'_>) -> bool {
    match value {
        AnyValue::String(text) => matches!(*text, "" | "null" | "None"),
        AnyValue::Array(values) => values.is_empty(),
        AnyValue::Kvlist(entries) => entries.is_empty(),
        _ => false,
    }
}
