//! What is masked: the built-in rules, and those of a user's file.

use std::collections::BTreeSet;
use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;
use toml::Spanned;

/// The built-in patterns.
const BUILT_IN: &str = include_str!("patterns.toml");
/// A shorter prefix would stop the search at every other word.
const MIN_PREFIX_BYTES: usize = 3;
/// Longer ones tell no more, and make the search slow.
const MAX_PREFIX_BYTES: usize = 64;
/// A longer name makes a mask that is longer than most secrets.
const MAX_NAME_BYTES: usize = 24;
/// A compiled regex may take this much memory.
const MAX_REGEX_BYTES: usize = 1 << 20;
/// What is masked by code instead of a pattern.
pub(super) const CODED_KINDS: [&str; 8] = [
    "unchecked",
    "secret",
    "card",
    "iban",
    "email",
    "phone",
    "private-key",
    "url-password",
];

/// What to mask.
#[derive(Clone, Debug)]
pub struct MaskRules {
    pub(super) patterns: Vec<MaskPattern>,
    /// More names of secrets.
    pub(super) keys: Vec<String>,
    /// Texts that are no secrets.
    pub(super) allow: BTreeSet<String>,
    pub(super) off: BTreeSet<String>,
}

/// A kind of secret that is known by its shape.
#[derive(Clone, Debug)]
pub(super) struct MaskPattern {
    pub name: String,
    pub prefixes: Vec<String>,
    pub regex: Regex,
}

/// What is wrong with a file of rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct MaskRulesError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// A file as TOML has it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesFile {
    #[serde(default)]
    email: bool,
    #[serde(default)]
    phone: bool,
    #[serde(default)]
    off: Vec<Spanned<String>>,
    #[serde(default)]
    keys: Vec<Spanned<String>>,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    pattern: Vec<FilePattern>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePattern {
    name: Spanned<String>,
    prefixes: Vec<Spanned<String>>,
    regex: Spanned<String>,
}

/// Adds a file to the rules, and says where the file is wrong.
struct RulesReader<'a> {
    text: &'a str,
}

impl MaskRules {
    /// The built-in rules.
    ///
    /// # Errors
    /// Never: a test reads them.
    pub fn built_in() -> Result<Self, MaskRulesError> {
        Self::with_file("")
    }

    /// The built-in rules and those in the text of a file.
    ///
    /// # Errors
    /// The first fault of the text.
    pub fn with_file(text: &str) -> Result<Self, MaskRulesError> {
        let mut rules = Self {
            patterns: Vec::new(),
            keys: Vec::new(),
            allow: BTreeSet::new(),
            off: BTreeSet::new(),
        };
        for text in [BUILT_IN, text] {
            RulesReader { text }.add_to(&mut rules)?;
        }
        Ok(rules)
    }

    /// How many patterns there are.
    #[must_use]
    pub fn pattern_count(&self) -> usize {
        self.patterns.len()
    }

    pub(super) fn is_on(&self, kind: &str) -> bool {
        !self.off.contains(kind)
    }
}

impl RulesReader<'_> {
    fn add_to(&self, rules: &mut MaskRules) -> Result<(), MaskRulesError> {
        let file: RulesFile = toml::from_str(self.text).map_err(|error| {
            let span = error.span().unwrap_or_default();
            self.fault(&span, error.message().to_owned())
        })?;
        for pattern in file.pattern {
            let pattern = self.pattern(pattern, rules)?;
            rules.patterns.push(pattern);
        }
        for kind in file.off {
            let known = CODED_KINDS[1..].contains(&kind.get_ref().as_str());
            if !known && !rules.patterns.iter().any(|p| p.name == *kind.get_ref()) {
                let reason = format!("there is no kind {:?} that could be off", kind.get_ref());
                return Err(self.fault(&kind.span(), reason));
            }
            rules.off.insert(kind.into_inner());
        }
        for (kind, wanted) in [("email", file.email), ("phone", file.phone)] {
            if wanted {
                rules.off.remove(kind);
            } else {
                rules.off.insert(kind.to_owned());
            }
        }
        for key in file.keys {
            let word = super::names::normal(key.get_ref().as_bytes());
            if word.len() < MIN_PREFIX_BYTES {
                let reason = format!("the key {:?} is too short", key.get_ref());
                return Err(self.fault(&key.span(), reason));
            }
            rules.keys.push(key.into_inner());
        }
        rules.allow.extend(file.allow);
        Ok(())
    }

    fn pattern(
        &self,
        pattern: FilePattern,
        rules: &MaskRules,
    ) -> Result<MaskPattern, MaskRulesError> {
        let name = pattern.name.get_ref();
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=MAX_NAME_BYTES).contains(&name.len()) || !name.bytes().all(is_word) {
            let reason = format!("the name {name:?} is not 1 to 24 of a-z, 0-9 and -");
            return Err(self.fault(&pattern.name.span(), reason));
        }
        let taken = CODED_KINDS.contains(&name.as_str());
        if taken || rules.patterns.iter().any(|other| other.name == *name) {
            let reason = format!("the name {name:?} is taken; choose another");
            return Err(self.fault(&pattern.name.span(), reason));
        }
        if pattern.prefixes.is_empty() {
            let reason = format!("the pattern {name:?} has no prefix");
            return Err(self.fault(&pattern.name.span(), reason));
        }
        for prefix in &pattern.prefixes {
            let text = prefix.get_ref();
            let is_fit = (MIN_PREFIX_BYTES..=MAX_PREFIX_BYTES).contains(&text.len());
            if !is_fit || !text.is_ascii() || text.contains('\0') {
                let reason =
                    format!("the prefix {text:?} is not 3 to 64 ASCII characters without NUL");
                return Err(self.fault(&prefix.span(), reason));
            }
        }
        let regex = RegexBuilder::new(&format!("\\A(?:{})", pattern.regex.get_ref()))
            .unicode(false)
            .size_limit(MAX_REGEX_BYTES)
            .build()
            .map_err(|error| {
                let text = error.to_string();
                let cause = text.lines().last().unwrap_or_default();
                let reason = format!("the regex of {name:?} is not valid: {cause}");
                self.fault(&pattern.regex.span(), reason)
            })?;
        if regex.is_match(b"") {
            let reason =
                format!("the regex of {name:?} matches nothing at all; begin with a prefix");
            return Err(self.fault(&pattern.regex.span(), reason));
        }
        Ok(MaskPattern {
            name: name.clone(),
            prefixes: pattern
                .prefixes
                .into_iter()
                .map(Spanned::into_inner)
                .collect(),
            regex,
        })
    }

    fn fault(&self, span: &Range<usize>, reason: String) -> MaskRulesError {
        let before = self.text.get(..span.start).unwrap_or_default();
        MaskRulesError {
            line: 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
            reason,
        }
    }
}
