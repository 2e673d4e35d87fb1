//! Keeps values that no attribute holds by itself, while a span is mapped.

use std::cell::{Cell, OnceCell};

use serde_json::Value as JsonValue;

use super::value::looks_like_json;
use crate::ingest::otlp::wire::{AnyValue, KeyValue};

/// The most attributes of a span that are parsed for facts inside their JSON.
const MAX_PARSED: usize = 8;
/// The most facts of a span that no attribute holds by itself.
const MAX_VALUES: usize = 24;

/// The most texts that rules set in a span.
const MAX_TEXTS: usize = 8;

/// The parsed JSON of a span's attributes, and texts that rules set.
#[derive(Debug, Default)]
pub struct ParsedAttributes {
    parsed: [OnceCell<Option<JsonValue>>; MAX_PARSED],
    used: Cell<usize>,
    texts: [OnceCell<String>; MAX_TEXTS],
}

/// The values that no attribute of a span holds by itself. They borrow from
/// [`ParsedAttributes`].
#[derive(Debug)]
pub struct Scratch<'v> {
    parsed: &'v ParsedAttributes,
    values: [OnceCell<AnyValue<'v>>; MAX_VALUES],
    used: Cell<usize>,
}

impl<'v> Scratch<'v> {
    /// An empty scratch for one span.
    pub fn new(parsed: &'v ParsedAttributes) -> Self {
        Self {
            parsed,
            values: Default::default(),
            used: Cell::new(0),
        }
    }

    /// Parses a JSON text. `None` if it is not JSON, or too many were parsed.
    pub fn parse(&self, text: &str) -> Option<&'v JsonValue> {
        if !looks_like_json(text) {
            return None;
        }
        let at = self.parsed.used.get();
        let cell = self.parsed.parsed.get(at)?;
        self.parsed.used.set(at + 1);
        cell.get_or_init(|| serde_json::from_str(text).ok())
            .as_ref()
    }

    /// Keeps a value. `None` if there are too many.
    pub fn keep(&self, value: AnyValue<'v>) -> Option<&AnyValue<'v>> {
        let at = self.used.get();
        let cell = self.values.get(at)?;
        self.used.set(at + 1);
        Some(cell.get_or_init(|| value))
    }

    /// Keeps a text.
    pub fn keep_text(&self, text: &str) -> Option<&AnyValue<'v>> {
        let mut cells = self.parsed.texts.iter();
        let cell = cells.find(|cell| cell.get().is_none())?;
        self.keep(AnyValue::String(cell.get_or_init(|| text.to_owned())))
    }

    /// Keeps a part of parsed JSON.
    pub fn keep_json(&self, json: &'v JsonValue) -> Option<&AnyValue<'v>> {
        self.keep(any_value(json)?)
    }
}

/// JSON as the value of an attribute. `None` for null.
fn any_value(json: &JsonValue) -> Option<AnyValue<'_>> {
    Some(match json {
        JsonValue::Null => return None,
        JsonValue::Bool(flag) => AnyValue::Bool(*flag),
        JsonValue::Number(number) => match number.as_i64() {
            Some(integer) => AnyValue::Int(integer),
            None => AnyValue::Double(number.as_f64()?),
        },
        JsonValue::String(text) => AnyValue::String(text),
        JsonValue::Array(items) => AnyValue::Array(items.iter().map(any_value).collect()),
        JsonValue::Object(object) => {
            let entries = object.iter().map(|(key, value)| KeyValue {
                key,
                value: any_value(value),
            });
            AnyValue::Kvlist(entries.collect())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        let parsed = ParsedAttributes::default();
        let scratch = Scratch::new(&parsed);
        for _ in 0..MAX_PARSED {
            let json = scratch.parse(r#"{"a":[1,2.5,"x",null,true]}"#).unwrap();
            assert!(scratch.keep_json(json).is_some());
        }
        assert_eq!(scratch.parse("{}"), None);
        for _ in MAX_PARSED..MAX_VALUES {
            assert!(scratch.keep(AnyValue::Int(1)).is_some());
        }
        assert_eq!(scratch.keep(AnyValue::Int(1)), None);
    }
}
