//! The text that Postgres prints of `jsonb`.
//!
//! Two events that differ in their JSON only are ordered by this text, in the merging
//! statements and in memory. The text of the event itself is no use: `jsonb` does not
//! keep it.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use super::Json;

/// The text that Postgres prints of a `jsonb` value, ordered by its bytes.
///
/// Postgres prints numbers without an exponent, so 8 bytes of JSON may become 131,072
/// zeros. These zeros are counted and not stored.
#[derive(Clone, Debug, Default)]
pub struct JsonbText {
    /// The text without the counted zeros.
    text: String,
    /// Where counted zeros belong in `text`, and how many.
    zeros: Vec<(usize, u64)>,
}

impl JsonbText {
    /// The text of a JSON value, as a row holds it.
    #[must_use]
    pub fn of(json: &Json) -> Self {
        let mut text = Self::default();
        text.value(&Value::parse(json));
        text
    }

    /// The text of a JSON object without some of its members. `None` if no member is left.
    #[must_use]
    pub fn without(json: &Json, members: &[&str]) -> Option<Self> {
        let mut value = Value::parse(json);
        if let Value::Object(all) = &mut value {
            all.retain(|(key, _)| !members.contains(&key.as_ref()));
            if all.is_empty() {
                return None;
            }
        }
        let mut text = Self::default();
        text.value(&value);
        Some(text)
    }

    fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Word(word) => self.text.push_str(word),
            Value::Number(number) => self.number(number),
            Value::Text(text) => self.string(text),
            Value::Array(items) => {
                self.text.push('[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        self.text.push_str(", ");
                    }
                    self.value(item);
                }
                self.text.push(']');
            }
            Value::Object(members) => {
                self.text.push('{');
                for (position, (key, value)) in members.iter().enumerate() {
                    if position > 0 {
                        self.text.push_str(", ");
                    }
                    self.string(key);
                    self.text.push_str(": ");
                    self.value(value);
                }
                self.text.push('}');
            }
        }
    }

    /// As `escape_json` in Postgres.
    fn string(&mut self, string: &str) {
        self.text.push('"');
        for char in string.chars() {
            match char {
                '\u{8}' => self.text.push_str("\\b"),
                '\u{c}' => self.text.push_str("\\f"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                ..' ' => self.text.push_str(&format!("\\u{:04x}", u32::from(char))),
                _ => self.text.push(char),
            }
        }
        self.text.push('"');
    }

    /// As `numeric` in Postgres: no exponent, all digits after the point, no negative zero.
    fn number(&mut self, number: &str) {
        let (negative, number) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        // Postgres refuses exponents that are cut off here.
        let exponent = exponent
            .parse::<i32>()
            .unwrap_or(match exponent.as_bytes() {
                [b'-', ..] => i32::MIN,
                _ => i32::MAX,
            });
        let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        let after_point = i64::try_from(fraction.len()).unwrap_or(i64::MAX) - i64::from(exponent);
        if negative && !digits.is_empty() {
            self.text.push('-');
        }
        if after_point <= 0 {
            if digits.is_empty() {
                self.text.push('0');
            } else {
                self.text.push_str(digits);
                self.zeros(after_point.unsigned_abs());
            }
        } else if let Ok(point @ 1..) = usize::try_from(length - after_point) {
            let (before, after) = digits.split_at(point);
            self.text.extend([before, ".", after]);
        } else {
            self.text.push_str("0.");
            self.zeros((after_point - length).unsigned_abs());
            self.text.push_str(digits);
        }
    }

    fn zeros(&mut self, count: u64) {
        if count > 0 {
            self.zeros.push((self.text.len(), count));
        }
    }
}

/// What is not compared yet of a text.
struct Rest<'t> {
    text: &'t JsonbText,
    at: usize,
    /// The index of the next run of zeros, and how many of them are done.
    run: usize,
    done: u64,
}

/// Bytes of a text that belong together.
enum Piece<'t> {
    Bytes(&'t [u8]),
    Zeros(u64),
}

impl Piece<'_> {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Zeros(count) => *count,
        }
    }
}

impl<'t> Rest<'t> {
    fn of(text: &'t JsonbText) -> Self {
        Self {
            text,
            at: 0,
            run: 0,
            done: 0,
        }
    }

    /// The next piece; empty at the end.
    fn next(&self) -> Piece<'t> {
        let text = self.text.text.as_bytes();
        match self.text.zeros.get(self.run) {
            Some(&(at, count)) if at == self.at => Piece::Zeros(count - self.done),
            Some(&(at, _)) => Piece::Bytes(&text[self.at..at]),
            None => Piece::Bytes(&text[self.at..]),
        }
    }

    /// Skips part of the next piece.
    fn skip(&mut self, piece: &Piece<'_>, length: u64) {
        match piece {
            // No longer than the piece, which is in memory.
            Piece::Bytes(bytes) => self.at += usize::try_from(length).unwrap_or(bytes.len()),
            Piece::Zeros(count) if *count == length => (self.run, self.done) = (self.run + 1, 0),
            Piece::Zeros(_) => self.done += length,
        }
    }
}

impl Ord for JsonbText {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut left, mut right) = (Rest::of(self), Rest::of(other));
        loop {
            let (one, two) = (left.next(), right.next());
            let length = one.len().min(two.len());
            if length == 0 {
                return one.len().cmp(&two.len());
            }
            let upto = usize::try_from(length).unwrap_or(usize::MAX);
            let against_zeros = |bytes: &[u8]| {
                let other = bytes.iter().find(|byte| **byte != b'0');
                other.map_or(Ordering::Equal, |byte| byte.cmp(&b'0'))
            };
            let order = match (&one, &two) {
                (Piece::Bytes(one), Piece::Bytes(two)) => one[..upto].cmp(&two[..upto]),
                (Piece::Bytes(one), Piece::Zeros(_)) => against_zeros(&one[..upto]),
                (Piece::Zeros(_), Piece::Bytes(two)) => against_zeros(&two[..upto]).reverse(),
                (Piece::Zeros(_), Piece::Zeros(_)) => Ordering::Equal,
            };
            if order.is_ne() {
                return order;
            }
            left.skip(&one, length);
            right.skip(&two, length);
        }
    }
}

impl PartialOrd for JsonbText {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for JsonbText {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for JsonbText {}

impl fmt::Display for JsonbText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut at = 0;
        for &(end, count) in &self.zeros {
            f.write_str(&self.text[at..end])?;
            (0..count).try_for_each(|_| f.write_str("0"))?;
            at = end;
        }
        f.write_str(&self.text[at..])
    }
}

/// A JSON value whose strings are unescaped.
enum Value<'j> {
    /// `true`, `false` or `null`.
    Word(&'j str),
    Number(&'j str),
    Text(Cow<'j, str>),
    Array(Vec<Value<'j>>),
    /// In the order of `jsonb`: by the length of the key, then by its bytes. Each key
    /// once, with its last value.
    Object(Vec<(Cow<'j, str>, Value<'j>)>),
}

impl<'j> Value<'j> {
    fn parse(json: &'j Json) -> Self {
        let mut reader = Reader {
            text: json.stored(),
            at: 0,
        };
        reader.value()
    }
}

/// Reads JSON that was checked before.
struct Reader<'j> {
    text: &'j str,
    at: usize,
}

impl<'j> Reader<'j> {
    /// Nesting is limited by [`super::MAX_JSON_DEPTH`].
    fn value(&mut self) -> Value<'j> {
        match self.peek() {
            Some(b'{') => self.object(),
            Some(b'[') => {
                self.at += 1;
                let mut items = Vec::new();
                while self.peek().is_some_and(|byte| byte != b']') {
                    items.push(self.value());
                    self.comma();
                }
                self.at += 1;
                Value::Array(items)
            }
            Some(b'"') => Value::Text(self.string()),
            Some(b't' | b'f' | b'n') => Value::Word(self.scalar()),
            _ => Value::Number(self.scalar()),
        }
    }

    fn object(&mut self) -> Value<'j> {
        self.at += 1;
        let mut members: Vec<(Cow<'j, str>, Value<'j>)> = Vec::new();
        while self.peek() == Some(b'"') {
            let key = self.string();
            self.peek();
            self.at += 1;
            members.push((key, self.value()));
            self.comma();
        }
        self.at += 1;
        // The sort is stable, and of equal keys the first one stays.
        members.reverse();
        members.sort_by(|(one, _), (two, _)| (one.len(), one).cmp(&(two.len(), two)));
        members.dedup_by(|(later, _), (first, _)| later == first);
        Value::Object(members)
    }

    fn comma(&mut self) {
        if self.peek() == Some(b',') {
            self.at += 1;
        }
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let space = rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t'));
        self.at += space.count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn scalar(&mut self) -> &'j str {
        let rest = &self.text[self.at..];
        let ends = |char: char| matches!(char, ',' | ']' | '}' | ' ' | '\n' | '\r' | '\t');
        let scalar = rest.split(ends).next().unwrap_or(rest);
        // At least one byte, so that reading always ends.
        self.at += scalar.len().max(1);
        scalar
    }

    fn string(&mut self) -> Cow<'j, str> {
        self.at += 1;
        let rest = &self.text[self.at..];
        let end = rest.find(['"', '\\']).unwrap_or(rest.len());
        if rest[end..].starts_with('"') {
            self.at += end + 1;
            return Cow::Borrowed(&rest[..end]);
        }
        let mut string = String::new();
        loop {
            let rest = &self.text[self.at..];
            let end = rest.find(['"', '\\']).unwrap_or(rest.len());
            string.push_str(&rest[..end]);
            self.at += end;
            if !rest[end..].starts_with('\\') {
                self.at += 1;
                return Cow::Owned(string);
            }
            string.push(self.escape());
        }
    }

    /// The character that an escape stands for.
    fn escape(&mut self) -> char {
        let kind = self.text.as_bytes().get(self.at + 1);
        if kind == Some(&b'u') {
            let high = self.unit();
            if !(0xd800..0xdc00).contains(&high) {
                return char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER);
            }
            let low = self.unit().wrapping_sub(0xdc00) & 0x3ff;
            let code = 0x1_0000 + ((high - 0xd800) << 10 | low);
            return char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        }
        self.at += 2;
        match kind {
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(&other) => char::from(other),
            None => char::REPLACEMENT_CHARACTER,
        }
    }

    /// The code unit of `\uXXXX`.
    fn unit(&mut self) -> u32 {
        let hex = self.text.get(self.at + 2..self.at + 6);
        self.at += 6;
        hex.and_then(|hex| u32::from_str_radix(hex, 16).ok())
            .unwrap_or(0xfffd)
    }
}

#[cfg(test)]
mod tests;
