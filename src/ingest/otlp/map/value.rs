//! Converts attribute values to text, counts and JSON.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use serde_json::Value as JsonValue;

use super::lenient::{self, Purpose};
use crate::ingest::otlp::wire::{AnyValue, KeyValue, TOO_DEEP};

/// The deepest nesting of a converted value; deeper values become [`TOO_DEEP`].
/// JSON columns accept far more, and so does the stack of a parser or destructor.
pub const MAX_DEPTH: usize = 64;
/// The largest float that is read as a count, just below 2^53: every integer up
/// to it is exact.
const MAX_EXACT_COUNT: f64 = 9e15;

/// A value as text: a string unchanged, everything else as JSON.
pub fn text<'a>(value: &AnyValue<'a>) -> Cow<'a, str> {
    match value {
        AnyValue::String(text) => Cow::Borrowed(text),
        // A tree sorts keys, so equal values give equal text.
        other => Cow::Owned(json(other).to_string()),
    }
}

/// A value as a count. Some dialects send counts as strings or floats.
pub fn count(value: &AnyValue<'_>) -> Option<i64> {
    match value {
        AnyValue::Int(number) => Some(*number),
        AnyValue::Double(number) if number.fract() == 0.0 && number.abs() < MAX_EXACT_COUNT => {
            Some(*number as i64)
        }
        AnyValue::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A value as JSON. Strings stay strings.
pub fn json(value: &AnyValue<'_>) -> JsonValue {
    to_json(&AsJson::of(value))
}

/// Key-value pairs as a JSON object. If a key occurs twice, the last value wins,
/// as in `jsonb`.
pub fn object(pairs: &[KeyValue<'_>]) -> JsonValue {
    to_json(&PairsAsJson { pairs, depth: 0 })
}

fn to_json(value: &impl Serialize) -> JsonValue {
    // These values always convert to JSON.
    serde_json::to_value(value).unwrap_or_default()
}

/// A value as JSON. A string that holds JSON is parsed.
pub fn parsed(value: &AnyValue<'_>) -> JsonValue {
    match value {
        AnyValue::String(text) => parse(text),
        other => json(other),
    }
}

/// The JSON that a text holds, else the text as a JSON string. JSON that is
/// damaged is mended.
pub fn parse(text: &str) -> JsonValue {
    let value = structured(text, Purpose::Values);
    value.unwrap_or_else(|| JsonValue::String(text.to_owned()))
}

/// The JSON that a text holds, mended if it is damaged. `None` if the text is
/// anything else.
pub fn structured(text: &str, purpose: Purpose) -> Option<JsonValue> {
    if !looks_like_json(text) {
        return None;
    }
    match serde_json::from_str(text) {
        Ok(value) => Some(value),
        Err(_) => lenient::read(text, purpose),
    }
}

/// Whether a text may be a JSON object, array or quoted string. Bare words and
/// numbers (`true`, `12`) are usually text.
pub fn looks_like_json(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with(['{', '[', '"']) && !is_mostly_punctuation(text)
}

/// Whether a quote and what follows it in a text is one of these beginnings. Each of them starts
/// with a quote. Quotes are rare, so this is faster than to look for each beginning.
pub fn has_quoted(text: &str, beginnings: &[impl AsRef<str>]) -> bool {
    let bytes = text.as_bytes();
    text.match_indices('"').any(|(at, _)| {
        let next = bytes.get(at + 1);
        beginnings.iter().map(AsRef::as_ref).any(|beginning: &str| {
            beginning.as_bytes().get(1) == next && text[at..].starts_with(beginning)
        })
    })
}

/// Whether a long text is little more than JSON punctuation. It is not parsed,
/// because each `[]` in it would take dozens of bytes in memory.
pub fn is_mostly_punctuation(text: &str) -> bool {
    // Shorter text cannot take much memory.
    const LONG_BYTES: usize = 256 << 10;
    // Normal JSON has more bytes per value than this.
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

/// Serializes a value as JSON.
#[derive(Clone, Copy, Debug)]
pub struct AsJson<'a> {
    value: Option<&'a AnyValue<'a>>,
    depth: usize,
}

impl<'a> AsJson<'a> {
    /// A present value.
    pub fn of(value: &'a AnyValue<'a>) -> Self {
        let value = Some(value);
        Self { value, depth: 0 }
    }

    /// The value of an attribute; null if it has none.
    pub fn of_attribute(attribute: &'a KeyValue<'a>) -> Self {
        Self::within(attribute.value.as_ref(), 0)
    }

    fn within(value: Option<&'a AnyValue<'a>>, depth: usize) -> Self {
        Self { value, depth }
    }
}

impl Serialize for AsJson<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let depth = self.depth + 1;
        match self.value {
            None => to.serialize_unit(),
            Some(_) if self.depth >= MAX_DEPTH => to.serialize_str(TOO_DEEP),
            Some(AnyValue::String(text)) => to.serialize_str(text),
            Some(AnyValue::Bool(flag)) => to.serialize_bool(*flag),
            Some(AnyValue::Int(number)) => to.serialize_i64(*number),
            Some(AnyValue::Double(number)) if number.is_finite() => to.serialize_f64(*number),
            // JSON has no NaN and no infinities.
            Some(AnyValue::Double(number)) => to.collect_str(number),
            Some(AnyValue::Bytes(bytes)) => to.serialize_str(&STANDARD.encode(bytes)),
            Some(AnyValue::Array(values)) => {
                let items = values.iter();
                to.collect_seq(items.map(|value| Self::within(value.as_ref(), depth)))
            }
            Some(AnyValue::Kvlist(pairs)) => PairsAsJson { pairs, depth }.serialize(to),
        }
    }
}

struct PairsAsJson<'a> {
    pairs: &'a [KeyValue<'a>],
    depth: usize,
}

impl Serialize for PairsAsJson<'_> {
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
    fn counts_are_read_from_several_types() {
        assert_eq!(count(&AnyValue::Int(7)), Some(7));
        assert_eq!(count(&AnyValue::Double(7.0)), Some(7));
        assert_eq!(count(&AnyValue::String(" 7")), Some(7));
        assert_eq!(count(&AnyValue::Double(7.5)), None);
        assert_eq!(count(&AnyValue::Double(f64::NAN)), None);
        assert_eq!(count(&AnyValue::Bool(true)), None);
    }

    #[test]
    fn values_that_json_lacks_become_text() {
        assert_eq!(
            json(&AnyValue::Double(f64::INFINITY)),
            JsonValue::from("inf")
        );
        assert_eq!(json(&AnyValue::Bytes(&[0, 255])), JsonValue::from("AP8="));
    }

    #[test]
    fn values_nested_too_deep_are_marked() {
        let mut value = AnyValue::Int(1);
        for _ in 0..10 * MAX_DEPTH {
            value = AnyValue::Array(vec![Some(value)]);
        }
        let text = json(&value).to_string();
        assert!(text.contains(TOO_DEEP) && text.len() < 3 * MAX_DEPTH + TOO_DEEP.len());
    }

    #[test]
    fn beginnings_are_found_behind_quotes() {
        let beginnings = ["\"input", "\"args\""];
        for text in [
            r#"{"input_text": 1}"#,
            r#"{"b":"", "args":[]}"#,
            "\"\"\"input",
        ] {
            assert!(has_quoted(text, &beginnings), "{text}");
        }
        for text in [
            "",
            "\"",
            "input",
            "args\"",
            r#"{"arg": "the input"}"#,
            "é\"é",
        ] {
            assert!(!has_quoted(text, &beginnings), "{text}");
        }
    }

    #[test]
    fn text_that_holds_json_is_parsed() {
        assert_eq!(parse(r#"{"a":1}"#), serde_json::json!({"a": 1}));
        assert_eq!(parse("12"), JsonValue::from("12"));
        assert_eq!(parse("{not json"), JsonValue::from("{not json"));
    }

    #[test]
    fn long_text_of_mostly_punctuation_is_not_parsed() {
        let list =
            |item: &str, count: usize| format!("[{}{item}]", format!("{item},").repeat(count));
        for tiny in ["[]", "1", "{}", "\"a\""] {
            assert!(parse(&list(tiny, 10)).is_array(), "{tiny}");
            assert!(parse(&list(tiny, 200_000)).is_string(), "{tiny}");
        }
        // The numbers of an embedding, and messages.
        for dense in [
            "-0.012345678",
            "{\"role\":\"user\",\"content\":\"hi there, you\"}",
        ] {
            assert!(parse(&list(dense, 100_000)).is_array(), "{dense}");
        }
    }
}
