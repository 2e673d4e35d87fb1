//! Finds secrets that are known by their shape: a closer look where the text has a prefix of one.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use regex::bytes::Regex;

use super::rules::MaskRules;
use super::span::{MaskBudget, MaskSpan, OverBudget, word_begins, word_ends};

/// A longer secret is masked as far as its characters go.
const MAX_TOKEN_BYTES: usize = 16 << 10;
/// A longer name and password in a URL are none.
const MAX_USERINFO_BYTES: usize = 512;
const KEY_BEGINS: &[u8] = b"-----BEGIN ";
/// The header of a key is no longer.
const MAX_HEADER_BYTES: usize = 64;
/// Between the header and the key may be lines about it, and signs of code.
const MAX_HEADER_LINES_BYTES: usize = 256;
/// The lines of a key are longer.
const MIN_KEY_LINE_BYTES: usize = 32;
const PRIVATE: &[u8] = b"PRIVATE KEY";
const KEY_ENDS: &[u8] = b"-----END ";

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What to do where a text is found.
#[derive(Clone, Debug)]
enum Look {
    /// Tries these patterns.
    Patterns(Vec<usize>),
    PrivateKey {
        kind: usize,
    },
    UrlPassword {
        kind: usize,
    },
    /// The same where `/` is escaped, perhaps more than once.
    EscapedUrl {
        kind: usize,
    },
    /// Only in the text of JSON, where an escape sequence may stand for any character of a secret.
    Escaped,
    BasicCredentials {
        kind: usize,
    },
}

/// Finds secrets by their shape.
#[derive(Clone, Debug)]
pub(super) struct TokenFinder {
    /// How secrets begin.
    pub begins: Vec<String>,
    looks: Vec<(usize, Look)>,
    patterns: Vec<(usize, Regex)>,
}

impl TokenFinder {
    /// `kind_of` gives the index of a kind, or `None` if it is off.
    pub fn new(rules: &MaskRules, kind_of: impl Fn(&str) -> Option<usize>) -> Self {
        let mut texts: Vec<String> = Vec::new();
        let mut looks: Vec<(usize, Look)> = Vec::new();
        let mut patterns = Vec::new();
        for pattern in &rules.patterns {
            let Some(kind) = kind_of(&pattern.name) else {
                continue;
            };
            for prefix in &pattern.prefixes {
                match texts.iter().position(|text| text == prefix) {
                    Some(at) => {
                        if let Some((_, Look::Patterns(tried))) = looks.get_mut(at) {
                            tried.push(patterns.len());
                        }
                    }
                    None => {
                        texts.push(prefix.clone());
                        looks.push((prefix.len(), Look::Patterns(vec![patterns.len()])));
                    }
                }
            }
            patterns.push((kind, pattern.regex.clone()));
        }
        let mut add = |text: &[u8], look: Option<Look>| {
            if let Some(look) = look {
                texts.push(String::from_utf8_lossy(text).into_owned());
                looks.push((text.len(), look));
            }
        };
        let private_key = kind_of("private-key").map(|kind| Look::PrivateKey { kind });
        add(KEY_BEGINS, private_key);
        let url = kind_of("url-password").map(|kind| Look::UrlPassword { kind });
        add(b"://", url);
        for escapes in [1, 2, 4, 8] {
            let colon = [&b":"[..], &b"\\".repeat(escapes), b"/"].concat();
            add(
                &colon,
                kind_of("url-password").map(|kind| Look::EscapedUrl { kind }),
            );
        }
        add(b"\\u00", Some(Look::Escaped));
        // Some write JSON with escaped slashes.
        for prefix in rules.patterns.iter().flat_map(|pattern| &pattern.prefixes) {
            let escaped = serde_json::Value::from(prefix.as_str()).to_string();
            let escaped = escaped.get(1..escaped.len() - 1).unwrap_or_default();
            for text in [escaped.to_owned(), escaped.replace('/', "\\/")] {
                if text != *prefix {
                    add(text.as_bytes(), Some(Look::Escaped));
                }
            }
        }
        for scheme in ["Basic ", "basic "] {
            let basic = kind_of("bearer").map(|kind| Look::BasicCredentials { kind });
            add(scheme.as_bytes(), basic);
        }
        Self {
            begins: texts,
            looks,
            patterns,
        }
    }

    /// Whether a place in the text of JSON, where a secret may begin, deserves a look at the string there.
    pub fn is_hit(
        &self,
        json: &[u8],
        (start, begin): (usize, usize),
        budget: &mut MaskBudget,
    ) -> Result<bool, OverBudget> {
        Ok(match self.looks.get(begin) {
            Some((len, Look::UrlPassword { .. })) => {
                url_password(json, start + len, budget)?.is_some()
            }
            Some((_, Look::Escaped | Look::EscapedUrl { .. })) => true,
            _ => word_begins(json, start),
        })
    }

    /// The secret in a text at a place where one may begin.
    pub fn find(
        &self,
        text: &[u8],
        (start, begin): (usize, usize),
        budget: &mut MaskBudget,
    ) -> Result<Option<MaskSpan>, OverBudget> {
        let Some((len, look)) = self.looks.get(begin) else {
            return Ok(None);
        };
        let span = |(start, end), kind: &usize| MaskSpan {
            start,
            end,
            kind: *kind,
        };
        Ok(match look {
            Look::UrlPassword { kind } => {
                url_password(text, start + len, budget)?.map(|place| span(place, kind))
            }
            Look::EscapedUrl { kind } => {
                let rest = text.get(start + len..).unwrap_or_default();
                let escapes = rest.iter().take_while(|byte| **byte == b'\\').count();
                if escapes + 2 != *len || rest.get(escapes) != Some(&b'/') {
                    return Ok(None);
                }
                let from = start + len + escapes + 1;
                url_password(text, from, budget)?.map(|place| span(place, kind))
            }
            Look::Escaped => None,
            _ if !word_begins(text, start) => None,
            Look::PrivateKey { kind } => {
                private_key(text, start, budget)?.map(|end| span((start, end), kind))
            }
            Look::BasicCredentials { kind } => {
                let from = start + len;
                basic_credentials(text, from, budget)?.map(|end| span((from, end), kind))
            }
            Look::Patterns(tried) => self.pattern(text, start, (*len, tried), budget)?,
        })
    }

    fn pattern(
        &self,
        text: &[u8],
        start: usize,
        (prefix_len, tried): (usize, &[usize]),
        budget: &mut MaskBudget,
    ) -> Result<Option<MaskSpan>, OverBudget> {
        let end = token_end(text, start + prefix_len);
        let token = text.get(start..end).unwrap_or_default();
        let patterns = tried.iter().filter_map(|index| self.patterns.get(*index));
        for (kind, regex) in patterns {
            budget.spend(token.len())?;
            let Some(captures) = regex.captures(token) else {
                continue;
            };
            let whole = captures.get(0).map_or(0, |whole| whole.end());
            let is_cut = token.len() >= MAX_TOKEN_BYTES;
            if !is_cut && !word_ends(token, whole) {
                continue;
            }
            let (from, to) = match captures.get(1) {
                Some(group) => (group.start(), group.end()),
                None => (0, whole + tail(token, whole)),
            };
            return Ok(Some(MaskSpan {
                start: start + from,
                end: if is_cut { end } else { start + to },
                kind: *kind,
            }));
        }
        Ok(None)
    }
}

/// The end of the characters that may belong to a secret.
fn token_end(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let belongs = |byte: &u8| byte.is_ascii_graphic() && !b"\"'`<>,;\\".contains(byte);
    let len = rest
        .iter()
        .take(MAX_TOKEN_BYTES)
        .take_while(|byte| belongs(byte))
        .count();
    if len < MAX_TOKEN_BYTES {
        return from + len;
    }
    from + rest.iter().take_while(|byte| belongs(byte)).count()
}

/// The length of what is joined to a secret by `-` or `_`: it may be more of it.
fn tail(token: &[u8], from: usize) -> usize {
    let rest = token.get(from..).unwrap_or_default();
    let joined = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
    rest.iter().take_while(joined).count()
}

/// The end of a private key that begins at `start`. A key without an end goes to the end of
/// the text.
fn private_key(
    text: &[u8],
    start: usize,
    budget: &mut MaskBudget,
) -> Result<Option<usize>, OverBudget> {
    let rest = text.get(start..).unwrap_or_default();
    let header = rest
        .get(..rest.len().min(MAX_HEADER_BYTES))
        .unwrap_or_default();
    budget.spend(header.len() + MAX_HEADER_LINES_BYTES)?;
    let Some(at) = memchr::memmem::find(header, PRIVATE) else {
        return Ok(None);
    };
    let body = rest.get(at..).unwrap_or_default();
    if !begins_key(body.get(PRIVATE.len()..).unwrap_or_default()) {
        return Ok(None);
    }
    let Some(foot) = memchr::memmem::find(body, KEY_ENDS) else {
        return Ok(Some(text.len()));
    };
    let after = at + foot + KEY_ENDS.len();
    let foot = rest.get(after..rest.len().min(after + MAX_HEADER_BYTES));
    let dashes = memchr::memmem::find(foot.unwrap_or_default(), b"-----");
    Ok(Some(start + after + dashes.map_or(0, |dashes| dashes + 5)))
}

/// Whether what follows the header is a key, not prose or code about keys.
fn begins_key(body: &[u8]) -> bool {
    let Some(seen) = body.get(..MAX_HEADER_LINES_BYTES) else {
        return true; // A key may be cut off anywhere.
    };
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let runs = seen.split(|byte| !is_base64(byte));
    runs.into_iter().any(|run| run.len() >= MIN_KEY_LINE_BYTES)
}

/// The password of a URL whose scheme ends at `from`: what is between `:` and `@`.
fn url_password(
    text: &[u8],
    from: usize,
    budget: &mut MaskBudget,
) -> Result<Option<(usize, usize)>, OverBudget> {
    let rest = text.get(from..).unwrap_or_default();
    let ends = |byte: &u8| byte.is_ascii_control() || b" /?#\"'<>\\`".contains(byte);
    let host = rest
        .iter()
        .take(MAX_USERINFO_BYTES)
        .take_while(|byte| !ends(byte));
    let len = host.count();
    budget.spend(len)?;
    let authority = rest.get(..len).unwrap_or_default();
    let Some(at) = memchr::memrchr(b'@', authority) else {
        return Ok(None);
    };
    let userinfo = authority.get(..at).unwrap_or_default();
    let Some(colon) = memchr::memchr(b':', userinfo) else {
        return Ok(None);
    };
    let password = userinfo.get(colon + 1..).unwrap_or_default();
    let is_secret = !password.is_empty() && !super::values::is_placeholder(password);
    Ok(is_secret.then_some((from + colon + 1, from + at)))
}

/// The end of `name:password` in base64, which begins at `from`.
fn basic_credentials(
    text: &[u8],
    from: usize,
    budget: &mut MaskBudget,
) -> Result<Option<usize>, OverBudget> {
    const MIN_BYTES: usize = 6;
    let rest = text.get(from..).unwrap_or_default();
    let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let len = rest
        .iter()
        .take(MAX_TOKEN_BYTES)
        .take_while(|byte| belongs(byte))
        .count();
    budget.spend(len)?;
    let decoded = BASE64.decode(rest.get(..len).unwrap_or_default());
    let is_pair = decoded.is_ok_and(|pair| {
        let text = std::str::from_utf8(&pair).unwrap_or_default();
        text.contains(':') && !text.chars().any(char::is_control)
    });
    Ok((len >= MIN_BYTES && is_pair).then_some(from + len))
}
