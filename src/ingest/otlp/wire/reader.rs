//! JSON, read piece by piece from bytes. More lenient than a parser for people:
//! what is not UTF-8, and lone surrogates, which JavaScript writes where it cut
//! a text in two, become U+FFFD and are counted.

use super::WireRepairs;

/// Why bytes are not the JSON of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {expected} expected")]
pub struct JsonError {
    /// Where.
    pub offset: usize,
    /// What was expected there.
    pub expected: &'static str,
}

pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    pub repairs: WireRepairs,
    /// The brackets that a skipped value has open.
    open: Vec<u8>,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes: bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes),
            at: 0,
            repairs: WireRepairs::default(),
            open: Vec::new(),
        }
    }

    pub fn error<T>(&self, expected: &'static str) -> Result<T, JsonError> {
        let offset = self.at;
        Err(JsonError { offset, expected })
    }

    /// The next byte that is not white space; 0 at the end.
    pub fn peek(&mut self) -> u8 {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Takes the next byte if it is this one.
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    pub fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), JsonError> {
        if self.take(byte) {
            Ok(())
        } else {
            self.error(expected)
        }
    }

    pub fn end(&mut self) -> Result<(), JsonError> {
        self.peek();
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            self.error("the end")
        }
    }

    /// Takes `true`, `false` or `null`, if it is next.
    pub fn word(&mut self, word: &str) -> bool {
        self.peek();
        let found = self.bytes[self.at..].starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// The text of a number, as JSON writes them or nearly so.
    pub fn number(&mut self) -> Result<&'a str, JsonError> {
        self.peek();
        let rest = &self.bytes[self.at..];
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let len = rest.iter().take_while(|byte| is_part(byte)).count();
        match str::from_utf8(&rest[..len]) {
            Ok(text) if len > 0 => {
                self.at += len;
                Ok(text)
            }
            _ => self.error("a number"),
        }
    }

    /// Appends the text of a string.
    pub fn string(&mut self, out: &mut Vec<u8>) -> Result<(), JsonError> {
        self.expect(b'"', "a string")?;
        let start = out.len();
        loop {
            let rest = &self.bytes[self.at..];
            let stops = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
            let plain = rest.iter().position(stops).unwrap_or(rest.len());
            out.extend(&rest[..plain]);
            self.at += plain;
            match self.bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.escape(out)?,
                _ => return self.error("the end of a string"),
            }
        }
        self.at += 1;
        if str::from_utf8(&out[start..]).is_err() {
            self.repairs.invalid_utf8 += 1;
            let repaired = String::from_utf8_lossy(&out[start..]).into_owned();
            out.truncate(start);
            out.extend(repaired.as_bytes());
        }
        Ok(())
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let plain = match self.bytes.get(self.at + 1) {
            Some(b @ (b'"' | b'\\' | b'/')) => *b,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode_escape(out),
            _ => return self.error("an escape"),
        };
        out.push(plain);
        self.at += 2;
        Ok(())
    }

    fn unicode_escape(&mut self, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let Some(first) = self.unit(self.at) else {
            return self.error("four hex digits");
        };
        let second = self.unit(self.at + 6);
        let (code, len) = match (first, second) {
            (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
                (0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00), 12)
            }
            _ => (first, 6),
        };
        let char = char::from_u32(code).unwrap_or_else(|| {
            self.repairs.surrogates += 1;
            char::REPLACEMENT_CHARACTER
        });
        out.extend(char.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += len;
        Ok(())
    }

    /// The code unit of `\uXXXX`.
    fn unit(&self, at: usize) -> Option<u32> {
        let hex = self.bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        hex.iter().try_fold(0, |sum, &digit| {
            Some(sum * 16 + char::from(digit).to_digit(16)?)
        })
    }

    /// Passes over a value, however deep it is.
    pub fn skip(&mut self) -> Result<(), JsonError> {
        let mut text = Vec::new();
        // A key and its colon.
        let key = |reader: &mut Self, text: &mut Vec<u8>| {
            text.clear();
            reader.string(text)?;
            reader.expect(b':', "a colon")
        };
        self.open.clear();
        loop {
            match self.peek() {
                open @ (b'{' | b'[') => {
                    self.at += 1;
                    // The closing bracket is two further on in ASCII.
                    let close = open + 2;
                    if !self.take(close) {
                        self.open.push(close);
                        if open == b'{' {
                            key(self, &mut text)?;
                        }
                        continue;
                    }
                }
                b'"' => {
                    text.clear();
                    self.string(&mut text)?;
                }
                _ if ["true", "false", "null"].iter().any(|word| self.word(word)) => {}
                _ => {
                    self.number()?;
                }
            }
            // A value has ended.
            loop {
                let Some(close) = self.open.last().copied() else {
                    return Ok(());
                };
                if self.take(b',') {
                    if close == b'}' {
                        key(self, &mut text)?;
                    }
                    break;
                }
                self.expect(close, "a comma or a closing bracket")?;
                self.open.pop();
            }
        }
    }
}
