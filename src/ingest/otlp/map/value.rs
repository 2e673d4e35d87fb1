//! Attribute values as text, counts and JSON.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use serde_json::Value as JsonValue;

use crate::ingest::otlp::wire::{KeyValue, Value};

/// What is nested deeper is cut off with a mark. It is far below what the JSON
/// columns take, and below what a parser's or a destructor's stack takes.
pub const MAX_DEPTH: usize = 64;
/// What stands for values that are cut off.
pub const TOO_DEEP: &str = "[nested too deep]";

/// As text: strings as they are, everything else as JSON writes it.
pub fn text<'a>(value: &Value<'a>) -> Cow<'a, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        // By way of a tree, which sorts keys: the same value is the same text.
        other => Cow::Owned(json(other).to_string()),
    }
}

/// As a count. Some send numbers as strings or as floats.
pub fn count(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::Double(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
            // Exact: no fraction, and far below 2^63.
            Some(*number as i64)
        }
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// As JSON, strings staying strings.
pub fn json(value: &Value<'_>) -> JsonValue {
    tree(&AsJson::of(value))
}

/// Key-value pairs as an object. Of a key that comes twice the last stands, as
/// it does in `jsonb`.
pub fn object(pairs: &[KeyValue<'_>]) -> JsonValue {
    tree(&Pairs { pairs, depth: 0 })
}

fn tree(value: &impl Serialize) -> JsonValue {
    // Only what serde cannot put into JSON fails, and here is none of that.
    serde_json::to_value(value).unwrap_or_default()
}

/// As JSON; a string that holds JSON is taken as what it says.
pub fn parsed(value: &Value<'_>) -> JsonValue {
    match value {
        Value::String(text) => parse(text),
        other => json(other),
    }
}

/// The JSON that a text holds, else the text.
pub fn parse(text: &str) -> JsonValue {
    if looks_like_json(text)
        && let Ok(value) = serde_json::from_str(text)
    {
        return value;
    }
    JsonValue::String(text.to_owned())
}

/// Whether a text may be a JSON object, array or quoted string. Bare words
/// (`true`, `12`) are more often text that happens to be a number.
pub fn looks_like_json(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with(['{', '[', '"']) && !is_bomb(text)
}

/// Long text that is hardly more than JSON's punctuation stays text: each `[]` of
/// it would be dozens of bytes in memory.
fn is_bomb(text: &str) -> bool {
    const LONG_BYTES: usize = 256 << 10;
    const BYTES_PER_VALUE: usize = 8;
    let starts_value = |byte: &u8| matches!(byte, b',' | b'[' | b'{');
    text.len() > LONG_BYTES
        && text
            .as_bytes()
            .iter()
            .filter(|byte| starts_value(byte))
            .count()
            > text.len() / BYTES_PER_VALUE
}

/// A value, to be written as JSON.
#[derive(Clone, Copy, Debug)]
pub struct AsJson<'a> {
    value: Option<&'a Value<'a>>,
    depth: usize,
}

impl<'a> AsJson<'a> {
    /// A value that is there.
    pub fn of(value: &'a Value<'a>) -> Self {
        let value = Some(value);
        Self { value, depth: 0 }
    }

    /// That of an attribute; one without a value is null.
    pub fn of_attribute(attribute: &'a KeyValue<'a>) -> Self {
        Self::within(attribute.value.as_ref(), 0)
    }

    fn within(value: Option<&'a Value<'a>>, depth: usize) -> Self {
        Self { value, depth }
    }
}

impl Serialize for AsJson<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let depth = self.depth + 1;
        match self.value {
            None => to.serialize_unit(),
            Some(_) if self.depth >= MAX_DEPTH => to.serialize_str(TOO_DEEP),
            Some(Value::String(text)) => to.serialize_str(text),
            Some(Value::Bool(flag)) => to.serialize_bool(*flag),
            Some(Value::Int(number)) => to.serialize_i64(*number),
            Some(Value::Double(number)) if number.is_finite() => to.serialize_f64(*number),
            // JSON has no word for NaN and infinities.
            Some(Value::Double(number)) => to.collect_str(number),
            Some(Value::Bytes(bytes)) => to.serialize_str(&STANDARD.encode(bytes)),
            Some(Value::Array(values)) => {
                let items = values.iter();
                to.collect_seq(items.map(|value| Self::within(value.as_ref(), depth)))
            }
            Some(Value::Kvlist(pairs)) => Pairs { pairs, depth }.serialize(to),
        }
    }
}

struct Pairs<'a> {
    pairs: &'a [KeyValue<'a>],
    depth: usize,
}

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let inner = |value| AsJson::within(value, self.depth);
        let pairs = self.pairs.iter();
        to.collect_map(pairs.map(|pair| (pair.key, inner(pair.value.as_ref()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_in_several_types() {
        assert_eq!(count(&Value::Int(7)), Some(7));
        assert_eq!(count(&Value::Double(7.0)), Some(7));
        assert_eq!(count(&Value::String(" 7")), Some(7));
        assert_eq!(count(&Value::Double(7.5)), None);
        assert_eq!(count(&Value::Double(f64::NAN)), None);
        assert_eq!(count(&Value::Bool(true)), None);
    }

    #[test]
    fn what_json_cannot_say_is_text() {
        assert_eq!(json(&Value::Double(f64::INFINITY)), JsonValue::from("inf"));
        assert_eq!(json(&Value::Bytes(&[0, 255])), JsonValue::from("AP8="));
    }

    #[test]
    fn depth_ends_with_a_mark() {
        let mut value = Value::Int(1);
        for _ in 0..10 * MAX_DEPTH {
            value = Value::Array(vec![Some(value)]);
        }
        let text = json(&value).to_string();
        assert!(text.contains(TOO_DEEP) && text.len() < 3 * MAX_DEPTH + TOO_DEEP.len());
    }

    #[test]
    fn text_that_is_json_is_taken_as_what_it_says() {
        assert_eq!(parse(r#"{"a":1}"#), serde_json::json!({"a": 1}));
        assert_eq!(parse("12"), JsonValue::from("12"));
        assert_eq!(parse("{not json"), JsonValue::from("{not json"));
    }

    #[test]
    fn long_text_of_mere_punctuation_stays_text() {
        let list =
            |item: &str, count: usize| format!("[{}{item}]", format!("{item},").repeat(count));
        for bomb in ["[]", "1", "{}", "\"a\""] {
            assert!(parse(&list(bomb, 10)).is_array(), "{bomb}");
            assert!(parse(&list(bomb, 200_000)).is_string(), "{bomb}");
        }
        // Numbers of an embedding, and talk.
        for dense in [
            "-0.012345678",
            "{\"role\":\"user\",\"content\":\"hi there, you\"}",
        ] {
            assert!(parse(&list(dense, 100_000)).is_array(), "{dense}");
        }
    }
}
