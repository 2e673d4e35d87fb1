//! A dialect file as TOML has it. Unknown fields are refused, and each part that
//! is checked later keeps its place in the file.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

/// A text with its place in the file.
pub type PlacedText = Spanned<String>;
/// A text or a list of texts with its place in the file.
pub type PlacedTexts = Spanned<Texts>;
/// A table from a checked name to a list.
pub type NamedLists<T> = BTreeMap<PlacedText, Vec<T>>;

/// A whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DialectFile {
    pub name: PlacedText,
    pub source: PlacedText,
    pub agent_type: Option<PlacedText>,
    #[serde(default)]
    pub scopes: Vec<PlacedText>,
    #[serde(default)]
    pub marks: Vec<PlacedText>,
    #[serde(default)]
    pub prefixes: Vec<PlacedText>,
    /// Prefixes of keys that only other work than an agent's has.
    #[serde(default)]
    pub foreign: Vec<PlacedText>,
    /// As `foreign`, but spans within a process may have them too.
    #[serde(default)]
    pub foreign_unless_internal: Vec<PlacedText>,
    /// Parts of scope names that say nothing about the SDK.
    #[serde(default)]
    pub scope_noise: Vec<PlacedText>,
    /// Words in keys that only a model's or an agent's work has.
    #[serde(default)]
    pub signs: Vec<PlacedText>,
    pub preference: Option<Spanned<u16>>,
    #[serde(default)]
    pub keys: NamedLists<Spanned<KeyEntry>>,
    #[serde(default)]
    pub own_keys: NamedLists<Spanned<KeyEntry>>,
    #[serde(default)]
    pub suffixes: NamedLists<PlacedText>,
    #[serde(default)]
    pub words: NamedLists<PlacedText>,
    #[serde(default)]
    pub names: NamePatterns,
    #[serde(default)]
    pub usage: CountingRules,
    #[serde(default)]
    pub outcome: OutcomeWords,
    #[serde(default)]
    pub tool: ToolRules,
    #[serde(default)]
    pub messages: MessageRules,
    #[serde(default)]
    pub rules: Vec<Spanned<FileRule>>,
    #[serde(default)]
    pub message_events: Vec<FileMessageEvent>,
    #[serde(default)]
    pub usage_objects: Vec<Spanned<FileUsageObject>>,
}

/// A source of a fact, with a preference number of its own or that of its file.
#[derive(Debug)]
pub struct KeyEntry {
    pub source: String,
    pub preference: Option<u16>,
}

/// The names of spans that hold the bare name of an agent or tool.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamePatterns {
    #[serde(default)]
    pub agent: Texts,
    #[serde(default)]
    pub tool: Texts,
}

/// Whether a count contains its parts.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Containing {
    /// The part is contained in the whole.
    Included,
    /// The part comes on top.
    Separate,
    /// The total shows it; without a total, a part that exceeds the whole.
    #[default]
    ByTotal,
}

/// How a dialect counts tokens.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct CountingRules {
    /// Tokens read from or written to a cache, in `input`.
    #[serde(default)]
    pub cached: Containing,
    /// Reasoning, in `output`.
    #[serde(default)]
    pub reasoned: Containing,
}

/// What tells that work failed, or only seems to have failed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeWords {
    #[serde(default)]
    pub failed: Texts,
    #[serde(default)]
    pub control_flow: Texts,
    #[serde(default)]
    pub paused: Texts,
}

/// How messages are recorded.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageRules {
    /// Texts that stand for what a message really says.
    #[serde(default)]
    pub placeholders: Texts,
}

/// How tools are recorded.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolRules {
    #[serde(default)]
    pub unwrap: Texts,
}

/// A rule for spans that words and evidence do not describe.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRule {
    #[serde(default)]
    pub name: Texts,
    #[serde(default)]
    pub scope: Texts,
    #[serde(default)]
    pub kind: Texts,
    pub has: Option<PlacedTexts>,
    pub lacks: Option<PlacedTexts>,
    #[serde(default)]
    pub equals: BTreeMap<PlacedText, Texts>,
    pub root: Option<bool>,
    pub is: Option<PlacedText>,
    #[serde(default)]
    pub set: BTreeMap<PlacedText, PlacedText>,
    pub view: Option<RuleView>,
    pub run: Option<RuleRun>,
    #[serde(default)]
    pub messages_in_logs: bool,
    #[serde(default)]
    pub weak_name: bool,
    pub cached: Option<Containing>,
}

/// The view that a span has of its call.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum RuleView {
    /// Another span describes the call more completely.
    Lesser,
}

/// Where the run of a span comes from, if not from its trace.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum RuleRun {
    /// From the id of the response.
    ResponseId,
}

/// A span event or log record that carries one message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileMessageEvent {
    pub name: String,
    pub role: EventRole,
    pub text: String,
}

/// The role of a message in an event.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum EventRole {
    System,
    User,
    Assistant,
    Tool,
}

/// The usage object of a provider.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileUsageObject {
    pub has: Texts,
    /// The object is only known to be this one as the provider's own
    /// (`provider_usage`).
    #[serde(default)]
    pub of_provider: bool,
    #[serde(default)]
    pub input: Texts,
    #[serde(default)]
    pub output: Texts,
    #[serde(default)]
    pub total: Texts,
    #[serde(default)]
    pub cache_read: Texts,
    #[serde(default)]
    pub cache_write: Texts,
    #[serde(default)]
    pub reasoning: Texts,
    #[serde(default)]
    pub cached: Containing,
    /// Whether `output` contains reasoning.
    #[serde(default)]
    pub reasoned: Containing,
}

/// A text or a list of texts.
#[derive(Debug, Default)]
pub struct Texts(pub Vec<String>);

impl Texts {
    /// The texts.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct TextsVisitor;
        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Vec<String>;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<String>, E> {
                Ok(vec![text.to_owned()])
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<String>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(list)
            }
        }
        from.deserialize_any(TextsVisitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for KeyEntry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Detailed {
            key: String,
            preference: u16,
        }
        struct EntryVisitor;
        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = KeyEntry;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a key or `{ key = \"…\", preference = N }`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<KeyEntry, E> {
                Ok(KeyEntry {
                    source: text.to_owned(),
                    preference: None,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<KeyEntry, A::Error> {
                let detailed = Detailed::deserialize(MapAccessDeserializer::new(map))?;
                Ok(KeyEntry {
                    source: detailed.key,
                    preference: Some(detailed.preference),
                })
            }
        }
        from.deserialize_any(EntryVisitor)
    }
}
