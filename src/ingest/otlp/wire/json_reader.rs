//! A streaming JSON reader.
//!
//! It is more lenient than a general parser: bytes that are not UTF-8 and lone
//! surrogates become U+FFFD and are counted. JavaScript writes lone surrogates
//! when it cuts a text between the halves of a pair.

use super::repair::WireRepairs;

/// Where the bytes stop being the JSON of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JsonFault {
    /// The position of the fault.
    pub offset: usize,
    /// The syntax that was expected there.
    pub expected: &'static str,
}

pub(super) struct JsonReader<'a> {
    bytes: &'a [u8],
    at: usize,
    pub repairs: WireRepairs,
    /// The closing brackets that a skipped value still needs.
    closers: Vec<u8>,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The length of `\uXXXX`.
const UNICODE_ESCAPE_BYTES: usize = 6;
/// The first UTF-16 high surrogate.
const HIGH_SURROGATE: u32 = 0xd800;
/// The first UTF-16 low surrogate.
const LOW_SURROGATE: u32 = 0xdc00;
/// The first code point that UTF-16 writes as a surrogate pair.
const FIRST_SUPPLEMENTARY: u32 = 0x10000;

impl<'a> JsonReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes: bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes),
            at: 0,
            repairs: WireRepairs::default(),
            closers: Vec::new(),
        }
    }

    pub fn error<T>(&self, expected: &'static str) -> Result<T, JsonFault> {
        let offset = self.at;
        Err(JsonFault { offset, expected })
    }

    /// The next byte that is not white space; 0 at the end of the input.
    pub fn peek(&mut self) -> u8 {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Skips the next byte if it is `byte`. Returns whether it was.
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    pub fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), JsonFault> {
        if self.take(byte) {
            Ok(())
        } else {
            self.error(expected)
        }
    }

    /// The input, without its byte order mark.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn end(&mut self) -> Result<(), JsonFault> {
        self.peek();
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            self.error("the end of the input")
        }
    }

    /// Skips a word (`true`, `false`, `null`) if it is next. Returns whether it was.
    pub fn word(&mut self, word: &str) -> bool {
        self.peek();
        let found = self.bytes[self.at..].starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// The text of a number. Accepts a little more than JSON's syntax.
    pub fn number(&mut self) -> Result<&'a str, JsonFault> {
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

    /// Appends the text of a string to `out`.
    pub fn string(&mut self, out: &mut Vec<u8>) -> Result<(), JsonFault> {
        self.expect(b'"', "a string")?;
        let start = out.len();
        loop {
            let rest = &self.bytes[self.at..];
            let ends_plain = |byte: &u8| *byte < b' ' || matches!(byte, b'"' | b'\\');
            let plain = rest.iter().position(ends_plain).unwrap_or(rest.len());
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

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), JsonFault> {
        let plain = match self.bytes.get(self.at + 1) {
            Some(b @ (b'"' | b'\\' | b'/')) => *b,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode_escape(out),
            _ => return self.error("an escape sequence"),
        };
        out.push(plain);
        self.at += 2;
        Ok(())
    }

    fn unicode_escape(&mut self, out: &mut Vec<u8>) -> Result<(), JsonFault> {
        let Some(first) = self.utf16_unit(self.at) else {
            return self.error("four hex digits");
        };
        let second = self.utf16_unit(self.at + UNICODE_ESCAPE_BYTES);
        let (code, len) = match (first, second) {
            (HIGH_SURROGATE..LOW_SURROGATE, Some(low @ LOW_SURROGATE..=0xdfff)) => {
                let pair = ((first - HIGH_SURROGATE) << 10) + (low - LOW_SURROGATE);
                (FIRST_SUPPLEMENTARY + pair, 2 * UNICODE_ESCAPE_BYTES)
            }
            _ => (first, UNICODE_ESCAPE_BYTES),
        };
        let char = char::from_u32(code).unwrap_or_else(|| {
            self.repairs.surrogates += 1;
            char::REPLACEMENT_CHARACTER
        });
        out.extend(char.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += len;
        Ok(())
    }

    /// The UTF-16 code unit that the `\uXXXX` at `at` names.
    fn utf16_unit(&self, at: usize) -> Option<u32> {
        let escape = self.bytes.get(at..at + UNICODE_ESCAPE_BYTES)?;
        let hex = escape.strip_prefix(b"\\u")?;
        hex.iter().try_fold(0, |sum, &digit| {
            Some(sum * 16 + char::from(digit).to_digit(16)?)
        })
    }

    /// Skips a value of any depth, without recursion.
    pub fn skip(&mut self) -> Result<(), JsonFault> {
        let mut text = Vec::new();
        let skip_key = |reader: &mut Self, text: &mut Vec<u8>| {
            text.clear();
            reader.string(text)?;
            reader.expect(b':', "a colon")
        };
        self.closers.clear();
        loop {
            match self.peek() {
                open @ (b'{' | b'[') => {
                    self.at += 1;
                    // In ASCII, a closing bracket is two after its opening bracket.
                    let close = open + 2;
                    if !self.take(close) {
                        self.closers.push(close);
                        if open == b'{' {
                            skip_key(self, &mut text)?;
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
            // A value ended: go on with the next one, or close what it ends.
            loop {
                let Some(close) = self.closers.last().copied() else {
                    return Ok(());
                };
                if self.take(b',') {
                    if close == b'}' {
                        skip_key(self, &mut text)?;
                    }
                    break;
                }
                self.expect(close, "a comma or a closing bracket")?;
                self.closers.pop();
            }
        }
    }
}
