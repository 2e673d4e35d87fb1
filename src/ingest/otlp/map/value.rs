//! Attribute values as text, counts and JSON.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use serde::{Serialize, Serializer};
use serde_json::Value as JsonValue;

/// What is nested deeper is cut off with a mark. It is far below what the JSON
/// columns take, and below what a parser's or a destructor's stack takes.
pub const MAX_DEPTH: usize = 64;
/// What stands for values that are cut off.
pub const TOO_DEEP: &str = "[nested too deep]";

/// As text: strings as they are, everything else as JSON writes it.
pub fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::StringValue(text) => Cow::Borrowed(text),
        // By way of a tree, which sorts keys: the same value is the same text.
        other => Cow::Owned(json(other).to_string()),
    }
}

/// As a count. Some send numbers as strings or as floats.
pub fn count(value: &Value) -> Option<i64> {
    match value {
        Value::IntValue(number) => Some(*number),
        Value::DoubleValue(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
            // Exact: no fraction, and far below 2^63.
            Some(*number as i64)
        }
        Value::StringValue(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// As JSON, strings staying strings.
pub fn json(value: &Value) -> JsonValue {
    tree(&AsJson::of(value))
}

/// Key-value pairs as an object. Of a key that comes twice the last stands, as
/// it does in `jsonb`.
pub fn object(pairs: &[KeyValue]) -> JsonValue {
    tree(&Pairs { pairs, depth: 0 })
}

fn tree(value: &impl Serialize) -> JsonValue {
    // Only what serde cannot put into JSON fails, and here is none of that.
    serde_json::to_value(value).unwrap_or_default()
}

/// As JSON; a string that holds JSON is taken as what it says.
pub fn parsed(value: &Value) -> JsonValue {
    match value {
        Value::StringValue(text) => parse(text),
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
    value: Option<&'a Value>,
    depth: usize,
}

impl<'a> AsJson<'a> {
    /// A value that is there.
    pub fn of(value: &'a Value) -> Self {
        let value = Some(value);
        Self { value, depth: 0 }
    }

    /// That of an attribute; one without a value is null.
    pub fn of_attribute(attribute: &'a KeyValue) -> Self {
        Self::within(attribute.value.as_ref(), 0)
    }

    fn within(any: Option<&'a AnyValue>, depth: usize) -> Self {
        let value = any.and_then(|any| any.value.as_ref());
        Self { value, depth }
    }
}

impl Serialize for AsJson<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let depth = self.depth + 1;
        match self.value {
            None => to.serialize_unit(),
            Some(_) if self.depth >= MAX_DEPTH => to.serialize_str(TOO_DEEP),
            Some(Value::StringValue(text)) => to.serialize_str(text),
            Some(Value::BoolValue(flag)) => to.serialize_bool(*flag),
            Some(Value::IntValue(number)) => to.serialize_i64(*number),
            Some(Value::DoubleValue(number)) if number.is_finite() => to.serialize_f64(*number),
            // JSON has no word for NaN and infinities.
            Some(Value::DoubleValue(number)) => to.collect_str(number),
            Some(Value::BytesValue(bytes)) => to.serialize_str(&STANDARD.encode(bytes)),
            Some(Value::ArrayValue(array)) => {
                let items = array.values.iter();
                to.collect_seq(items.map(|any| Self::within(Some(any), depth)))
            }
            Some(Value::KvlistValue(list)) => {
                let pairs = &list.values;
                Pairs { pairs, depth }.serialize(to)
            }
            // An index into a table that only profiles carry.
            Some(other @ Value::StringValueStrindex(_)) => to.serialize_str(&format!("{other:?}")),
        }
    }
}

struct Pairs<'a> {
    pairs: &'a [KeyValue],
    depth: usize,
}

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let inner = |pair| AsJson::within(pair, self.depth);
        let pairs = self.pairs.iter();
        to.collect_map(pairs.map(|pair| (&pair.key, inner(pair.value.as_ref()))))
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::ArrayValue;

    use super::*;

    fn any(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    #[test]
    fn counts_come_in_several_types() {
        assert_eq!(count(&Value::IntValue(7)), Some(7));
        assert_eq!(count(&Value::DoubleValue(7.0)), Some(7));
        assert_eq!(count(&Value::StringValue(" 7".into())), Some(7));
        assert_eq!(count(&Value::DoubleValue(7.5)), None);
        assert_eq!(count(&Value::DoubleValue(f64::NAN)), None);
        assert_eq!(count(&Value::BoolValue(true)), None);
    }

    #[test]
    fn what_json_cannot_say_is_text() {
        assert_eq!(
            json(&Value::DoubleValue(f64::INFINITY)),
            JsonValue::from("inf")
        );
        assert_eq!(
            json(&Value::BytesValue(vec![0, 255])),
            JsonValue::from("AP8=")
        );
    }

    #[test]
    fn depth_ends_with_a_mark() {
        let mut value = Value::IntValue(1);
        for _ in 0..10 * MAX_DEPTH {
            value = Value::ArrayValue(ArrayValue {
                values: vec![any(value)],
            });
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
