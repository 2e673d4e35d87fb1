//! One small file per dialect: which of its keys means what, and which of its
//! words names which kind of work. Nothing here looks at more than one span.
//!
//! The sources of the words are named in each file. A span may speak several
//! dialects at once (the Vercel SDK writes its own keys and the conventions').

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
pub mod openllmetry;
pub mod pydantic_ai;
pub mod vercel;

use super::slots::Key;

/// All tables.
pub const TABLES: [&[Key]; 14] = [
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

/// Who wrote a span, for counters, `agent_type` and the few rules that are
/// one dialect's own.
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
    /// None that is known: names, kinds and status are all there is.
    Unknown,
}

impl Dialect {
    /// All of them.
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

    /// Its name in metrics and metadata.
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

    /// How much this dialect's view of a call counts where two describe the
    /// same call: 0 is a full one. The client library's own spans have neither
    /// texts nor tools.
    #[must_use]
    pub fn view(self) -> i16 {
        match self {
            Self::AnthropicSdk => -1,
            _ => 0,
        }
    }
}
