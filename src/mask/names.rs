//! Finds secrets by their names: `"password": "…"`, `API_KEY=…`, `Authorization: …`.

use aho_corasick::{AhoCorasick, BuildError};

use super::span::{MaskBudget, MaskSpan, OverBudget};
use super::values::{Assignment, is_name_byte, value_of};

/// Names of secrets of one word. A name with one of these in it, whatever its case and separators, names a secret.
const WORDS: [&str; 5] = ["passwd", "secret", "authorization", "credential", "cookie"];
/// Names of secrets of two words: the last ones, and what may be before them.
const PAIRS: [(&str, &[&str]); 4] = [
    ("word", &["pass"]),
    ("phrase", &["pass"]),
    (
        "key",
        &["api", "access", "private", "signing", "encryption"],
    ),
    ("token", &["access", "refresh", "auth", "session", "bearer"]),
];
/// May be between two words.
const SEPARATORS: &[u8] = b"_- .";
/// Names that end like this are about a secret, but hold none.
const HARMLESS_ENDS: [&str; 29] = [
    "count",
    "length",
    "size",
    "url",
    "uri",
    "endpoint",
    "name",
    "type",
    "policy",
    "required",
    "enabled",
    "expiresat",
    "expiresin",
    "expiry",
    "hint",
    "field",
    "path",
    "file",
    "version",
    "method",
    "strategy",
    "status",
    "updatedat",
    "createdat",
    "rotatedat",
    "manager",
    "scope",
    "secretary",
    "scheme",
];
/// The longest name that is looked at.
pub(super) const MAX_NAME_BYTES: usize = 64;
/// The most bytes between a name and its value.
pub(super) const MAX_GAP_BYTES: usize = 16;
/// The most bytes between them that are looked at, with backslashes.
const MAX_ESCAPES: usize = 16 << 10;

/// Finds secrets by their names.
#[derive(Clone, Debug)]
pub(super) struct NameFinder {
    stems: Vec<NameStem>,
    words: AhoCorasick,
    /// Names of a user's file.
    own: AhoCorasick,
    kind: usize,
}

/// What to search for, as there is no search that knows all spellings.
#[derive(Clone, Debug)]
struct NameStem {
    text: String,
    /// Of a second word: how the first one may end.
    first_ends: Option<Vec<u8>>,
}

impl NameStem {
    fn new(text: String) -> Self {
        Self {
            text,
            first_ends: None,
        }
    }
}

/// A name without case and separators.
pub(super) fn normal(name: &[u8]) -> String {
    if name.is_ascii() {
        let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric());
        return letters
            .map(|byte| char::from(byte.to_ascii_lowercase()))
            .collect();
    }
    let name = String::from_utf8_lossy(name);
    let chars = name.chars().filter(|char| char.is_alphanumeric());
    chars.flat_map(char::to_lowercase).collect()
}

/// Words without the first letter, whose case differs most, and second words as they are written.
fn stems() -> impl Iterator<Item = NameStem> {
    let tails = WORDS.iter().filter_map(|word| word.get(1..));
    let words = tails.flat_map(|tail| [tail.to_owned(), tail.to_uppercase()]);
    let seconds = PAIRS.iter().flat_map(|(second, firsts)| {
        let ends: Vec<u8> = firsts
            .iter()
            .filter_map(|first| first.bytes().last())
            .collect();
        let spellings = [(*second).to_owned(), second.to_uppercase(), title(second)];
        spellings.map(|text| NameStem {
            text,
            first_ends: Some(ends.clone()),
        })
    });
    words.map(NameStem::new).chain(seconds)
}

fn title(word: &str) -> String {
    let mut chars = word.chars();
    let first = chars.next().map(|char| char.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

/// The usual spellings of a name: `patient id`, `patient_id`, `PATIENT-ID`, `patientId` …
fn spellings(key: &str) -> Vec<String> {
    let words = key.split(|char: char| !char.is_alphanumeric());
    let words: Vec<String> = words
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let titles: Vec<String> = words.iter().map(|word| title(word)).collect();
    let mut spellings = vec![key.to_owned()];
    for separator in ["", "_", "-", " "] {
        let lower = words.join(separator);
        let upper = lower.to_uppercase();
        spellings.extend([lower, upper, titles.join(separator)]);
    }
    let first = words.first().map_or("", String::as_str);
    spellings.push(format!(
        "{first}{}",
        titles.get(1..).unwrap_or_default().concat()
    ));
    spellings
}

impl NameFinder {
    /// `keys` are more names of secrets.
    ///
    /// # Errors
    /// There are too many names.
    pub fn new(keys: &[String], kind: usize) -> Result<Self, BuildError> {
        let pair = |(second, firsts): &(&str, &[&str])| {
            let joined = firsts.iter().map(|first| format!("{first}{second}"));
            joined.collect::<Vec<_>>()
        };
        let words = WORDS.iter().map(|word| (*word).to_owned());
        let own = keys.iter().flat_map(|key| spellings(key));
        Ok(Self {
            stems: stems().chain(own.map(NameStem::new)).collect(),
            words: AhoCorasick::new(words.chain(PAIRS.iter().flat_map(pair)))?,
            own: AhoCorasick::new(keys.iter().map(|key| normal(key.as_bytes())))?,
            kind,
        })
    }

    /// What to search for.
    pub fn texts(&self) -> impl Iterator<Item = &String> {
        self.stems.iter().map(|stem| &stem.text)
    }

    /// Whether a name is that of a secret.
    pub fn is_secret(&self, name: &[u8]) -> bool {
        let name = normal(name);
        let is_harmless = || HARMLESS_ENDS.iter().any(|end| name.ends_with(end));
        self.own.is_match(&name) || self.words.is_match(&name) && !is_harmless()
    }

    /// Whether the name around a stem in the text of JSON is that of a secret.
    pub fn is_hit(
        &self,
        json: &[u8],
        place: (usize, usize),
        budget: &mut MaskBudget,
    ) -> Result<bool, OverBudget> {
        Ok(self.assignment(json, place, true, budget)?.is_some())
    }

    /// The value in a text of the secret whose name is around a stem.
    pub fn find(
        &self,
        text: &[u8],
        place: (usize, usize),
        budget: &mut MaskBudget,
    ) -> Result<Option<MaskSpan>, OverBudget> {
        let Some(assignment) = self.assignment(text, place, false, budget)? else {
            return Ok(None);
        };
        let value = value_of(text, &assignment, budget)?;
        Ok(value.map(|(start, end)| MaskSpan {
            start,
            end,
            kind: self.kind,
        }))
    }

    /// The assignment to the name around a stem, if it names a secret. `place`: where the stem is, and its number.
    fn assignment(
        &self,
        text: &[u8],
        (at, stem): (usize, usize),
        in_json: bool,
        budget: &mut MaskBudget,
    ) -> Result<Option<Assignment>, OverBudget> {
        let Some(stem) = self.stems.get(stem) else {
            return Ok(None);
        };
        let is_part = |byte: &&u8| is_name_byte(**byte) || **byte == b'-' || !byte.is_ascii();
        let len = |bytes: &mut dyn Iterator<Item = &u8>| {
            bytes.take(MAX_NAME_BYTES).take_while(is_part).count()
        };
        let mut before = text.get(..at).unwrap_or_default();
        if let Some(ends) = &stem.first_ends {
            if let Some((_, first)) = before
                .split_last()
                .filter(|(last, _)| SEPARATORS.contains(last))
            {
                before = first;
            }
            let last = before.last().map(u8::to_ascii_lowercase);
            if !last.is_some_and(|last| ends.contains(&last)) {
                return Ok(None);
            }
        }
        let name_start = before.len() - len(&mut before.iter().rev());
        let stem_end = at + stem.text.len();
        let after = text.get(stem_end..).unwrap_or_default();
        let name_end = stem_end + len(&mut after.iter());
        let words = self.words.patterns_len() + self.own.patterns_len();
        budget.spend(name_end - name_start + MAX_GAP_BYTES + words)?;
        // Most words have no sign behind them, and that is soon seen where nothing is escaped.
        let gap = after.get(name_end - stem_end..).unwrap_or_default();
        let is_plain = !gap.iter().take(MAX_GAP_BYTES + 1).any(|b| *b == b'\\');
        if is_plain && sign(text, name_end, in_json).is_none() {
            return Ok(None);
        }
        let name = text.get(name_start..name_end).unwrap_or_default();
        if !self.is_secret(name) {
            return Ok(None);
        }
        let found = sign(text, name_end, in_json);
        budget.spend(found.map_or(0, |(value, ..)| value - name_end))?;
        Ok(found.map(|(value, is_tight, is_colon)| Assignment {
            name_start,
            name_end,
            value,
            is_tight,
            is_colon,
        }))
    }
}

/// Looks for `:` or `=` behind a name. Returns the place behind it, whether it is `=`
/// without blanks, and whether it is `:`.
fn sign(text: &[u8], name_end: usize, in_json: bool) -> Option<(usize, bool, bool)> {
    let mut gap = 0;
    for (at, byte) in text.iter().enumerate().skip(name_end).take(MAX_ESCAPES) {
        let next = text.get(at + 1).copied();
        match byte {
            // JSON within JSON within JSON has any number of them.
            b'\\' => continue,
            b' ' | b'\t' | b'"' | b'\'' | b'`' | b']' | b')' => {}
            b':' if next == Some(b':') => return None,
            b':' => return Some((at + 1 + usize::from(next == Some(b'=')), false, true)),
            b'=' if next == Some(b'=') => return None,
            b'=' if next == Some(b'>') => return Some((at + 2, false, false)),
            b'=' => {
                let is_tight = at == name_end && next.is_some_and(|next| next != b' ');
                return Some((at + 1, is_tight, false));
            }
            // A key may have more words, and a blank may be escaped.
            b',' | b'{' | b'}' => return None,
            _ if in_json => {}
            _ => return None,
        }
        gap += 1;
        if gap > MAX_GAP_BYTES {
            return None;
        }
    }
    None
}
