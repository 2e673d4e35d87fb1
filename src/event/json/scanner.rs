//! The scanner: one pass over a JSON text.

use super::size::{Number, StoredSize};
use super::{JsonError, MAX_JSON_DEPTH};
use crate::event::text::Repairs;

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

/// The position in a text, and what the scanner has found so far.
pub(super) struct JsonScanner<'a> {
    bytes: &'a [u8],
    at: usize,
    max_depth: usize,
    pub repairs: Repairs,
    pub size: StoredSize,
}

impl<'a> JsonScanner<'a> {
    /// Scans a whole text.
    pub fn scan(text: &'a str, max_depth: usize) -> Result<Self, JsonError> {
        let mut scanner = Self {
            bytes: text.as_bytes(),
            at: 0,
            max_depth,
            repairs: Repairs::default(),
            size: StoredSize::default(),
        };
        scanner.document()?;
        Ok(scanner)
    }

    fn document(&mut self) -> Result<(), JsonError> {
        let mut nesting = Nesting::default();
        loop {
            // A value must start here.
            self.skip_space();
            match self.peek() {
                Some(b'{') => {
                    self.size.object();
                    self.at += 1;
                    nesting.push(true, self.max_depth)?;
                    self.skip_space();
                    if self.peek() != Some(b'}') {
                        self.key()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.size.array();
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
        self.size.scalar();
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
        let mut number = Number::default();
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            number.integer_digits = 1;
        } else {
            number.integer_digits = self.digits()?.len();
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            number.fraction_digits = self.digits()?.len();
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            let negative = self.peek() == Some(b'-');
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            number.set_exponent(negative, self.digits()?);
        }
        self.size.number(&number);
        Ok(())
    }

    /// Scans one digit or more.
    fn digits(&mut self) -> Result<&'a [u8], JsonError> {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        match &self.bytes[from..self.at] {
            [] => self.invalid(),
            digits => Ok(digits),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), JsonError> {
        if !self.bytes[self.at..].starts_with(word) {
            return self.invalid();
        }
        self.size.scalar();
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
pub(super) fn repair(text: &str) -> String {
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
