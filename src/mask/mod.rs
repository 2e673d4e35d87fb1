//! Masks secrets in the texts of events, before anything stores or logs them.
//!
//! A secret becomes `[masked:KIND:xxxx]`. A text that cannot be looked at within its budget
//! becomes `[masked:unchecked]`: no text passes unseen. What an event becomes depends on the
//! event, the rules and the key only, so an event that is sent again is still a duplicate.

mod cards;
mod fragments;
mod json;
mod names;
mod needles;
mod numbers;
mod places;
mod recent;
mod rules;
mod span;
mod tag;
mod tokens;
mod values;

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use aho_corasick::BuildError;

use self::names::NameFinder;
use self::needles::Needles;
use self::numbers::NumberFinder;
use self::recent::CleanTexts;
use self::rules::CODED_KINDS;
pub use self::rules::{MaskRules, MaskRulesError};
use self::span::{MaskBudget, MaskSpan, OverBudget, join};
use self::tag::TagKey;
use self::tokens::TokenFinder;
use crate::event::{Event, EventField, Json};

/// What a text becomes that was not looked at.
const UNCHECKED: &str = "[masked:unchecked]";
/// Index of its kind.
const UNCHECKED_KIND: usize = 0;
/// Index of the kind of secrets that are known by their names.
const NAMED_KIND: usize = 1;
/// JSON in strings of JSON is read as JSON so often. Deeper it is text.
const MAX_JSON_IN_JSON: usize = 6;

/// Masks events.
#[derive(Debug)]
pub struct Masker {
    /// How tokens begin, then stems of names.
    needles: Needles,
    tokens: TokenFinder,
    names: Option<NameFinder>,
    numbers: NumberFinder,
    clean: CleanTexts,
    key: TagKey,
    rules: MaskRules,
    kinds: Vec<MaskedKind>,
}

/// A kind of secret, and how many of it were masked.
#[derive(Debug)]
struct MaskedKind {
    name: String,
    count: AtomicU64,
}

impl Masker {
    /// A masker with these rules. Daemons with one key make the same masks.
    ///
    /// # Errors
    /// The rules have too many prefixes and names.
    pub fn new(rules: MaskRules, key: &[u8]) -> Result<Self, BuildError> {
        let coded = CODED_KINDS.iter().map(|name| (*name).to_owned());
        let patterns = rules.patterns.iter().map(|pattern| pattern.name.clone());
        let kinds: Vec<MaskedKind> = coded
            .chain(patterns)
            .map(|name| MaskedKind {
                name,
                count: AtomicU64::new(0),
            })
            .collect();
        let kind_of = |name: &str| {
            let index = kinds.iter().position(|kind| kind.name == name);
            index.filter(|_| rules.is_on(name))
        };
        let tokens = TokenFinder::new(&rules, kind_of);
        let names = kind_of("secret").map(|kind| NameFinder::new(&rules.keys, kind));
        let names = names.transpose()?;
        let stems = names.iter().flat_map(NameFinder::texts);
        Ok(Self {
            needles: Needles::new(tokens.begins.iter().chain(stems))?,
            tokens,
            names,
            numbers: NumberFinder {
                card: kind_of("card"),
                iban: kind_of("iban"),
                phone: kind_of("phone"),
                email: kind_of("email"),
            },
            clean: CleanTexts::new(),
            key: TagKey::new(key),
            kinds,
            rules,
        })
    }

    /// Masks every text of an event.
    pub fn event(&self, event: &mut Event) {
        event.visit_fields(|field| match field {
            EventField::Text(text) => {
                if let Some(masked) = self.text(text) {
                    *text = masked;
                }
            }
            EventField::Json(json) => {
                if let Some(masked) = self.json(json) {
                    *json = masked;
                }
            }
        });
    }

    /// The masked form of a text. `None` if there is nothing to mask.
    pub fn text(&self, text: &str) -> Option<String> {
        if self.clean.has(text) {
            return None;
        }
        let masked = self.closed(text, |budget| self.mask_text(text, 0, budget));
        if masked == Ok(None) {
            self.clean.add(text);
        }
        masked.unwrap_or_else(|OverBudget| Some(UNCHECKED.to_owned()))
    }

    /// The masked form of JSON. `None` if there is nothing to mask. An object stays an
    /// object, and an array an array.
    pub fn json(&self, json: &Json) -> Option<Json> {
        let text = json.as_str();
        let masked = self.closed(text, |budget| self.mask_json(text, budget));
        let masked = masked.unwrap_or_else(|OverBudget| {
            Some(match text.trim_ascii_start().bytes().next() {
                Some(b'{') => format!("{{\"masked\":\"{UNCHECKED}\"}}"),
                Some(b'[') => format!("[\"{UNCHECKED}\"]"),
                _ => format!("\"{UNCHECKED}\""),
            })
        });
        masked.map(Json::with_replaced_values)
    }

    /// How many secrets of each kind were masked. The first kind is that of texts that
    /// could not be looked at.
    pub fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        let counts = self.kinds.iter();
        counts.map(|kind| (kind.name.as_str(), kind.count.load(Relaxed)))
    }

    /// Runs the work on one text. Whatever goes wrong, the text does not pass.
    fn closed(
        &self,
        text: &str,
        work: impl FnOnce(&mut MaskBudget) -> Result<Option<String>, OverBudget>,
    ) -> Result<Option<String>, OverBudget> {
        let mut budget = MaskBudget::for_field(text.len());
        let done = catch_unwind(AssertUnwindSafe(|| work(&mut budget)));
        let done = done.unwrap_or(Err(OverBudget));
        if done.is_err() {
            self.count(UNCHECKED_KIND);
        }
        done
    }

    fn mask_text(
        &self,
        text: &str,
        depth: usize,
        budget: &mut MaskBudget,
    ) -> Result<Option<String>, OverBudget> {
        budget.spend(text.len())?;
        if depth < MAX_JSON_IN_JSON && is_enclosed(text) {
            // Whatever is found in the text is also found in it as JSON.
            let hits = self.json_hits(text.as_bytes(), budget)?;
            if hits.is_empty() {
                return Ok(None);
            }
            if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
                return self.walk_json(text, hits, depth + 1, budget);
            }
        }
        let spans = self.spans(text.as_bytes(), budget)?;
        if spans.is_empty() {
            return Ok(None);
        }
        let mut masked = String::with_capacity(text.len());
        let mut copied = 0;
        for span in spans {
            let secret = text.get(span.start..span.end).ok_or(OverBudget)?;
            if self.is_allowed(secret) || values::is_mask(secret.as_bytes()) {
                continue;
            }
            masked.push_str(text.get(copied..span.start).ok_or(OverBudget)?);
            masked.push_str(&self.mask(span.kind, secret));
            copied = span.end;
        }
        masked.push_str(text.get(copied..).ok_or(OverBudget)?);
        Ok((copied > 0).then_some(masked))
    }

    /// The mask of a text that is a secret as a whole.
    fn mask_whole(&self, secret: &str, budget: &mut MaskBudget) -> Result<String, OverBudget> {
        let spans = self.spans(secret.as_bytes(), budget)?;
        let kind = match spans.as_slice() {
            [span] if span.start == 0 && span.end == secret.len() => span.kind,
            _ => NAMED_KIND,
        };
        Ok(self.mask(kind, secret))
    }

    fn spans(&self, text: &[u8], budget: &mut MaskBudget) -> Result<Vec<MaskSpan>, OverBudget> {
        let (mut spans, mut named) = (Vec::new(), Vec::new());
        // Within a token no other one is looked for.
        let mut done = 0..0;
        self.needles.each(text, |start, number| {
            let Some(begin) = self.begin(number) else {
                named.extend(
                    self.name(|names| names.find(text, (start, self.stem(number)), budget))?,
                );
                return Ok(());
            };
            if !done.contains(&start)
                && let Some(span) = self.tokens.find(text, (start, begin), budget)?
            {
                done = span.start..span.end;
                spans.push(span);
            }
            Ok(())
        })?;
        self.numbers.find(text, budget, &mut spans)?;
        // Of equal spans the first one stays: the kind of a secret says more than its name.
        spans.append(&mut named);
        let mut spans = join(spans);
        for span in &mut spans {
            // A part of a character cannot be replaced.
            while text.get(span.end).is_some_and(|byte| byte & 0xc0 == 0x80) {
                span.end += 1;
            }
        }
        Ok(spans)
    }

    /// The places in the text of JSON that deserve a look.
    fn json_hits(&self, json: &[u8], budget: &mut MaskBudget) -> Result<Vec<usize>, OverBudget> {
        budget.spend(json.len())?;
        let mut hits = Vec::new();
        self.needles.each(json, |start, number| {
            let is_hit = match self.begin(number) {
                Some(begin) => self.tokens.is_hit(json, (start, begin), budget)?,
                None => {
                    self.name(|names| names.is_hit(json, (start, self.stem(number)), budget))?
                }
            };
            if is_hit {
                hits.push(start);
            }
            Ok(())
        })?;
        let mut spans = Vec::new();
        self.numbers.find(json, budget, &mut spans)?;
        hits.extend(spans.iter().map(|span| span.start));
        Ok(hits)
    }

    /// Which begin of a token a needle is. `None` if it is a stem.
    fn begin(&self, needle: usize) -> Option<usize> {
        (needle < self.tokens.begins.len()).then_some(needle)
    }

    /// Which stem a needle is that begins no token.
    fn stem(&self, needle: usize) -> usize {
        needle.saturating_sub(self.tokens.begins.len())
    }

    fn name<T: Default>(
        &self,
        look: impl FnOnce(&NameFinder) -> Result<T, OverBudget>,
    ) -> Result<T, OverBudget> {
        self.names.as_ref().map_or_else(|| Ok(T::default()), look)
    }

    /// Whether a text is no secret, whatever its name.
    fn is_allowed(&self, text: &str) -> bool {
        self.rules.allow.contains(text)
    }

    fn is_secret_name(&self, name: &[u8]) -> bool {
        self.names
            .as_ref()
            .is_some_and(|names| names.is_secret(name))
    }

    fn mask(&self, kind: usize, secret: &str) -> String {
        self.count(kind);
        let name = self
            .kinds
            .get(kind)
            .map_or("secret", |kind| kind.name.as_str());
        let tag = match name {
            // However it is grouped, it is the same number.
            "card" | "iban" => self.key.tag(secret.replace([' ', '-'], "").as_bytes()),
            _ => self.key.tag(secret.as_bytes()),
        };
        format!("[masked:{name}:{tag}]")
    }

    fn count(&self, kind: usize) {
        if let Some(kind) = self.kinds.get(kind) {
            kind.count.fetch_add(1, Relaxed);
        }
    }
}

/// Whether a text may be an object or an array as JSON.
fn is_enclosed(text: &str) -> bool {
    let bytes = text.trim_ascii().as_bytes();
    let encloses = |open, close| bytes.first() == Some(&open) && bytes.last() == Some(&close);
    encloses(b'{', b'}') || encloses(b'[', b']')
}
