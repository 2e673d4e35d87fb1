//! The dialects in which SDKs describe agents, as data.
//!
//! Each dialect is a TOML file: its keys and what they mean, its words for kinds
//! of work, its rules, how it counts. The files are compiled once into
//! [`Dialects`], which never changes. docs/OTLP.md describes the format.

mod add_keys;
mod built_in;
mod compile;
mod complaint;
mod dialect;
mod file;
mod key_hash;
mod kind;
mod pattern;
mod rule;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod usage_object;

use std::sync::{Arc, LazyLock};

pub use add_keys::MAX_KEYS_PER_FACT;
pub use complaint::{DialectError, DialectText};
pub use dialect::{Dialect, MessageEvent};
pub use file::{Containing, CountingRules, EventRole};
pub use kind::{Classification, SpanClass, lower};
pub use rule::{EqualTo, FactRef, Rule, SetTo};
pub use table::{AttributeTable, DialectIndex, FilledSlot, KeyMeaning};
pub use usage_object::{UsageObject, UsagePart};

use self::key_hash::{KeyMap, KeySet};
use self::pattern::Pattern;
use self::table::PrefixTable;
use super::slots::Slot;

/// The name of the dialect of the conventions, which all others build on.
const CONVENTIONS: &str = "gen_ai";
/// The name of the dialect of spans that no dialect fits.
const UNKNOWN: &str = "unknown";

/// All dialects, compiled.
#[derive(Debug)]
pub struct Dialects {
    /// In order of preference.
    all: Vec<Dialect>,
    /// The index of [`CONVENTIONS`].
    conventions: usize,
    /// The index of [`UNKNOWN`].
    unknown: usize,
    /// The keys that are read in every span.
    everywhere: AttributeTable,
    /// By dialect: the keys that are read in spans of its scopes, if it has keys
    /// of its own.
    own: Vec<Option<AttributeTable>>,
    /// Prefixes of keys that only instrumentations of agents use.
    prefixes: PrefixTable,
    foreign: Vec<String>,
    foreign_unless_internal: Vec<String>,
    scope_noise: Vec<String>,
    signs: KeySet,
    /// Last parts of unknown keys, and the slots that they fill.
    suffixes: KeyMap<FilledSlot>,
    agent_names: Vec<Pattern>,
    tool_names: Vec<Pattern>,
    /// The usage objects of providers, in order.
    pub usage_objects: Vec<UsageObject>,
    /// Every source of a fact, as its file writes it.
    documented: Vec<(String, Slot, DialectIndex)>,
}

/// An exception that is no failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlFlow {
    /// The work goes on elsewhere.
    Continues,
    /// The run waits for a person.
    Paused,
}

static BUILT_IN: LazyLock<Arc<Dialects>> = LazyLock::new(|| {
    // A unit test checks that the built-in files compile.
    let compiled = Dialects::compile(Vec::new());
    Arc::new(compiled.unwrap_or_default())
});

impl Default for Dialects {
    /// No dialects but the unknown one.
    fn default() -> Self {
        Self::empty()
    }
}

impl Dialects {
    /// The built-in dialects.
    #[must_use]
    pub fn built_in() -> Arc<Self> {
        BUILT_IN.clone()
    }

    /// All dialects, in order of preference.
    #[must_use]
    pub fn all(&self) -> &[Dialect] {
        &self.all
    }

    /// A dialect by its index.
    #[must_use]
    pub fn get(&self, index: DialectIndex) -> &Dialect {
        self.all
            .get(usize::from(index))
            .unwrap_or_else(|| self.unknown())
    }

    /// The dialect of the conventions.
    #[must_use]
    pub fn conventions(&self) -> &Dialect {
        &self.all[self.conventions]
    }

    /// The dialect of spans that no dialect fits.
    #[must_use]
    pub fn unknown(&self) -> &Dialect {
        &self.all[self.unknown]
    }

    /// The dialect of a scope, and what the `*` of its pattern matched.
    #[must_use]
    pub fn of_scope<'s>(&self, scope: &'s str) -> Option<(&Dialect, &'s str)> {
        self.all
            .iter()
            .find_map(|dialect| Some((dialect, dialect.matches_scope(scope)?)))
    }

    /// The keys that are read in spans whose scope is of this dialect.
    #[must_use]
    pub fn keys(&self, of_scope: Option<&Dialect>) -> &AttributeTable {
        of_scope
            .and_then(|dialect| self.own.get(usize::from(dialect.index))?.as_ref())
            .unwrap_or(&self.everywhere)
    }

    /// The first dialect with a prefix of this key. Only instrumentations of
    /// agents use such keys.
    #[must_use]
    pub fn of_prefix(&self, key: &str) -> Option<DialectIndex> {
        self.prefixes.find(key)
    }

    /// Whether a key is from a vocabulary of other work than an agent's: web
    /// servers and clients, databases, queues, remote calls.
    ///
    /// An internal span of the application may have its HTTP route as an
    /// attribute. The spans of web servers are never internal.
    #[must_use]
    pub fn is_foreign(&self, key: &str, internal: bool) -> bool {
        let one_of = |prefixes: &[String]| prefixes.iter().any(|it| key.starts_with(it.as_str()));
        one_of(&self.foreign) || !internal && one_of(&self.foreign_unless_internal)
    }

    /// The slot that a key of no dialect fills by its last part or parts.
    #[must_use]
    pub fn of_suffix(&self, suffix: &str) -> Option<FilledSlot> {
        self.suffixes.get(suffix).copied()
    }

    /// Whether a part of a scope's name says nothing about the SDK.
    #[must_use]
    pub fn is_scope_noise(&self, part: &str) -> bool {
        self.scope_noise.iter().any(|noise| noise == part)
    }

    /// Whether a word in a key is a sign of a model's or an agent's work.
    #[must_use]
    pub fn is_sign(&self, word: &str) -> bool {
        self.signs.contains(word)
    }

    /// The name of the agent or tool in the name of its span.
    #[must_use]
    pub fn bare_name<'s>(&self, class: SpanClass, span: &'s str) -> Option<&'s str> {
        let patterns = match class {
            SpanClass::Agent => &self.agent_names,
            SpanClass::Tool => &self.tool_names,
            _ => return None,
        };
        let captured = patterns.iter().find_map(|pattern| pattern.captures(span))?;
        captured.first().copied().filter(|name| !name.is_empty())
    }

    /// Every source of a fact, as its file writes it, with the fact and the dialect.
    pub fn documented_keys(&self) -> impl Iterator<Item = (&str, Slot, &Dialect)> {
        let documented = self.documented.iter();
        documented.map(|(source, slot, dialect)| (source.as_str(), *slot, self.get(*dialect)))
    }
}
