//! JSON text that Postgres accepts, checked in one pass without building a tree.
//!
//! The grammar is RFC 8259 with a limit on depth. The scanner does not recurse, so
//! hostile nesting costs nothing. It repairs valid JSON that `jsonb` cannot store
//! (`\u0000`, lone surrogates). Postgres checks the size of numbers: its `numeric` is
//! wider than any fixed type.

use super::text::Repairs;

/// The deepest nesting that is accepted. The parser of Postgres recurses; with the default
/// `max_stack_depth` it fails somewhere above 5,000 levels.
pub const MAX_JSON_DEPTH: usize = 512;

/// JSON text that Postgres accepts as `jsonb`.
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
    /// Nested too deep.
    #[error("is nested deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// JSON with a number that may be too large for Postgres.
    #[error("holds a number that may be too large for Postgres")]
    LargeNumber,
    /// JSON of another kind where an object is required.
    #[error("is not a JSON object")]
    NotAnObject,
}

impl Json {
    /// Checks a JSON text, and repairs it if Postgres could not store it.
    ///
    /// # Errors
    /// When the text is not JSON or is nested too deep.
    pub fn new(text: String, repairs: &mut Repairs) -> Result<Self, JsonError> {
        Self::with_max_depth(MAX_JSON_DEPTH, text, repairs)
    }

    /// Like [`Json::new`], but refuses large numbers: Postgres certainly accepts the
    /// result. For texts that can be stored as plain text instead.
    ///
    /// # Errors
    /// As [`Json::new`], and when a number may exceed Postgres' `numeric`.
    pub fn without_large_numbers(text: String, repairs: &mut Repairs) -> Result<Self, JsonError> {
        Self::check(MAX_JSON_DEPTH, text, repairs, false)
    }

    /// Like [`Json::new`], but allows only `max_depth` levels, if that is less than
    /// [`MAX_JSON_DEPTH`].
    ///
    /// # Errors
    /// As [`Json::new`].
    pub fn with_max_depth(
        max_depth: usize,
        text: String,
        repairs: &mut Repairs,
    ) -> Result<Self, JsonError> {
        Self::check(max_depth, text, repairs, true)
    }

    fn check(
        max_depth: usize,
        text: String,
        repairs: &mut Repairs,
        allow_large_numbers: bool,
    ) -> Result<Self, JsonError> {
        let mut scanner = JsonScanner {
            bytes: text.as_bytes(),
            at: 0,
            max_depth: max_depth.min(MAX_JSON_DEPTH),
            repairs: Repairs::default(),
            large_number: false,
        };
        scanner.document()?;
        if scanner.large_number && !allow_large_numbers {
            return Err(JsonError::LargeNumber);
        }
        let found = scanner.repairs;
        if found == Repairs::default() {
            return Ok(Self(text));
        }
        repairs.nuls += found.nuls;
        repairs.surrogates += found.surrogates;
        Ok(Self(repair(&text)))
    }

    /// Serializes a value. Output of serde needs no check, except for NUL in strings. The
    /// caller limits the depth. The caller also reuses `scratch`, so that the result is
    /// allocated once, with its exact size.
    ///
    /// # Errors
    /// When the value cannot be serialized.
    pub(crate) fn from_value(
        value: &(impl serde::Serialize + ?Sized),
        scratch: &mut Vec<u8>,
        repairs: &mut Repairs,
    ) -> Result<Self, JsonError> {
        let not_serializable = JsonError::Invalid { offset: 0 };
        scratch.clear();
        serde_json::to_writer(&mut *scratch, value).map_err(|_| not_serializable)?;
        let text = std::str::from_utf8(scratch).map_err(|_| not_serializable)?;
        if text.contains("\\u0000") {
            return Self::new(text.to_owned(), repairs);
        }
        Ok(Self(text.to_owned()))
    }

    /// Like [`Json::new`], but accepts only an object.
    ///
    /// # Errors
    /// As [`Json::new`], and when the text is another kind of value.
    pub fn object(text: String, repairs: &mut Repairs) -> Result<Self, JsonError> {
        Self::new(text, repairs)?.into_object()
    }

    /// Returns `self` if it is an object.
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

/// The open containers, one bit per level: set for an object, clear for an array.
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

struct JsonScanner<'a> {
    bytes: &'a [u8],
    at: usize,
    max_depth: usize,
    repairs: Repairs,
    /// Whether a number has so many digits, or such an exponent, that `numeric` may not
    /// hold it.
    large_number: bool,
}

impl JsonScanner<'_> {
    fn document(&mut self) -> Result<(), JsonError> {
        let mut nesting = Nesting::default();
        loop {
            // A value must start here.
            self.skip_space();
            match self.peek() {
                Some(b'{') => {
                    self.at += 1;
                    nesting.push(true, self.max_depth)?;
                    self.skip_space();
                    if self.peek() != Some(b'}') {
                        self.key()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    nesting.push(false, self.max_depth)?;
                    self.skip_space();
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
            // A value has ended, or an empty container is about to end.
            if !self.after_value(&mut nesting)? {
                return if self.at == self.bytes.len() {
                    Ok(())
                } else {
                    self.invalid()
                };
            }
        }
    }

    /// Closes containers up to the next comma. Returns false at the end of the document.
    fn after_value(&mut self, nesting: &mut Nesting) -> Result<bool, JsonError> {
        loop {
            self.skip_space();
            if nesting.depth == 0 {
                return Ok(false);
            }
            let object = nesting.in_object();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    if object {
                        self.skip_space();
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
        self.skip_space();
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
        /// `numeric` holds 131,072 digits before the decimal point and 16,383 after it.
        /// Numbers within these two limits certainly fit.
        const MAX_SAFE_LEN: usize = 1_000;
        const MAX_SAFE_EXPONENT_DIGITS: usize = 3;
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
            self.large_number |= self.at - exponent > MAX_SAFE_EXPONENT_DIGITS;
        }
        self.large_number |= self.at - from > MAX_SAFE_LEN;
        Ok(())
    }

    /// Scans one digit or more.
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

    fn skip_space(&mut self) {
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

/// The number of bytes before a quote, a backslash or a control character. Compares eight
/// bytes at a time, because strings are most of the text.
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
            // The lowest flag is exact: a borrow only affects the flags above it.
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

/// Reads `\uXXXX`, or a surrogate pair of them. Returns its kind and its length.
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

/// Replaces each `\u0000` and each lone surrogate in valid JSON by `\ufffd`.
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
