//! The facts that a span states, read in one pass over its attributes.

use std::borrow::Cow;

use serde_json::Value as JsonValue;
use uuid::NonNilUuid;

use super::dialects::{
    AttributeTable, Classification, Containing, ControlFlow, Dialect, DialectIndex, Dialects,
    FilledSlot, KeyMeaning,
};
use super::generic;
use super::scratch::Scratch;
use super::slots::{ConversationSide, Slot};
use super::value;
use crate::ingest::otlp::wire::{AnyValue, KeyValue, Span};

/// The position of the value of a slot that nothing fills.
const EMPTY: u8 = u8::MAX;
/// Most spans state no more facts.
const TYPICAL_FACTS: usize = 16;
/// The most words for its kind that a span has: its own, and those of the
/// conventions and of an instrumentation around it.
const MAX_KINDS: usize = 4;

/// The scope of a span and its dialect, if the scope is one of a dialect.
#[derive(Clone, Copy, Debug)]
pub struct SpanScope<'a> {
    /// All dialects.
    pub dialects: &'a Dialects,
    /// The name of the scope.
    pub name: &'a str,
    /// The dialect of the scope.
    pub dialect: Option<&'a Dialect>,
    /// The keys that are read in its spans.
    pub keys: &'a AttributeTable,
}

impl<'a> SpanScope<'a> {
    /// Finds the dialect of a scope.
    pub fn new(dialects: &'a Dialects, name: &'a str) -> Self {
        let dialect = dialects.of_scope(name).map(|(dialect, _)| dialect);
        Self {
            dialects,
            name,
            dialect,
            keys: dialects.keys(dialect),
        }
    }
}

/// What the rules of its dialects say of a span.
#[derive(Debug, Default)]
#[allow(missing_docs)] // the fields are those of a rule
pub struct Ruled {
    pub class: Option<Classification>,
    pub lesser_view: bool,
    pub run_of_response: bool,
    pub messages_in_logs: bool,
    pub weak_name: bool,
    pub cached: Option<Containing>,
}

/// The value of a slot and where it is from.
#[derive(Clone, Copy, Debug)]
struct SlotValue<'a> {
    /// The key of the attribute.
    key: &'a str,
    value: &'a AnyValue<'a>,
    /// The attribute, if the value is all of it.
    attribute: Option<&'a KeyValue<'a>>,
    filled: FilledSlot,
}

/// A span and the meaning of its attributes.
pub struct SpanFacts<'a> {
    /// The span itself.
    pub span: &'a Span<'a>,
    /// The name of the instrumentation scope.
    pub scope: &'a str,
    /// All dialects.
    pub dialects: &'a Dialects,
    /// The dialect of the span.
    pub dialect: &'a Dialect,
    /// The tenant of the key that the request carries.
    pub tenant: Option<NonNilUuid>,
    /// Whether it has a key that only instrumentations of agents use.
    pub agentic: bool,
    /// Messages with one attribute per field: the side, the key after its
    /// prefix, and the value.
    pub indexed_messages: Vec<(ConversationSide, &'a str, &'a AnyValue<'a>)>,
    /// The attributes that go into the step's metadata unchanged.
    pub kept_attributes: Vec<&'a KeyValue<'a>>,
    /// The words for its kind of work, each with its dialect, the best first.
    pub kinds: Vec<(DialectIndex, &'a str)>,
    /// What rules say.
    pub ruled: Ruled,
    values: Vec<SlotValue<'a>>,
    /// By slot: the position of its value, or [`EMPTY`].
    slots: [u8; Slot::COUNT],
}

impl<'a> SpanFacts<'a> {
    /// Reads the attributes of a span. `scratch` keeps the values that no
    /// attribute holds by itself.
    pub fn read<'v: 'a>(
        span: &'a Span<'v>,
        scope: SpanScope<'a>,
        tenant: Option<NonNilUuid>,
        scratch: &'a Scratch<'v>,
    ) -> Self {
        let mut facts = Self {
            span,
            scope: scope.name,
            dialects: scope.dialects,
            dialect: scope.dialects.unknown(),
            tenant,
            agentic: false,
            indexed_messages: Vec::new(),
            kept_attributes: Vec::new(),
            kinds: Vec::new(),
            ruled: Ruled::default(),
            values: Vec::with_capacity(TYPICAL_FACTS),
            slots: [EMPTY; Slot::COUNT],
        };
        let mut reader = AttributeReader {
            facts: &mut facts,
            keys: scope.keys,
            marked: scope.dialect.map(|dialect| dialect.index),
            prefixed: None,
            inside: Vec::new(),
        };
        for attribute in &span.attributes {
            reader.add_attribute(attribute);
        }
        reader.add_events();
        let (marked, prefixed) = (reader.marked, reader.prefixed);
        let inside = std::mem::take(&mut reader.inside);
        facts.add_inside(inside, scratch);
        facts.agentic = prefixed.is_some() || marked.is_some();
        if let Some(index) = marked.or(prefixed) {
            facts.dialect = scope.dialects.get(index);
        }
        if marked.is_none() {
            generic::add_facts(&mut facts);
        }
        facts
    }

    /// Fills a slot, unless it has a better value.
    pub fn fill(
        &mut self,
        filled: FilledSlot,
        key: &'a str,
        value: &'a AnyValue<'a>,
        attribute: Option<&'a KeyValue<'a>>,
    ) {
        if is_blank(value) {
            return;
        }
        let keeps_raw = filled.slot.keeps_raw_attribute();
        let keep = |attribute: Option<&'a KeyValue<'a>>, kept: &mut Vec<_>| {
            kept.extend(attribute);
        };
        if keeps_raw {
            keep(attribute, &mut self.kept_attributes);
        }
        let new = SlotValue {
            key,
            value,
            attribute,
            filled,
        };
        let loser = match self
            .values
            .get_mut(usize::from(self.slots[filled.slot as usize]))
        {
            Some(best) if best.filled.preference <= filled.preference => attribute,
            Some(best) => std::mem::replace(best, new).attribute,
            None => {
                // There are fewer slots than positions.
                self.slots[filled.slot as usize] = self.values.len() as u8;
                self.values.push(new);
                None
            }
        };
        if !keeps_raw {
            keep(loser, &mut self.kept_attributes);
        }
    }

    /// Fills slots from inside the JSON of attributes, where nothing better fills them.
    fn add_inside<'v: 'a>(
        &mut self,
        inside: Vec<(&'a KeyValue<'a>, &'a KeyMeaning)>,
        scratch: &'a Scratch<'v>,
    ) {
        for (attribute, meaning) in inside {
            let Some(AnyValue::String(text)) = &attribute.value else {
                continue;
            };
            if !meaning.may_be_in(text) {
                continue;
            }
            let mut parsed = None;
            for (path, filled) in &meaning.inside {
                let better = self.filled(filled.slot);
                if better.is_some_and(|better| better.preference <= filled.preference)
                    || !path.may_be_in(text)
                {
                    continue;
                }
                let json = *parsed.get_or_insert_with(|| scratch.parse(text));
                let found = json.and_then(|json| path.find(json));
                if let Some(value) = found.and_then(|found| scratch.keep_json(found)) {
                    self.fill(*filled, attribute.key, value, None);
                }
            }
        }
    }

    /// Whether it has a key of web servers, databases and other foreign work.
    pub fn is_foreign(&self) -> bool {
        let internal = self.span.kind == Span::KIND_INTERNAL;
        let attributes = self.span.attributes.iter();
        attributes
            .filter(|attribute| attribute.value.is_some())
            .any(|attribute| self.dialects.is_foreign(attribute.key, internal))
    }

    /// Whether an attribute fills the slot.
    pub fn has(&self, slot: Slot) -> bool {
        self.slots[slot as usize] != EMPTY
    }

    fn slot_value(&self, slot: Slot) -> Option<&SlotValue<'a>> {
        self.values.get(usize::from(self.slots[slot as usize]))
    }

    /// The key of the attribute that fills the slot.
    pub fn key(&self, slot: Slot) -> Option<&'a str> {
        self.slot_value(slot).map(|filled| filled.key)
    }

    /// The dialect whose key fills the slot, and its preference number.
    pub fn filled(&self, slot: Slot) -> Option<FilledSlot> {
        self.slot_value(slot).map(|it| it.filled)
    }

    /// The slots that a key fills.
    pub fn filled_by(&self, key: &str) -> Vec<FilledSlot> {
        self.values
            .iter()
            .filter(|it| it.key == key)
            .map(|it| it.filled)
            .collect()
    }

    /// The value of a slot, unchanged.
    pub fn value(&self, slot: Slot) -> Option<&'a AnyValue<'a>> {
        self.slot_value(slot).map(|filled| filled.value)
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

    /// The value of an attribute, by its key.
    pub fn attribute(&self, key: &str) -> Option<&'a AnyValue<'a>> {
        let mut attributes = self.span.attributes.iter();
        attributes
            .find(|attribute| attribute.key == key)
            .and_then(|attribute| attribute.value.as_ref())
    }

    /// Whether messages of this side are written with one attribute per field.
    pub fn has_indexed_messages(&self, side: ConversationSide) -> bool {
        self.indexed_messages.iter().any(|(of, ..)| *of == side)
    }

    /// Whether a status or a finish reason means failed, in the span's dialect or
    /// in the conventions.
    pub fn is_failure(&self, status: &str) -> bool {
        self.dialect.is_failure(status) || self.dialects.conventions().is_failure(status)
    }

    /// Whether its dialect or the conventions say that an exception of this type is no failure.
    pub fn control_flow(&self, exception_type: &str) -> Option<ControlFlow> {
        let own = self.dialect.control_flow(exception_type);
        own.or_else(|| self.dialects.conventions().control_flow(exception_type))
    }

    /// Whether the span has a parent.
    pub fn has_parent(&self) -> bool {
        self.span.parent_span_id.iter().any(|byte| *byte != 0)
    }
}

/// Reads the attributes of one span.
struct AttributeReader<'f, 'a> {
    facts: &'f mut SpanFacts<'a>,
    keys: &'a AttributeTable,
    /// The first dialect that the scope or a key marks.
    marked: Option<DialectIndex>,
    /// The first dialect with a prefix of a key.
    prefixed: Option<DialectIndex>,
    /// The attributes that may hold facts inside their JSON.
    inside: Vec<(&'a KeyValue<'a>, &'a KeyMeaning)>,
}

impl<'a> AttributeReader<'_, 'a> {
    fn add_attribute(&mut self, attribute: &'a KeyValue<'a>) {
        let Some(value) = &attribute.value else {
            return;
        };
        let key = attribute.key;
        // A mark says more than any prefix.
        if self.marked.is_none()
            && let Some(prefixed) = self.facts.dialects.of_prefix(key)
        {
            let conventions = self.facts.dialects.conventions().index;
            // Every dialect builds on the conventions: any other prefix says more.
            let rank = |index: DialectIndex| (index == conventions, index);
            let best = self.prefixed.get_or_insert(prefixed);
            if rank(prefixed) < rank(*best) {
                *best = prefixed;
            }
        }
        let Some(meaning) = self.keys.keys.get(key) else {
            match self.keys.split_numbered(key) {
                Some((side, rest)) => self.facts.indexed_messages.push((side, rest, value)),
                None => self.facts.kept_attributes.push(attribute),
            }
            return;
        };
        if let Some(dialect) = meaning.marks {
            self.marked = Some(self.marked.map_or(dialect, |marked| marked.min(dialect)));
        }
        if let (Some(dialect), AnyValue::String(word)) = (meaning.kind_of, value) {
            self.add_kind(dialect, word);
        }
        if !meaning.inside.is_empty() {
            self.inside.push((attribute, meaning));
        }
        match meaning.fills {
            Some(filled) => self.facts.fill(filled, key, value, Some(attribute)),
            None if meaning.kind_of.is_none() => self.facts.kept_attributes.push(attribute),
            None => {}
        }
    }

    fn add_kind(&mut self, dialect: DialectIndex, word: &'a str) {
        // MLflow writes every value as JSON.
        let word = word.trim_matches('"');
        let kinds = &mut self.facts.kinds;
        if !word.is_empty() && kinds.len() < MAX_KINDS {
            let at = kinds.partition_point(|(other, _)| *other <= dialect);
            kinds.insert(at, (dialect, word));
        }
    }

    fn add_events(&mut self) {
        if self.keys.events.is_empty() {
            return;
        }
        for event in &self.facts.span.events {
            for (key, filled) in self.keys.events.get(event.name).into_iter().flatten() {
                let mut attributes = event.attributes.iter();
                let found = attributes.find(|attribute| attribute.key == key);
                if let Some(value) = found.and_then(|attribute| attribute.value.as_ref()) {
                    self.facts.fill(*filled, event.name, value, None);
                }
            }
        }
    }
}

/// How logfire begins the text that it puts in place of a value with a suspicious
/// word. As the id of a session, it would join strangers.
const SCRUBBED: &str = "[Scrubbed due to ";

/// Whether a value says nothing: an empty string or list, the word that a
/// language prints for no value, or what a scrubber left.
fn is_blank(value: &AnyValue<'_>) -> bool {
    match value {
        AnyValue::String(text) => {
            matches!(*text, "" | "null" | "None") || text.starts_with(SCRUBBED)
        }
        AnyValue::Array(values) => values.is_empty(),
        AnyValue::Kvlist(entries) => entries.is_empty(),
        _ => false,
    }
}
