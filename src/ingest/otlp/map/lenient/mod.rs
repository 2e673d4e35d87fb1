//! Reads values that are almost JSON.
//!
//! SDKs write lone surrogates, `NaN`, Python literals, the printed form of objects
//! (`Message(role='user', content='Hi')`), and values that an exporter cut off. The
//! strict parser is the fast path: this reader gets only what that parser refused.
//!
//! It takes one pass, never goes back, and limits its depth. A text that no rule
//! explains is no value: the caller then keeps the text.

mod printed;
mod reader;
mod strings;
#[cfg(test)]
mod tests;

use serde_json::Value;

use self::reader::LenientReader;
use super::value::is_mostly_punctuation;

/// What the caller reads, which decides about what is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Messages. What the end of the text cuts is left out, so that every message
    /// is whole. The class of a printed object becomes its `type`.
    Messages,
    /// Any other value. A text that was cut is kept up to the cut and marked. The
    /// classes of printed objects are left out.
    Values,
}

/// The most characters of an exporter's mark behind a value that it cut.
const MAX_MARK_BYTES: usize = 64;

/// Reads a value that is not strict JSON: an object, a list, or a printed object.
/// `None` if the text is anything else, such as prose.
pub fn read(text: &str, purpose: Purpose) -> Option<Value> {
    let text = text.trim();
    if is_mostly_punctuation(text) {
        return None;
    }
    match text.as_bytes().first()? {
        b'"' => read_within_string(text, purpose),
        b'{' | b'[' | b'(' => LenientReader::new(text, purpose).document(),
        byte if byte.is_ascii_alphabetic() || *byte == b'_' => {
            LenientReader::new(text, purpose).printed_object()
        }
        _ => None,
    }
}

/// Reads JSON that was written as a JSON string, which itself is damaged.
fn read_within_string(text: &str, purpose: Purpose) -> Option<Value> {
    let inner = LenientReader::new(text, purpose).only_string()?;
    let starts_value = inner.trim_start().starts_with(['{', '[']);
    starts_value.then(|| match serde_json::from_str(&inner) {
        Ok(value) => Some(value),
        Err(_) => read(&inner, purpose),
    })?
}

/// Whether a text is nothing, or the mark that an exporter leaves where it cut.
fn is_end(text: &str) -> bool {
    const MARKS: [&str; 6] = [
        "...",
        "\u{2026}",
        "[truncated",
        "<truncated",
        "(truncated",
        "[TRUNCATED",
    ];
    text.is_empty()
        || text.len() <= MAX_MARK_BYTES && MARKS.iter().any(|mark| text.starts_with(mark))
}
