//! The grammar: what JSON, Python literals, printed objects and JavaScript's
//! inspected objects have in common.

use serde_json::{Map, Number, Value};

use super::strings::unquote;
use super::{Purpose, is_end};
use crate::ingest::otlp::map::value::MAX_DEPTH;

/// The mark at the end of a text that was cut.
const CUT: &str = "\u{2026}";

/// Whether a word is the beginning of `true`, `None` and the like.
fn is_start_of_constant(word: &str) -> bool {
    const CONSTANTS: [&str; 5] = ["null", "true", "false", "undefined", "inf"];
    CONSTANTS.iter().any(|constant| constant.starts_with(word))
}

/// The text is no value of this grammar.
#[derive(Debug)]
pub struct NotAValue;

/// A value; nothing if the end of the text left nothing of it.
pub type ReadValue = Result<Option<Value>, NotAValue>;

/// Reads one text from its start to its end.
pub struct LenientReader<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    pub(super) purpose: Purpose,
    /// Whether the text ended within a value.
    pub(super) cut: bool,
    /// The number of fields and items so far.
    pub(super) found: usize,
}

impl<'a> LenientReader<'a> {
    pub fn new(text: &'a str, purpose: Purpose) -> Self {
        Self {
            text,
            at: 0,
            purpose,
            cut: false,
            found: 0,
        }
    }

    /// Reads an object, a list or a tuple.
    pub fn document(mut self) -> Option<Value> {
        let tuple = self.peek() == Some(b'(');
        let value = self.value(0).ok()?;
        if tuple && self.cut {
            return None;
        }
        self.finish(value)
    }

    /// Reads a string that is all of the text, or that the end of the text cuts.
    pub fn only_string(mut self) -> Option<String> {
        self.at = 1;
        let (text, whole) = self.quoted(b'"');
        (!whole || self.rest().is_empty()).then_some(text)
    }

    /// The result, if the value ends with the text.
    pub(super) fn finish(mut self, value: Option<Value>) -> Option<Value> {
        self.skip_space();
        if !self.cut {
            return value.filter(|_| self.rest().is_empty());
        }
        if self.found == 0 {
            return None;
        }
        // Nothing whole is left of messages: there is no message, and no text either.
        let nothing = Value::Array(Vec::new());
        value.or_else(|| (self.purpose == Purpose::Messages).then_some(nothing))
    }

    pub(super) fn value(&mut self, depth: usize) -> ReadValue {
        if depth > MAX_DEPTH {
            return Err(NotAValue);
        }
        if self.ended() {
            return Ok(None);
        }
        match self.peek() {
            Some(b'{') => self.braces(depth),
            Some(b'[') => {
                self.at += 1;
                let items = self.items(b']', depth)?.0;
                Ok(Some(Value::Array(items)))
            }
            Some(b'(') => self.parentheses(depth),
            Some(quote @ (b'"' | b'\'' | b'`')) => {
                self.at += 1;
                Ok(self.string(quote))
            }
            Some(b'<') => self.angles(),
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => {
                let word = self.identifier();
                self.after_identifier(word, depth)
            }
            Some(b'-' | b'+' | b'.' | b'0'..=b'9') => self.number(),
            _ => Err(NotAValue),
        }
    }

    /// Reads items up to a closing bracket. Also returns whether a comma followed
    /// the last one.
    fn items(&mut self, close: u8, depth: usize) -> Result<(Vec<Value>, bool), NotAValue> {
        let mut items = Vec::new();
        let mut comma = false;
        loop {
            if self.take(close) || self.ended() {
                return Ok((items, comma));
            }
            let item = self.value(depth + 1)?;
            self.found += 1;
            items.extend(item);
            comma = self.take(b',');
            if self.cut || !comma && (self.take(close) || self.ended()) {
                return Ok((items, comma));
            }
            if !comma {
                return Err(NotAValue);
            }
        }
    }

    /// Reads a tuple, or a value in parentheses.
    fn parentheses(&mut self, depth: usize) -> ReadValue {
        self.at += 1;
        let (mut items, comma) = self.items(b')', depth)?;
        Ok(match items.pop() {
            Some(only) if items.is_empty() && !comma => Some(only),
            last => {
                items.extend(last);
                Some(Value::Array(items))
            }
        })
    }

    /// Reads an object, a dictionary, or a set.
    fn braces(&mut self, depth: usize) -> ReadValue {
        self.at += 1;
        let mut object = Map::new();
        loop {
            if self.take(b'}') {
                return Ok(Some(Value::Object(object)));
            }
            if self.ended() {
                return Ok(self.cut_object(object));
            }
            let key = self.key(depth)?;
            if self.cut {
                return Ok(self.cut_object(object));
            }
            if !self.take(b':') && !self.take_arrow() {
                if self.ended() {
                    return Ok(self.cut_object(object));
                }
                return if object.is_empty() {
                    self.set(key, depth)
                } else {
                    Err(NotAValue)
                };
            }
            self.found += 1;
            let key = match key {
                Some(Value::String(key)) => key,
                Some(Value::Object(_) | Value::Array(_)) | None => return Err(NotAValue),
                Some(other) => other.to_string(),
            };
            if let Some(value) = self.value(depth + 1)? {
                object.insert(key, value);
            }
            if self.cut {
                return Ok(self.cut_object(object));
            }
            if !self.take(b',') && !matches!(self.peek(), Some(b'}') | None) && !self.ended() {
                return Err(NotAValue);
            }
        }
    }

    /// Reads the key of a field, or the first item of a set.
    fn key(&mut self, depth: usize) -> ReadValue {
        match self.peek() {
            Some(byte) if byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$') => {
                let word = self.identifier();
                match self.peek() {
                    Some(b':') => Ok(Some(word.into())),
                    _ => self.after_identifier(word, depth + 1),
                }
            }
            _ => self.value(depth + 1),
        }
    }

    fn set(&mut self, first: Option<Value>, depth: usize) -> ReadValue {
        let mut items: Vec<Value> = first.into_iter().collect();
        if self.take(b',') {
            items.extend(self.items(b'}', depth)?.0);
        } else if !self.take(b'}') {
            return Err(NotAValue);
        }
        Ok(Some(Value::Array(items)))
    }

    /// What is left of an object that the end of the text cut.
    fn cut_object(&mut self, object: Map<String, Value>) -> Option<Value> {
        self.cut = true;
        // A message or a part of one is only read whole.
        let is_message = ["role", "type"].iter().any(|key| object.contains_key(*key));
        let dropped = self.purpose == Purpose::Messages && is_message;
        (!dropped && !object.is_empty()).then_some(Value::Object(object))
    }

    /// Reads what follows a word: a string with a prefix, a call, or nothing.
    fn after_identifier(&mut self, word: &str, depth: usize) -> ReadValue {
        let rest = self.rest().as_bytes();
        if let Some(quote @ (b'"' | b'\'')) = rest.first()
            && word.len() <= 2
        {
            self.at += 1;
            return Ok(self.string(*quote));
        }
        if rest.first() == Some(&b'(') {
            return self.call(word, depth);
        }
        let starts_upper = word.starts_with(|c: char| c.is_ascii_uppercase());
        let value = match word {
            "null" | "None" | "undefined" | "nil" | "NULL" => Value::Null,
            "true" | "True" => true.into(),
            "false" | "False" => false.into(),
            "NaN" | "nan" => "NaN".into(),
            "Infinity" | "inf" => "Infinity".into(),
            "NOT_GIVEN" | "NotGiven" | "Ellipsis" => Value::Null,
            _ if rest.is_empty() && (starts_upper || is_start_of_constant(word)) => {
                self.cut = true;
                return Ok(None);
            }
            // `Role.USER` is its last word, `timezone.utc` stays as printed.
            _ if word.contains('.') && starts_upper => {
                word.rsplit('.').next().unwrap_or(word).into()
            }
            _ if word.contains('.') => word.into(),
            _ => return Err(NotAValue),
        };
        Ok(Some(value))
    }

    fn number(&mut self) -> ReadValue {
        let part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
        let length = self.rest().find(|c| !part(c));
        let text = &self.rest()[..length.unwrap_or(self.rest().len())];
        self.at += text.len();
        if self.rest().is_empty() {
            // More digits may have followed.
            self.cut = true;
            return Ok(None);
        }
        if text == "-" {
            let word = self.identifier();
            let infinite = matches!(word, "Infinity" | "inf");
            return if infinite {
                Ok(Some("-Infinity".into()))
            } else {
                Err(NotAValue)
            };
        }
        if let Ok(number) = text.parse::<i64>() {
            return Ok(Some(number.into()));
        }
        if let Ok(number) = text.parse::<u64>() {
            return Ok(Some(number.into()));
        }
        let number = text.parse().map_err(|_| NotAValue)?;
        let number = Number::from_f64(number).ok_or(NotAValue)?;
        Ok(Some(Value::Number(number)))
    }

    /// Reads a string behind its opening quote, and strings that directly follow
    /// it, as Python prints a long one.
    fn string(&mut self, quote: u8) -> Option<Value> {
        let (mut text, mut whole) = self.quoted(quote);
        while whole && matches!(self.peek(), Some(b'"' | b'\'')) {
            let next = self.text.as_bytes()[self.at];
            self.at += 1;
            let more;
            (more, whole) = self.quoted(next);
            text.push_str(&more);
        }
        if whole {
            return Some(text.into());
        }
        self.cut = true;
        if self.purpose == Purpose::Messages {
            return None;
        }
        if !text.ends_with(['\u{2026}', '.', ']']) {
            text.push_str(CUT);
        }
        Some(text.into())
    }

    fn quoted(&mut self, quote: u8) -> (String, bool) {
        let (text, length, whole) = unquote(self.rest(), quote);
        self.at += length;
        (text, whole)
    }

    pub(super) fn identifier(&mut self) -> &'a str {
        let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$');
        let rest = &self.text[self.at..];
        let length = rest.find(|c| !part(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn take_arrow(&mut self) -> bool {
        let found = self.rest().starts_with("=>");
        self.at += if found { 2 } else { 0 };
        found
    }

    /// Whether nothing but the mark of a cut is left.
    pub(super) fn ended(&mut self) -> bool {
        self.skip_space();
        let ended = is_end(self.rest());
        self.cut |= ended;
        ended
    }

    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// The next byte that is not white space.
    pub(super) fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn skip_space(&mut self) {
        let rest = self.rest().trim_start();
        self.at = self.text.len() - rest.len();
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }
}
