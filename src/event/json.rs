//! JSON text, checked in one pass without building a tree.
//!
//! The grammar is RFC 8259, with a limit on depth and without recursion, so
//! hostile nesting costs nothing. What is valid JSON but not storable as
//! `jsonb` (`\u0000`, lone surrogates) is repaired; numbers are left to
//! Postgres, whose `numeric` is wider than any fixed type.

use super::Repairs;

/// Deeper JSON is refused. Postgres' own parser recurses, and gives up
/// somewhere above 5,000 levels with its default `max_stack_depth`.
pub const MAX_JSON_DEPTH: usize = 512;

/// JSON text that Postgres takes as `jsonb`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(String);

/// Why a text is not acceptable JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON.
    #[error("is not JSON (at byte {offset})")]
    Invalid {
        /// Where it stops being JSON.
        offset: usize,
    },
    /// Nested deeper than is taken.
    #[error("is nested deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// JSON, with a number that Postgres may not take.
    #[error("holds a number too large to be sure of")]
    LargeNumber,
    /// JSON, but no object where one is asked for.
    #[error("is not a JSON object")]
    NotAnObject,
}

impl Json {
    /// Checks and, where Postgres needs it, repairs a JSON text.
    ///
    /// # Errors
    /// When it is not JSON or nested too deep.
    pub fn new(text: String, repairs: &mut Repairs) -> Result<Self, JsonError> {
        Self::within(MAX_JSON_DEPTH, text, repairs)
    }

    /// The same of JSON that Postgres is sure to take: for texts that may just as well
    /// be kept as they are.
    ///
    /// # Errors
    /// As [`Json::new`], and when a number may be beyond Postgres' `numeric`.
    pub fn surely(text: String, repairs: &mut Repairs) -> Result<Self, JsonError> {
        Self::checked(MAX_JSON_DEPTH, text, repairs, false)
    }

    /// The same with fewer levels than [`MAX_JSON_DEPTH`].
    ///
    /// # Errors
    /// As [`Json::new`].
    pub fn within(
        max_depth: usize,
        text: String,
        repairs: &mut Repairs,
    ) -> Result<Self, JsonError> {
        Self::checked(max_depth, text, repairs, true)
    }

    fn checked(
        max_depth: usize,
        text: String,
        repairs: &mut Repairs,
        any_number: bool,
    ) -> Result<Self, JsonError> {
        let mut scan = Scan {
            bytes: text.as_bytes(),
            at: 0,
            max_depth: max_depth.min(MAX_JSON_DEPTH),
            repairs: Repairs::default(),
            large_number: false,
        };
        scan.document()?;
        if scan.large_number && !any_number {
            return Err(JsonError::LargeNumber);
        }
        let found = scan.repairs;
        if found == Repairs::default() {
            return Ok(Self(text));
        }
        repairs.nuls += found.nuls;
        repairs.surrogates += found.surrogates;
        Ok(Self(repair(&text)))
    }

    /// JSON as serde writes it, which needs no check: only a NUL in a string is
    /// still to be replaced, and what may hold one is looked at. How deep it is
    /// nested is for the caller to know. `scratch` is used again and again, so that
    /// no text grows by reallocation, or keeps more memory than it needs.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn of(
        value: &(impl serde::Serialize + ?Sized),
        scratch: &mut Vec<u8>,
        repairs: &mut Repairs,
    ) -> Result<Self, JsonError> {
        let unwritable = JsonError::Invalid { offset: 0 };
        scratch.clear();
        serde_json::to_writer(&mut *scratch, value).map_err(|_| unwritable)?;
        let text = std::str::from_utf8(scratch).map_err(|_| unwritable)?;
        if text.contains("\\u0000") {
            return Self::new(text.to_owned(), repairs);
        }
        Ok(Self(text.to_owned()))
    }

    /// [`Json::new`] for a JSON object.
    ///
    /// # Errors
    /// As [`Json::new`], and when it is another kind of value.
    pub fn object(text: String, repairs: &mut Repairs) -> Result<Self, JsonError> {
        Self::new(text, repairs)?.into_object()
    }

    /// The same if it is an object.
    ///
    /// # Errors
    /// When it is another kind of value.
    pub fn into_object(self) -> Result<Self, JsonError> {
        if self.0.trim_start().starts_with('{') {
            Ok(self)
        } else {
            Err(JsonError::NotAnObject)
        }
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One bit a level: set in an object, clear in an array.
#[derive(Default)]
struct Nesting {
    bits: [u64; MAX_JSON_DEPTH / 64],
    depth: usize,
}

impl Nesting {
    fn push(&mut self, object: bool, limit: usize) -> Result<(), JsonError> {
        let word = self
            .bits
            .get_mut(self.depth / 64)
            .filter(|_| self.depth < limit)
            .ok_or(JsonError::TooDeep { limit })?;
        let bit = 1 << (self.depth % 64);
        if object {
            *word |= bit
        } else {
            *word &= !bit
        }
        self.depth += 1;
        Ok(())
    }

    fn in_object(&self) -> bool {
        self.depth > 0 && self.bits[(self.depth - 1) / 64] & (1 << ((self.depth - 1) % 64)) != 0
    }
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    max_depth: usize,
    repairs: Repairs,
    /// A number has so many digits, or such an exponent, that `numeric` may not hold it.
    large_number: bool,
}

impl Scan<'_> {
    fn document(&mut self) -> Result<(), JsonError> {
        let mut nesting = Nesting::default();
        loop {
            // Here a value is due.
            self.space();
            match self.peek() {
                Some(b'{') => {
                    self.at += 1;
                    nesting.push(true, self.max_depth)?;
                    self.space();
                    if self.peek() != Some(b'}') {
                        self.key()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    nesting.push(false, self.max_depth)?;
                    self.space();
                    if self.peek() != Some(b']') {
                        continue;
                    }
                }
                Some(b'"') => self.string()?,
                Some(b't') => self.word(b"true")?,
                Some(b'f') => self.word(b"false")?,
                Some(b'n') => self.word(b"null")?,
                _ => self.number()?,
            }
            // Here a value has ended, or an empty container is about to.
            if !self.after_value(&mut nesting)? {
                return if self.at == self.bytes.len() {
                    Ok(())
                } else {
                    self.invalid()
                };
            }
        }
    }

    /// Closes containers up to the next comma. False at the end of the document.
    fn after_value(&mut self, nesting: &mut Nesting) -> Result<bool, JsonError> {
        loop {
            self.space();
            if nesting.depth == 0 {
                return Ok(false);
            }
            let object = nesting.in_object();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    if object {
                        self.space();
                        self.key()?;
                    }
                    return Ok(true);
                }
                Some(b'}') if object => {}
                Some(b']') if !object => {}
                _ => return self.invalid(),
            }
            self.at += 1;
            nesting.depth -= 1;
        }
    }

    fn key(&mut self) -> Result<(), JsonError> {
        if self.peek() != Some(b'"') {
            return self.invalid();
        }
        self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return self.invalid();
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        loop {
            self.at += plain_len(&self.bytes[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                _ => return self.invalid(),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match unicode_escape(&self.bytes[self.at..]) {
                Some((found, len)) => {
                    self.at += len;
                    match found {
                        Escaped::Nul => self.repairs.nuls += 1,
                        Escaped::LoneSurrogate => self.repairs.surrogates += 1,
                        Escaped::Char => {}
                    }
                }
                None => return self.invalid(),
            },
            _ => return self.invalid(),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonError> {
        /// `numeric` has room for 131,072 digits before the point and 16,383 after it.
        const SURE_DIGITS: usize = 1_000;
        const SURE_EXPONENT_DIGITS: usize = 3;
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            let exponent = self.at;
            self.digits()?;
            self.large_number |= self.at - exponent > SURE_EXPONENT_DIGITS;
        }
        self.large_number |= self.at - from > SURE_DIGITS;
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), JsonError> {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == from {
            self.invalid()
        } else {
            Ok(())
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), JsonError> {
        if !self.bytes[self.at..].starts_with(word) {
            return self.invalid();
        }
        self.at += word.len();
        Ok(())
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn invalid<T>(&self) -> Result<T, JsonError> {
        Err(JsonError::Invalid { offset: self.at })
    }
}

/// How many bytes of a string pass before a quote, a backslash or a control
/// character; eight at a time, since strings are most of what is scanned.
fn plain_len(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let mut len = 0;
    for chunk in bytes.chunks_exact(8) {
        let word = chunk
            .iter()
            .rev()
            .fold(0_u64, |word, &byte| word << 8 | u64::from(byte));
        let below_space = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let quote = has_zero(word ^ (ONES * u64::from(b'"')));
        let backslash = has_zero(word ^ (ONES * u64::from(b'\\')));
        let stops = below_space | quote | backslash;
        if stops != 0 {
            // The lowest flag is exact; borrows only disturb those above it.
            return len + stops.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    let stops = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
    len + bytes[len..]
        .iter()
        .position(stops)
        .unwrap_or(bytes.len() - len)
}

enum Escaped {
    Char,
    Nul,
    LoneSurrogate,
}

/// Reads `\uXXXX`, or a pair of them that is one character: what and how long.
fn unicode_escape(bytes: &[u8]) -> Option<(Escaped, usize)> {
    let unit = |from: usize| -> Option<u32> {
        let hex = bytes.get(from..from + 6)?.strip_prefix(b"\\u")?;
        hex.iter().try_fold(0, |sum, &digit| {
            Some(sum * 16 + char::from(digit).to_digit(16)?)
        })
    };
    match unit(0)? {
        0 => Some((Escaped::Nul, 6)),
        0xd800..=0xdbff if matches!(unit(6), Some(0xdc00..=0xdfff)) => Some((Escaped::Char, 12)),
        0xd800..=0xdfff => Some((Escaped::LoneSurrogate, 6)),
        _ => Some((Escaped::Char, 6)),
    }
}

/// Replaces each `\u0000` and lone surrogate of valid JSON by `\ufffd`.
fn repair(text: &str) -> String {
    let mut repaired = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        repaired.push_str(&rest[..at]);
        rest = &rest[at..];
        let (found, len) = unicode_escape(rest.as_bytes()).unwrap_or((Escaped::Char, 2));
        match found {
            Escaped::Char => repaired.push_str(&rest[..len]),
            Escaped::Nul | Escaped::LoneSurrogate => repaired.push_str("\\ufffd"),
        }
        rest = &rest[len..];
    }
    repaired.push_str(rest);
    repaired
}

#[cfg(test)]
mod tests;
