//! Finds secrets by their names: `"password": "…"`, `API_KEY=…`, `Authorization: …`.

use super::span::{MaskBudget, MaskSpan, OverBudget};
use super::values::{Assignment, is_name_byte, value_of};

/// Names of secrets, without case and separators. A name with one of these in it names a
/// secret.
const WORDS: [&str; 17] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "authorization",
    "credential",
    "cookie",
    "apikey",
    "accesskey",
    "accesstoken",
    "refreshtoken",
    "authtoken",
    "sessiontoken",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "bearertoken",
];
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
/// What to search for, so that every spelling of a name is found.
const STEMS: [&str; 57] = [
    "assword",
    "ASSWORD",
    "assWord",
    "asswd",
    "ASSWD",
    "assphrase",
    "ASSPHRASE",
    "ecret",
    "ECRET",
    "uthorization",
    "UTHORIZATION",
    "redential",
    "REDENTIAL",
    "ookie",
    "OOKIE",
    "pi_k",
    "pi_K",
    "pi-k",
    "pi-K",
    "pi k",
    "pi K",
    "pikey",
    "piKey",
    "PI_K",
    "PI-K",
    "PI K",
    "PIKEY",
    "PIKey",
    "ccess_",
    "ccess-",
    "ccess ",
    "ccessT",
    "ccessK",
    "ccesst",
    "ccessk",
    "CCESS",
    "efresh_",
    "efreshT",
    "EFRESH",
    "uth_t",
    "uthT",
    "UTH_T",
    "rivate_",
    "rivateK",
    "RIVATE_",
    "ession_t",
    "ession-t",
    "essionT",
    "ESSION_T",
    "igning_k",
    "igning-k",
    "igningK",
    "IGNING_K",
    "ncryption_k",
    "ncryptionK",
    "NCRYPTION_K",
    "earer_t",
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
    /// What to search for.
    pub stems: Vec<String>,
    words: Vec<String>,
    kind: usize,
}

/// A name without case and separators.
pub(super) fn normal(name: &[u8]) -> String {
    name.iter()
        .filter(|byte| byte.is_ascii_alphanumeric())
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect()
}

/// The usual spellings of a name: `patient id`, `patient_id`, `PATIENT-ID`, `patientId` …
fn spellings(key: &str) -> Vec<String> {
    let words = key.split(|char: char| !char.is_alphanumeric());
    let words: Vec<String> = words
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let title = |word: &String| {
        let mut chars = word.chars();
        let first = chars.next().map(|char| char.to_uppercase().to_string());
        first.unwrap_or_default() + chars.as_str()
    };
    let titles: Vec<String> = words.iter().map(title).collect();
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
    pub fn new(keys: &[String], kind: usize) -> Self {
        let mut texts: Vec<String> = STEMS.iter().map(|stem| (*stem).to_owned()).collect();
        let mut words: Vec<String> = WORDS.iter().map(|word| (*word).to_owned()).collect();
        for key in keys {
            words.push(normal(key.as_bytes()));
            for spelling in spellings(key) {
                if !texts.contains(&spelling) {
                    texts.push(spelling);
                }
            }
        }
        Self {
            stems: texts,
            words,
            kind,
        }
    }

    /// Whether a name is that of a secret.
    pub fn is_secret(&self, name: &[u8]) -> bool {
        let name = normal(name);
        self.words.iter().any(|word| name.contains(word.as_str()))
            && !HARMLESS_ENDS.iter().any(|end| name.ends_with(end))
    }

    /// Whether the name around a stem in the text of JSON is that of a secret.
    pub fn is_hit(
        &self,
        json: &[u8],
        stem: usize,
        budget: &mut MaskBudget,
    ) -> Result<bool, OverBudget> {
        Ok(self.assignment(json, stem, true, budget)?.is_some())
    }

    /// The value in a text of the secret whose name is around a stem.
    pub fn find(
        &self,
        text: &[u8],
        stem: usize,
        budget: &mut MaskBudget,
    ) -> Result<Option<MaskSpan>, OverBudget> {
        let Some(assignment) = self.assignment(text, stem, false, budget)? else {
            return Ok(None);
        };
        let value = value_of(text, &assignment, budget)?;
        Ok(value.map(|(start, end)| MaskSpan {
            start,
            end,
            kind: self.kind,
        }))
    }

    /// The assignment to the name around `at`, if it names a secret.
    fn assignment(
        &self,
        text: &[u8],
        at: usize,
        in_json: bool,
        budget: &mut MaskBudget,
    ) -> Result<Option<Assignment>, OverBudget> {
        let is_part = |byte: &&u8| is_name_byte(**byte) || **byte == b'-';
        let before = text.get(..at).unwrap_or_default();
        let name_start = at
            - before
                .iter()
                .rev()
                .take(MAX_NAME_BYTES)
                .take_while(is_part)
                .count();
        let after = text.get(at..).unwrap_or_default();
        // A stem may have a blank in it.
        let blank = |(index, byte): &(usize, &u8)| is_part(byte) || **byte == b' ' && *index < 6;
        let mut len = after
            .iter()
            .enumerate()
            .take(MAX_NAME_BYTES)
            .take_while(blank)
            .count();
        while after.get(..len).is_some_and(|name| name.ends_with(b" ")) {
            len -= 1;
        }
        let name_end = at + len;
        budget.spend(name_end - name_start + MAX_GAP_BYTES)?;
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
