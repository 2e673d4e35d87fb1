//! Objects as a language prints them: `Class(field=value, …)`.

use serde_json::{Map, Value};

use super::Purpose;
use super::reader::{LenientReader, NotAValue, ReadValue};
use crate::ingest::otlp::map::value::MAX_DEPTH;

/// The most fields of an object that is printed without its class. Real ones have
/// fewer, and no punctuation limits their number.
const MAX_BARE_FIELDS: usize = 64;
/// Fields of a printed message. What was cut and has none of them is prose.
const FIELDS_OF_MESSAGES: [&str; 5] = ["role", "content", "source", "parts", "messages"];

/// Whether a class is one of messages.
fn names_message(class: &str) -> bool {
    const ENDS: [&str; 8] = [
        "Message",
        "Part",
        "Content",
        "Response",
        "Request",
        "Completion",
        "Result",
        "Value",
    ];
    ENDS.iter().any(|end| class.ends_with(end))
}

impl<'a> LenientReader<'a> {
    /// Reads `Class(field=value, …)` or `field=value field=value …`, as Pydantic
    /// prints an object.
    pub fn printed_object(mut self) -> Option<Value> {
        let word = self.identifier();
        let value = match self.peek() {
            Some(b'(') => {
                let value = self.call(word, 0).ok()?;
                if self.cut && !names_message(word) {
                    return None;
                }
                value
            }
            Some(b'=') => self.bare_fields(word).ok()?,
            _ => return None,
        };
        let object = value.is_none() || matches!(value, Some(Value::Object(_)));
        object.then(|| self.finish(value)).flatten()
    }

    /// Reads the arguments of `Class(…)`, from the opening parenthesis on.
    pub(super) fn call(&mut self, class: &str, depth: usize) -> ReadValue {
        if depth > MAX_DEPTH {
            return Err(NotAValue);
        }
        let start = self.at;
        self.at += 1;
        let mut fields = Map::new();
        let mut items = Vec::new();
        loop {
            if self.take(b')') {
                break;
            }
            if self.ended() {
                return Ok(self.cut_call(class, fields));
            }
            match self.field_name() {
                Some(name) => {
                    self.found += 1;
                    if let Some(value) = self.value(depth + 1)? {
                        fields.insert(name.to_owned(), value);
                    }
                }
                None => items.extend(self.value(depth + 1)?),
            }
            if self.cut {
                return Ok(self.cut_call(class, fields));
            }
            if !self.take(b',') && !matches!(self.peek(), Some(b')') | None) && !self.ended() {
                return Err(NotAValue);
            }
        }
        if !fields.is_empty() || items.is_empty() {
            return Ok(Some(self.object_of_class(class, fields)));
        }
        // `UUID('…')` is its only argument, `date(2026, 1, 2)` stays as printed.
        let only = items.pop().filter(|_| items.is_empty());
        Ok(Some(only.unwrap_or_else(|| {
            format!("{class}{}", &self.text[start..self.at]).into()
        })))
    }

    fn cut_call(&mut self, class: &str, fields: Map<String, Value>) -> Option<Value> {
        self.cut = true;
        if self.purpose == Purpose::Values && !fields.is_empty() {
            return Some(Value::Object(fields));
        }
        // Only a wrapper of messages is of use if it is not whole.
        let wraps = fields.values().any(Value::is_array) && !fields.contains_key("role");
        let part = class.ends_with("Message") || class.ends_with("Part");
        (wraps && !part).then_some(Value::Object(fields))
    }

    /// Reads `field=value field=value …` from the first `=` on.
    fn bare_fields(&mut self, first: &str) -> ReadValue {
        let mut fields = Map::new();
        let mut name = first;
        loop {
            self.at += 1;
            self.found += 1;
            if self.found > MAX_BARE_FIELDS {
                return Err(NotAValue);
            }
            let value = self.value(1)?;
            if let Some(value) = value {
                fields.insert(name.to_owned(), value);
            }
            if self.cut
                && !FIELDS_OF_MESSAGES
                    .iter()
                    .any(|key| fields.contains_key(*key))
            {
                return Err(NotAValue);
            }
            if self.cut || self.rest().trim_start().is_empty() {
                let cut = self.cut && self.purpose == Purpose::Messages;
                return Ok((!cut).then_some(Value::Object(fields)));
            }
            self.take(b',');
            self.skip_space();
            name = self.identifier();
            if name.is_empty() || self.peek() != Some(b'=') {
                return Err(NotAValue);
            }
        }
    }

    /// Takes `name=`, if that is next.
    fn field_name(&mut self) -> Option<&'a str> {
        self.skip_space();
        let start = self.at;
        let name = self.identifier();
        if !name.is_empty() && self.peek() == Some(b'=') {
            self.at += 1;
            return Some(name);
        }
        self.at = start;
        None
    }

    fn object_of_class(&self, class: &str, mut fields: Map<String, Value>) -> Value {
        if self.purpose == Purpose::Messages && !fields.contains_key("type") {
            let class = class.rsplit('.').next().unwrap_or(class);
            fields.insert("type".into(), class.into());
        }
        Value::Object(fields)
    }

    /// Reads `<Role.USER: 'user'>`, which is `user`, or `<object at 0x…>`, which
    /// stays as printed.
    pub(super) fn angles(&mut self) -> ReadValue {
        let start = self.at;
        let mut open = 0_usize;
        let length = self.rest().bytes().position(|byte| {
            open += usize::from(byte == b'<');
            open -= usize::from(byte == b'>');
            open == 0
        });
        let Some(length) = length else {
            self.at = self.text.len();
            self.cut = true;
            return Ok(None);
        };
        self.at += length + 1;
        let printed = &self.text[start..self.at];
        let inner = &printed[1..printed.len() - 1];
        let value = inner.split_once(": ").filter(|(name, _)| {
            let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
            name.contains('.') && name.chars().all(part)
        });
        let text = value.map_or(printed, |(_, value)| value.trim_matches(['\'', '"']));
        Ok(Some(text.into()))
    }
}
