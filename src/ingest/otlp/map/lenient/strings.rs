//! The strings of JSON, Python and JavaScript.

/// The first UTF-16 high surrogate.
const HIGH_SURROGATE: u32 = 0xd800;
/// The first UTF-16 low surrogate.
const LOW_SURROGATE: u32 = 0xdc00;
/// The last UTF-16 low surrogate.
const LAST_SURROGATE: u32 = 0xdfff;
/// The first code point that UTF-16 writes as a surrogate pair.
const FIRST_SUPPLEMENTARY: u32 = 0x10000;

/// Reads the string that starts behind an opening quote. Returns its text, its
/// length with the closing quote, and whether there was a closing quote.
pub fn unquote(text: &str, quote: u8) -> (String, usize, bool) {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let plain = rest
            .iter()
            .position(|byte| *byte == quote || *byte == b'\\');
        let Some(plain) = plain else {
            out.push_str(&text[at..]);
            return (out, text.len(), false);
        };
        out.push_str(&text[at..at + plain]);
        at += plain;
        if bytes[at] == quote {
            return (out, at + 1, true);
        }
        match escape(&text[at..], &mut out) {
            Some(length) => at += length,
            // The text ends within the escape.
            None => return (out, text.len(), false),
        }
    }
}

/// Reads one escape sequence and returns its length. `None` if the text ends in it.
fn escape(text: &str, out: &mut String) -> Option<usize> {
    let kind = text[1..].chars().next()?;
    let plain = match kind {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'a' => '\u{7}',
        'v' => '\u{b}',
        '0' => '\0',
        // A line that Python's syntax continues.
        '\n' => return Some(2),
        '"' | '\'' | '\\' | '/' | '`' => kind,
        'x' | 'u' | 'U' => return code_escape(text, kind, out),
        // Python keeps a backslash that starts no escape.
        _ => {
            out.push('\\');
            out.push(kind);
            return Some(1 + kind.len_utf8());
        }
    };
    out.push(plain);
    Some(2)
}

/// Reads `\xNN`, `\uNNNN` or `\UNNNNNNNN`. A lone surrogate becomes U+FFFD.
fn code_escape(text: &str, kind: char, out: &mut String) -> Option<usize> {
    let digits = match kind {
        'x' => 2,
        'u' => 4,
        _ => 8,
    };
    let length = 2 + digits;
    if text.len() < length {
        return None;
    }
    let Some(code) = hex(text, 2, digits) else {
        out.push('\\');
        out.push(kind);
        return Some(2);
    };
    if kind == 'u'
        && (HIGH_SURROGATE..LOW_SURROGATE).contains(&code)
        && text[length..].starts_with("\\u")
        && let Some(low @ LOW_SURROGATE..=LAST_SURROGATE) = hex(text, length + 2, digits)
    {
        let pair = ((code - HIGH_SURROGATE) << 10) + (low - LOW_SURROGATE);
        out.extend(char::from_u32(FIRST_SUPPLEMENTARY + pair));
        return Some(2 * length);
    }
    out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
    Some(length)
}

fn hex(text: &str, from: usize, digits: usize) -> Option<u32> {
    let digits = text.as_bytes().get(from..from + digits)?;
    digits.iter().try_fold(0, |sum, &digit| {
        Some(sum * 16 + char::from(digit).to_digit(16)?)
    })
}
