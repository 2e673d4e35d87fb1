//! What one span says, read in one pass over its attributes.

use std::borrow::Cow;
use std::cell::OnceCell;

use serde_json::Value as JsonValue;
use uuid::NonNilUuid;

use super::class::dialect;
use super::dialects::Dialect;
use super::slots::{Side, Slot, indexed, is_agentic, is_foreign, lookup};
use super::value;
use crate::ingest::otlp::wire::{KeyValue, Span, Value};

/// A span and what its attributes mean.
pub struct Facts<'a> {
    /// The span itself.
    pub span: &'a Span<'a>,
    /// The name of the instrumentation.
    pub scope: &'a str,
    /// Who wrote it.
    pub dialect: Dialect,
    /// The customer whose key it came with.
    pub tenant: Option<NonNilUuid>,
    /// Has keys that only traces of agents have.
    pub agentic: bool,
    /// Messages written as one attribute a field: side, what follows the prefix, value.
    pub flat: Vec<(Side, &'a str, &'a Value<'a>)>,
    /// Attributes that are kept as they are.
    pub rest: Vec<&'a KeyValue<'a>>,
    slots: [Option<(&'a KeyValue<'a>, u8)>; Slot::COUNT],
    metadata: OnceCell<Option<JsonValue>>,
}

impl<'a> Facts<'a> {
    /// Reads a span.
    pub fn read(span: &'a Span<'a>, scope: &'a str, tenant: Option<NonNilUuid>) -> Self {
        let mut facts = Self {
            span,
            scope,
            tenant,
            dialect: Dialect::Unknown,
            agentic: false,
            flat: Vec::new(),
            rest: Vec::new(),
            slots: [None; Slot::COUNT],
            metadata: OnceCell::new(),
        };
        for attribute in &span.attributes {
            facts.take(attribute);
        }
        facts.dialect = dialect(&facts);
        facts
    }

    fn take(&mut self, attribute: &'a KeyValue<'a>) {
        let Some(value) = &attribute.value else {
            return;
        };
        let key = attribute.key;
        self.agentic = self.agentic || is_agentic(key);
        if let Some((side, rest)) = indexed(key) {
            self.flat.push((side, rest, value));
            return;
        }
        let Some((slot, preference)) = lookup(key) else {
            self.rest.push(attribute);
            return;
        };
        if is_blank(value) {
            return;
        }
        if slot.is_kept_raw() {
            self.rest.push(attribute);
        }
        let place = &mut self.slots[slot as usize];
        match place {
            Some((_, held)) if *held <= preference => {
                if !slot.is_kept_raw() {
                    self.rest.push(attribute);
                }
            }
            _ => {
                if let Some((loser, _)) = place.replace((attribute, preference))
                    && !slot.is_kept_raw()
                {
                    self.rest.push(loser);
                }
            }
        }
    }

    /// Whether it has keys of web servers, databases and the like.
    pub fn is_foreign(&self) -> bool {
        let kind = self.span.kind;
        let said = self.span.attributes.iter();
        said.filter(|attribute| attribute.value.is_some())
            .any(|attribute| is_foreign(attribute.key, kind))
    }

    /// Whether something is known.
    pub fn has(&self, slot: Slot) -> bool {
        self.slots[slot as usize].is_some()
    }

    /// The key that something is known by.
    pub fn key(&self, slot: Slot) -> Option<&'a str> {
        self.slots[slot as usize].map(|(attribute, _)| attribute.key)
    }

    /// What is known, as it came.
    pub fn value(&self, slot: Slot) -> Option<&'a Value<'a>> {
        let (attribute, _) = self.slots[slot as usize]?;
        attribute.value.as_ref()
    }

    /// The first of several that is known.
    pub fn first(&self, slots: &[Slot]) -> Option<&'a Value<'a>> {
        slots.iter().find_map(|slot| self.value(*slot))
    }

    /// The same where it is a string.
    pub fn str(&self, slot: Slot) -> Option<&'a str> {
        match self.value(slot)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The same as text, without the quotes that some put around every string.
    pub fn text(&self, slot: Slot) -> Option<Cow<'a, str>> {
        let text = value::text(self.value(slot)?);
        if text.starts_with('"')
            && let Ok(inner) = serde_json::from_str::<String>(&text)
        {
            return Some(inner.into());
        }
        (!text.is_empty()).then_some(text)
    }

    /// The same as a count.
    pub fn count(&self, slot: Slot) -> Option<i64> {
        value::count(self.value(slot)?)
    }

    /// The same as JSON; text that is JSON is taken as what it says.
    pub fn json(&self, slot: Slot) -> Option<JsonValue> {
        Some(value::parsed(self.value(slot)?))
    }

    /// A field of the object that LangChain and others put into `metadata`.
    pub fn meta(&self, key: &str) -> Option<&JsonValue> {
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

    /// The same where it is a text.
    pub fn meta_text(&self, key: &str) -> Option<String> {
        self.meta(key)?.as_str().map(str::to_owned)
    }

    /// Whether messages of the model's answer came one attribute a field.
    pub fn has_output_messages(&self) -> bool {
        self.flat.iter().any(|(side, ..)| *side == Side::Output)
    }

    /// Whether it is part of another span.
    pub fn has_parent(&self) -> bool {
        self.span.parent_span_id.iter().any(|byte| *byte != 0)
    }
}

/// Nothing is said by an empty string, an empty list, or the words that some
/// languages print for nothing.
fn is_blank(value: &Value<'_>) -> bool {
    match value {
        Value::String(text) => matches!(*text, "" | "null" | "None"),
        Value::Array(values) => values.is_empty(),
        Value::Kvlist(entries) => entries.is_empty(),
        _ => false,
    }
}
