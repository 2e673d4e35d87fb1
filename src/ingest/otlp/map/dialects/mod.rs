//! One file per dialect: the meaning of its keys and its names for kinds of work.
//!
//! The code here looks at one span at a time. Each file names its source. A span
//! may use several dialects at once: the Vercel SDK writes its own keys and
//! those of the GenAI conventions.

pub mod adk;
pub mod agno;
pub mod anthropic_sdk;
pub mod genai;
pub mod laminar;
pub mod lang_graph;
pub mod langfuse;
pub mod langsmith;
pub mod litellm;
pub mod logfire;
pub mod mlflow;
pub mod openinference;
pub mod openinference_rules;
pub mod openllmetry;
pub mod pydantic_ai;
pub mod vercel;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::slots::{AttributeKey, Slot};

/// The keys of all dialects.
const TABLES: [&[AttributeKey]; 14] = [
    genai::KEYS,
    openinference::KEYS,
    openllmetry::KEYS,
    vercel::KEYS,
    langfuse::KEYS,
    logfire::KEYS,
    pydantic_ai::KEYS,
    mlflow::KEYS,
    langsmith::KEYS,
    laminar::KEYS,
    adk::KEYS,
    agno::KEYS,
    litellm::KEYS,
    anthropic_sdk::KEYS,
];

/// The slot and preference number of every key, in one table: a span is read in
/// one pass, with one lookup per attribute.
static SLOTS_BY_KEY: LazyLock<HashMap<&'static str, (Slot, u8)>> = LazyLock::new(|| {
    let tables = TABLES.iter().copied().flatten();
    tables
        .map(|&(key, slot, preference)| (key, (slot, preference)))
        .collect()
});

/// The slot of a key and its preference number. `None` if no dialect has the key.
pub fn lookup(key: &str) -> Option<(Slot, u8)> {
    SLOTS_BY_KEY.get(key).copied()
}

/// The view of a span with all texts and tools.
const FULL_VIEW: i16 = 0;
/// The view of a client library, which records neither texts nor tools.
const CLIENT_VIEW: i16 = -1;

/// The dialect of a span: for metrics, for `agent_type`, and for rules that
/// apply to one dialect only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Dialect {
    GenAi,
    OpenInference,
    OpenLlmetry,
    Vercel,
    Langfuse,
    Logfire,
    PydanticAi,
    Mlflow,
    LangSmith,
    Laminar,
    Adk,
    Strands,
    Litellm,
    AnthropicSdk,
    /// An unknown dialect: only names, kinds and status are understood.
    Unknown,
}

impl Dialect {
    /// All dialects.
    pub const ALL: [Self; 15] = [
        Self::GenAi,
        Self::OpenInference,
        Self::OpenLlmetry,
        Self::Vercel,
        Self::Langfuse,
        Self::Logfire,
        Self::PydanticAi,
        Self::Mlflow,
        Self::LangSmith,
        Self::Laminar,
        Self::Adk,
        Self::Strands,
        Self::Litellm,
        Self::AnthropicSdk,
        Self::Unknown,
    ];

    /// The name in metrics and metadata.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GenAi => "gen_ai",
            Self::OpenInference => "openinference",
            Self::OpenLlmetry => "openllmetry",
            Self::Vercel => "vercel_ai",
            Self::Langfuse => "langfuse",
            Self::Logfire => "logfire",
            Self::PydanticAi => "pydantic_ai",
            Self::Mlflow => "mlflow",
            Self::LangSmith => "langsmith",
            Self::Laminar => "laminar",
            Self::Adk => "google_adk",
            Self::Strands => "strands",
            Self::Litellm => "litellm",
            Self::AnthropicSdk => "anthropic_sdk",
            Self::Unknown => "unknown",
        }
    }

    /// The rank of this dialect's view if two spans describe the same call: 0 is
    /// a full view, lower views only fill its gaps.
    #[must_use]
    pub fn view(self) -> i16 {
        match self {
            Self::AnthropicSdk => CLIENT_VIEW,
            _ => FULL_VIEW,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_slot() {
        let mut seen: HashMap<&str, Slot> = HashMap::new();
        for &(key, slot, _) in TABLES.iter().copied().flatten() {
            if let Some(before) = seen.insert(key, slot) {
                assert_eq!(before, slot, "{key}");
            }
        }
        assert!(seen.len() > 100);
    }
}
