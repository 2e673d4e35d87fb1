//! Readers of single JSON values.

use std::cell::Cell;
use std::fmt;

use bytes::Bytes;
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, Value};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, Unexpected, Visitor};
use serde_json::value::RawValue;

use super::id::id_from_text;
use super::reading::{JsonStrings, Reading};

/// Reads the JSON text of a `…_json` field: the content of a string, or the verbatim text
/// of any other value.
pub(super) fn json_text<'de, D: Deserializer<'de>>(
    json: D,
    reading: Reading<'_>,
) -> Result<String, D::Error> {
    let raw = <&RawValue>::deserialize(json)?.get();
    if !raw.starts_with('"') {
        return Ok(raw.to_owned());
    }
    let mut string = serde_json::Deserializer::from_str(raw);
    let text = string
        .deserialize_bytes(StringVisitor(reading))
        .map_err(D::Error::custom)?;
    match reading.strings {
        JsonStrings::Plain if !is_json_text(&text) => {
            serde_json::to_string(&text).map_err(D::Error::custom)
        }
        _ => Ok(text),
    }
}

/// Whether a text is JSON that nobody writes who means the text itself: an object, an array, a
/// string or null.
fn is_json_text(text: &str) -> bool {
    let blank = [' ', '\t', '\n', '\r'];
    let trimmed = text.trim_matches(blank);
    match trimmed.bytes().next() {
        Some(b'{' | b'[' | b'"') => serde_json::from_str::<IgnoredAny>(trimmed).is_ok(),
        _ => trimmed == "null",
    }
}

/// Reads a string as bytes, because serde_json accepts lone surrogates only there.
struct StringVisitor<'a>(Reading<'a>);

impl Visitor<'_> for StringVisitor<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<String, E> {
        Ok(replace_surrogates(bytes, self.0.surrogates))
    }
}

/// Decodes UTF-8 that may contain encoded lone surrogates, and replaces each of them.
fn replace_surrogates(bytes: &[u8], count: &Cell<u64>) -> String {
    /// The first of the three bytes of an encoded surrogate. Lossy conversion would replace
    /// each of the three.
    const SURROGATE_LEAD: u8 = 0xED;
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                return text;
            }
            Err(error) => {
                let (valid, fault) = rest.split_at(error.valid_up_to());
                text.push_str(&String::from_utf8_lossy(valid));
                text.push(char::REPLACEMENT_CHARACTER);
                count.set(count.get() + 1);
                let width = if fault.first() == Some(&SURROGATE_LEAD) {
                    3
                } else {
                    1
                };
                rest = fault.get(width..).unwrap_or_default();
            }
        }
    }
}

/// Reads a text field.
pub(super) struct TextVisitor<'a>(pub(super) &'a FieldDescriptor, pub(super) Reading<'a>);

impl Visitor<'_> for TextVisitor<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a string for `{}`", self.0.name())
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Value, E> {
        StringVisitor(self.1).visit_bytes(bytes).map(Value::String)
    }
}

/// Reads an id.
pub(super) struct IdVisitor<'a>(pub(super) &'a FieldDescriptor);

impl Visitor<'_> for IdVisitor<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a UUID for `{}`", self.0.name())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        if text.is_empty() {
            return Ok(Value::Bytes(Bytes::new()));
        }
        match id_from_text(text) {
            Some(id) => Ok(Value::Bytes(Bytes::copy_from_slice(id.as_bytes()))),
            None => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

/// Reads a boolean.
pub(super) struct BoolVisitor<'a>(pub(super) &'a FieldDescriptor);

impl Visitor<'_> for BoolVisitor<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "true or false for `{}`", self.0.name())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
}

/// Reads an enum value by name or number, as proto3 JSON allows. Unknown numbers are
/// accepted: they may come from a later version.
pub(super) struct EnumVisitor<'a>(pub(super) &'a FieldDescriptor, pub(super) EnumDescriptor);

impl Visitor<'_> for EnumVisitor<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of")?;
        for value in self.1.values().filter(|value| value.number() != 0) {
            write!(f, " {}", value.name())?;
        }
        write!(f, " for `{}`", self.0.name())
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Value, E> {
        match self.1.get_value_by_name(name) {
            Some(value) => Ok(Value::EnumNumber(value.number())),
            None => Err(E::invalid_value(Unexpected::Str(name), &self)),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        i32::try_from(number)
            .map(Value::EnumNumber)
            .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        i32::try_from(number)
            .map(Value::EnumNumber)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }
}

/// Reads an integer, quoted or not.
pub(super) struct IntegerVisitor<'a>(pub(super) &'a FieldDescriptor);

impl Visitor<'_> for IntegerVisitor<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an integer for `{}`", self.0.name())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        if self.0.kind() == Kind::Int64 {
            return Ok(Value::I64(number));
        }
        i32::try_from(number)
            .map(Value::I32)
            .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        /// 2^53. A larger float may have been rounded.
        const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
        // 1.0 and 1e3 are integers in proto3 JSON.
        if number.fract() == 0.0 && number.abs() <= MAX_EXACT {
            self.visit_i64(number as i64)
        } else {
            Err(E::invalid_value(Unexpected::Float(number), &self))
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        match text.parse() {
            Ok(number) => self.visit_i64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

/// Reads a double, quoted or not. NaN and infinity are words, as proto3 JSON has them.
///
/// From the text: `serde_json` may miss the nearest double by one.
pub(super) fn double<'de, D: Deserializer<'de>>(
    json: D,
    field: &FieldDescriptor,
) -> Result<Value, D::Error> {
    let raw = <&RawValue>::deserialize(json)?.get();
    let text = raw
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let text = text.unwrap_or(raw);
    let number = match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        // Rust also reads words such as "inf".
        _ if text.ends_with(|c: char| c.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    number.map(Value::F64).ok_or_else(|| {
        let expected = format_args!("expected a number for `{}`", field.name());
        D::Error::custom(expected)
    })
}
