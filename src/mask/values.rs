//! Where the value of a named secret is, and whether it is one: much of what follows `:` or
//! `=` in a text is code, prose or a placeholder.

use super::names::{MAX_GAP_BYTES, MAX_NAME_BYTES, normal};
use super::span::{MaskBudget, OverBudget};
use super::tag::TAG_CHARS;

/// The longest value that is looked at.
const MAX_VALUE_BYTES: usize = 4 << 10;
/// What is looked at of the line before a name.
const MAX_LINE_BYTES: usize = 256;
/// Shorter values of text are no secrets worth the name.
const MIN_VALUE_BYTES: usize = 4;
/// The shortest value behind `Bearer` and the like that is a secret though it is all letters.
const MIN_TOKEN_BYTES: usize = 20;
/// The same without quotes and other signs.
const MIN_BARE_BYTES: usize = 6;
/// Names of types and algorithms that end in digits.
const NUMBERED: [&str; 16] = [
    "u", "i", "f", "int", "uint", "float", "sha", "utf", "base", "md", "aes", "hs", "rs", "es",
    "varchar", "char",
];
/// Words before the secret in a header.
const SCHEMES: [&str; 6] = ["bearer", "basic", "token", "digest", "apikey", "key"];

/// A name with `:` or `=` behind it.
pub(super) struct Assignment {
    pub name_start: usize,
    pub name_end: usize,
    /// Where the value may begin.
    pub value: usize,
    /// `=` without blanks around it.
    pub is_tight: bool,
    pub is_colon: bool,
}

/// Whether a value only stands for a secret, or is masked already.
pub(super) fn is_placeholder(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let (Some(first), Some(last)) = (value.first(), value.last()) else {
        return true;
    };
    let is_plain =
        |byte: &u8| is_name_byte(*byte) || b" .:-$<>{}%".contains(byte) || !byte.is_ascii();
    let encloses =
        |open: u8, close: u8| *first == open && *last == close && value.iter().all(is_plain);
    let all_same = value.iter().all(|byte| byte == first);
    let is_variable = *first == b'$'
        && value
            .iter()
            .skip(1)
            .all(|b| is_name_byte(*b) || b"{}:.".contains(b));
    let is_your = normal(value.get(..value.len().min(8)).unwrap_or_default()).starts_with("your")
        && value
            .iter()
            .all(|byte| byte.is_ascii_alphabetic() || b" _-.<>[]".contains(byte));
    encloses(b'{', b'}')
        || encloses(b'<', b'>')
        || encloses(b'%', b'%')
        || all_same
        || is_variable
        || is_your
        || is_mask(value)
        || [
            &b"None"[..],
            b"null",
            b"undefined",
            b"true",
            b"false",
            b"%s",
            b"nil",
        ]
        .contains(&value)
        || value
            .windows(3)
            .any(|three| three == b"***" || three == b"...")
        || value.starts_with("…".as_bytes())
}

/// Whether a text is a mask, or a scheme and a mask.
pub(super) fn is_mask(value: &[u8]) -> bool {
    let value = without_scheme(value);
    let inner = value
        .strip_prefix(b"[masked:")
        .and_then(|rest| rest.strip_suffix(b"]"));
    inner.is_some_and(|inner| {
        let mut parts = inner.rsplitn(2, |byte| *byte == b':');
        let (tag, kind) = (parts.next().unwrap_or_default(), parts.next());
        let is_kind =
            |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        match kind {
            Some(kind) => tag.len() == TAG_CHARS && tag.iter().chain(kind).all(is_kind),
            None => tag == b"unchecked",
        }
    })
}

fn without_scheme(value: &[u8]) -> &[u8] {
    let letters = value.iter().take(MAX_GAP_BYTES);
    let word = letters
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    let (scheme, rest) = value.split_at(word);
    let is_scheme = SCHEMES
        .iter()
        .any(|known| known.as_bytes().eq_ignore_ascii_case(scheme));
    match rest.split_first() {
        Some((b' ', rest)) if is_scheme => rest.trim_ascii_start(),
        _ => value,
    }
}

pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where the value of a secret is.
pub(super) fn value_of(
    text: &[u8],
    assignment: &Assignment,
    budget: &mut MaskBudget,
) -> Result<Option<(usize, usize)>, OverBudget> {
    let start = skip_blanks(text, assignment.value);
    let found = quoted(text, start, assignment)
        .or_else(|| annotated(text, start, assignment))
        .unwrap_or_else(|| bare(text, start, assignment));
    budget.spend(MAX_NAME_BYTES + found.seen)?;
    Ok(found.secret)
}

/// What follows a name.
#[derive(Default)]
struct FoundValue {
    /// Where the value is, if it is a secret.
    secret: Option<(usize, usize)>,
    /// How many bytes were looked at.
    seen: usize,
}

impl FoundValue {
    fn new((start, end): (usize, usize), is_secret: bool) -> Self {
        Self {
            secret: is_secret.then_some((start, end)),
            seen: end - start,
        }
    }
}

/// Skips blanks, and what sets a colour.
fn skip_blanks(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let rest = rest.get(..MAX_GAP_BYTES).unwrap_or(rest);
    let blanks = rest.iter().take_while(|byte| b" \t".contains(byte)).count();
    let control = match rest.get(blanks..) {
        Some([0x1b, b'[', parameters @ ..]) => parameters
            .iter()
            .position(|byte| !byte.is_ascii_digit() && *byte != b';')
            .map_or(0, |len| len + 3),
        _ => 0,
    };
    at + blanks + control
}

/// A value in quotes. `None`: there is no quote.
fn quoted(text: &[u8], start: usize, assignment: &Assignment) -> Option<FoundValue> {
    let rest = text.get(start..)?;
    // The letter of a Python string, such as `b"…"`.
    let letter = match rest {
        [b'f' | b'b' | b'r' | b'u' | b'@', b'"' | b'\'', ..] => 1,
        _ => 0,
    };
    let escapes = rest
        .iter()
        .skip(letter)
        .take_while(|byte| **byte == b'\\')
        .count();
    let quote = *rest.get(letter + escapes)?;
    if !b"\"'`".contains(&quote) {
        return None;
    }
    let from = start + letter + escapes + 1;
    let body = text.get(from..)?;
    if is_label(text, assignment, quote) && ends_string(body) {
        return Some(FoundValue::default());
    }
    let mut backslashes = 0;
    let mut end = None;
    for (at, byte) in body.iter().enumerate() {
        if *byte == quote && backslashes <= escapes {
            end = Some(at - backslashes);
            break;
        }
        backslashes = if *byte == b'\\' { backslashes + 1 } else { 0 };
    }
    // Without an end it goes as far as its characters, if it is long.
    let end = end.unwrap_or_else(|| word_end(body, body.len().min(MAX_VALUE_BYTES)));
    let value = body.get(..end)?;
    let is_secret = value.len() >= MIN_VALUE_BYTES && !is_placeholder(without_scheme(value));
    Some(FoundValue::new((from, from + end), is_secret))
}

/// Whether the quote behind a name may end what began before it, as in `ask("Password: ")`.
fn is_label(text: &[u8], assignment: &Assignment, quote: u8) -> bool {
    let before = text.get(..assignment.name_start).unwrap_or_default();
    let line = before.iter().rev().take(MAX_LINE_BYTES);
    let line = line.take_while(|byte| **byte != b'\n');
    let gap = text.get(assignment.name_end..assignment.value);
    line.filter(|byte| **byte == quote).count() % 2 == 1
        && !gap.unwrap_or_default().contains(&quote)
}

/// Whether this may follow the quote at the end of a string in code.
fn ends_string(rest: &[u8]) -> bool {
    let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
    match rest.get(blanks..).unwrap_or_default() {
        [] | [b')' | b',' | b';' | b']' | b'}' | b'\r' | b'\n', ..] => true,
        [b'+' | b'%' | b'.' | b'&', b' ', ..] => blanks > 0,
        _ => false,
    }
}

/// Where the word ends that goes on at `at`.
fn word_end(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .take_while(|byte| !byte.is_ascii_whitespace())
        .count()
}

/// A quoted value behind a type: `password: str = "…"`.
fn annotated(text: &[u8], start: usize, assignment: &Assignment) -> Option<FoundValue> {
    if !assignment.is_colon {
        return None;
    }
    let rest = text.get(start..)?;
    let is_type = |byte: &&u8| is_name_byte(**byte) || b"&<>[]|.' ".contains(byte);
    let len = rest.iter().take(MAX_NAME_BYTES).take_while(is_type).count();
    let is_sign = rest.get(len) == Some(&b'=') && rest.get(len + 1) != Some(&b'=');
    if !is_sign {
        return None;
    }
    quoted(text, skip_blanks(text, start + len + 1), assignment)
}

/// A value without quotes. Much of what looks like one is code or prose.
fn bare(text: &[u8], start: usize, assignment: &Assignment) -> FoundValue {
    let name = text.get(assignment.name_start..assignment.name_end);
    let name = name.unwrap_or_default();
    let rest = text.get(start..).unwrap_or_default();
    if assignment.is_colon
        && normal(name).ends_with("cookie")
        && let Some(len) = cookies(rest)
    {
        return FoundValue::new((start, start + len), true);
    }
    let scheme = rest.len() - without_scheme(rest).len();
    let rest = rest.get(scheme..).unwrap_or_default();
    let start = start + scheme;
    let before = assignment.name_start.checked_sub(1);
    let before = before.and_then(|at| text.get(at));
    let in_query = before.is_some_and(|byte| b"?&".contains(byte));
    let is_shouted = !name.iter().any(u8::is_ascii_lowercase);
    // Of the shell: `&` belongs to the value, unless it is that of a form.
    let is_setting = assignment.is_tight && is_shouted && !in_query;
    let ends = |(at, byte): (usize, &u8)| {
        byte.is_ascii_whitespace()
            || b",;\"'`()[]{}<>|\\\x1b".contains(byte)
            || *byte == b'&' && !is_setting
            // The comma and full stop of East Asian writing, and the like.
            || matches!(rest.get(at..at + 2), Some([0xe3, 0x80] | [0xef, 0xbc..=0xbf]))
    };
    let len = rest.iter().enumerate().position(ends).unwrap_or(rest.len());
    let value = rest.get(..len).unwrap_or_default();
    let is_call = rest.get(len).is_some_and(|byte| b"([<".contains(byte));
    let is_given = assignment.is_tight && (is_shouted || in_query);
    // Few words are as long as what follows a scheme.
    let is_long = scheme > 0 && value.len() >= MIN_TOKEN_BYTES;
    let is_secret = value.len() >= MIN_VALUE_BYTES
        && !is_call
        && !is_placeholder(value)
        && (is_given || is_long || value.len() >= MIN_BARE_BYTES && looks_random(value))
        && (is_given || memchr::memmem::find(value, b"://").is_none());
    FoundValue {
        secret: is_secret.then_some((start, start + len)),
        seen: len,
    }
}

/// Whether a bare word looks like a secret, not like a word, a type or a path of names.
fn looks_random(value: &[u8]) -> bool {
    let has = |test: fn(&u8) -> bool| value.iter().any(test);
    if !has(u8::is_ascii_digit) || !has(u8::is_ascii_alphabetic) {
        return false;
    }
    let word = value
        .iter()
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    let (letters, digits) = value.split_at(word);
    let is_numbered = digits.iter().all(u8::is_ascii_digit)
        && NUMBERED.iter().any(|known| known.as_bytes() == letters);
    let is_path = value
        .split(|byte| *byte == b'.' || *byte == b':')
        .all(|part| {
            part.first()
                .is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
                && part.iter().all(|b| is_name_byte(*b))
        })
        && value.iter().any(|byte| b".:_".contains(byte));
    let has_name = is_path && normal(value).len() < 40;
    !is_numbered && !has_name
}

/// The length of a list of cookies: `name=value; name=value`.
fn cookies(rest: &[u8]) -> Option<usize> {
    let name = rest
        .iter()
        .take_while(|byte| is_name_byte(**byte) || b"-.".contains(byte))
        .count();
    let len = rest
        .iter()
        .take_while(|byte| !b"\r\n\"'`".contains(byte))
        .count();
    (name > 0 && rest.get(name) == Some(&b'=') && len > name + MIN_VALUE_BYTES).then_some(len)
}
