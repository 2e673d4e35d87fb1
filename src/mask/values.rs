//! Where the value of a named secret is, and whether it is one: much of what follows `:` or
//! `=` in a text is code, prose or a placeholder.

use super::names::{MAX_GAP_BYTES, MAX_NAME_BYTES, normal};
use super::span::{MaskBudget, OverBudget};

/// The longest value that is looked at.
const MAX_VALUE_BYTES: usize = 4 << 10;
/// Shorter values of text are no secrets worth the name.
const MIN_VALUE_BYTES: usize = 4;
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
    let encloses = |open: u8, close: u8| *first == open && *last == close;
    let all_same = value.iter().all(|byte| byte == first);
    let is_variable = *first == b'$'
        && value
            .iter()
            .skip(1)
            .all(|b| is_name_byte(*b) || b"{}:.".contains(b));
    let is_your = normal(value.get(..value.len().min(8)).unwrap_or_default()).starts_with("your");
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
        let is_word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-:".contains(b);
        inner.len() <= 32 && inner.iter().all(is_word)
    })
}

fn without_scheme(value: &[u8]) -> &[u8] {
    let word = value
        .iter()
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
    let value = quoted(text, start)
        .or_else(|| annotated(text, start, assignment))
        .unwrap_or_else(|| bare(text, start, assignment));
    // Without a value, a word was looked at in vain.
    let rest = text.get(start..).unwrap_or_default();
    let word = rest
        .iter()
        .take(MAX_VALUE_BYTES)
        .take_while(|byte| !byte.is_ascii_whitespace());
    budget.spend(value.map_or_else(|| word.count(), |(from, to)| to - from))?;
    Ok(value)
}

fn skip_blanks(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let blanks = rest.iter().take(MAX_GAP_BYTES);
    at + blanks.take_while(|byte| b" \t".contains(byte)).count()
}

/// A value in quotes. `Some(None)`: there is one, and it is no secret.
fn quoted(text: &[u8], start: usize) -> Option<Option<(usize, usize)>> {
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
    let mut backslashes = 0;
    let mut end = body.len().min(MAX_VALUE_BYTES);
    for (at, byte) in body.iter().take(MAX_VALUE_BYTES).enumerate() {
        if *byte == quote && backslashes <= escapes {
            end = at - backslashes;
            break;
        }
        backslashes = if *byte == b'\\' { backslashes + 1 } else { 0 };
    }
    let value = body.get(..end)?;
    let is_secret = value.len() >= MIN_VALUE_BYTES && !is_placeholder(without_scheme(value));
    Some(is_secret.then_some((from, from + end)))
}

/// A quoted value behind a type: `password: str = "…"`.
fn annotated(text: &[u8], start: usize, assignment: &Assignment) -> Option<Option<(usize, usize)>> {
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
    quoted(text, skip_blanks(text, start + len + 1))
}

/// A value without quotes. Much of what looks like one is code or prose.
fn bare(text: &[u8], start: usize, assignment: &Assignment) -> Option<(usize, usize)> {
    let name = text.get(assignment.name_start..assignment.name_end)?;
    let rest = text.get(start..)?;
    if assignment.is_colon && normal(name).ends_with("cookie") {
        return cookies(rest).map(|len| (start, start + len));
    }
    let scheme = rest.len() - without_scheme(rest).len();
    let rest = rest.get(scheme..)?;
    let start = start + scheme;
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b",;\"'`()[]{}<>|&\\".contains(byte);
    let len = rest
        .iter()
        .take(MAX_VALUE_BYTES)
        .take_while(|byte| !ends(byte))
        .count();
    let value = rest.get(..len)?;
    if value.len() < MIN_VALUE_BYTES || is_placeholder(value) {
        return None;
    }
    let is_call = rest.get(len).is_some_and(|byte| b"([<".contains(byte));
    let is_shouted = !name.iter().any(u8::is_ascii_lowercase);
    let before = assignment
        .name_start
        .checked_sub(1)
        .and_then(|at| text.get(at));
    let in_query = before.is_some_and(|byte| b"?&".contains(byte));
    if assignment.is_tight && !is_call && (is_shouted || in_query) {
        return Some((start, start + len));
    }
    let is_secret = !is_call && value.len() >= MIN_BARE_BYTES && looks_random(value);
    is_secret.then_some((start, start + len))
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
            part.first().is_some_and(u8::is_ascii_alphabetic)
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
    let line = rest.iter().take(MAX_VALUE_BYTES);
    let len = line.take_while(|byte| !b"\r\n\"'`".contains(byte)).count();
    (name > 0 && rest.get(name) == Some(&b'=') && len > name + MIN_VALUE_BYTES).then_some(len)
}
