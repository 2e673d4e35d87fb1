//! Reads JSON that was checked before, piece by piece.

use std::ops::Range;

use memchr::memchr2;

/// A place in a JSON text. At the end of the text nothing moves it.
pub(super) struct JsonCursor<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> JsonCursor<'t> {
    pub fn new(text: &'t str) -> Self {
        Self {
            text: text.as_bytes(),
            at: 0,
        }
    }

    /// Where it is.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next byte that says something, which is where it is then.
    pub fn next_byte(&mut self) -> Option<u8> {
        loop {
            match *self.text.get(self.at)? {
                b' ' | b'\n' | b'\r' | b'\t' | b',' | b':' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// Moves over one byte.
    pub fn step(&mut self) {
        self.at = (self.at + 1).min(self.text.len());
    }

    /// Moves over a string, which begins here. Returns what is within the quotes, and whether
    /// there is an escape.
    pub fn name(&mut self) -> (Range<usize>, bool) {
        self.step();
        let (start, mut escaped) = (self.at, false);
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(found) = memchr2(b'"', b'\\', rest) else {
                self.at = self.text.len();
                return (start..self.at, escaped);
            };
            self.at += found + 1;
            if rest.get(found) == Some(&b'"') {
                return (start..self.at - 1, escaped);
            }
            escaped = true;
            self.step();
        }
    }

    /// Moves over the next value. Returns where it is.
    pub fn value(&mut self) -> Range<usize> {
        let first = self.next_byte();
        let start = self.at;
        match first {
            Some(b'"') => _ = self.name(),
            Some(b'[' | b'{') => self.container(),
            _ => self.scalar(),
        }
        start..self.at
    }

    fn container(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b'"' => {
                    self.name();
                    continue;
                }
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    fn scalar(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
        self.at += rest.iter().position(ends).unwrap_or(rest.len());
    }
}
