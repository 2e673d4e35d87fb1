//! What an attribute means, whatever the dialect that wrote it.
//!
//! Each dialect has a table from its keys to [`Slot`]s. They are one table
//! here, so that a span is read in one pass: an attribute is looked up once,
//! and where several dialects say the same thing (an SDK's own keys beside
//! those of the conventions) the entry with the least preference number stands.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::dialects;

/// One thing that is known of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[allow(missing_docs)] // the tables say what they are
pub enum Slot {
    // What kind of work it is, each in the words of its dialect.
    GenAiOperation,
    OpenInferenceKind,
    TraceloopKind,
    RequestType,
    VercelOperation,
    LangfuseType,
    MlflowType,
    LaminarType,
    LangSmithKind,
    // Who does it.
    AgentName,
    WorkflowName,
    EntityName,
    DisplayName,
    RunName,
    Session,
    User,
    // What model was called, what with, what came of it.
    RequestModel,
    ResponseModel,
    Parameters,
    ResponseId,
    InputMessages,
    OutputMessages,
    SystemInstructions,
    Prompt,
    Input,
    InputMime,
    Output,
    OutputMime,
    ResponseText,
    ResponseToolCalls,
    ResponseReasoning,
    // Tools.
    ToolName,
    ToolCallId,
    ToolArguments,
    ToolResult,
    ToolStatus,
    // Tokens.
    UsageInput,
    UsageOutput,
    UsageTotal,
    UsageCacheRead,
    UsageCacheWrite,
    UsageReasoning,
    UsageJson,
    // Faults.
    ErrorType,
    ErrorMessage,
    Level,
    // A JSON object in which LangChain and others keep what they have no key for.
    Metadata,
}

impl Slot {
    /// How many there are.
    pub const COUNT: usize = Self::Metadata as usize + 1;

    /// Whether the raw attribute is kept in the step's metadata although it is
    /// understood: counts are normalised, what the source said must stay.
    pub fn is_kept_raw(self) -> bool {
        matches!(
            self,
            Self::UsageInput
                | Self::UsageOutput
                | Self::UsageTotal
                | Self::UsageCacheRead
                | Self::UsageCacheWrite
                | Self::UsageReasoning
                | Self::UsageJson
                | Self::RequestModel
                | Self::ResponseId
                | Self::ToolCallId
                | Self::ErrorType
                | Self::Metadata
                | Self::Parameters
                | Self::User
        )
    }
}

/// An attribute's key, what it means, and how much it is preferred: the least
/// number stands.
pub type Key = (&'static str, Slot, u8);

/// Messages written as one attribute a field: `prefix.N.field`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What the model was given.
    Input,
    /// What it answered.
    Output,
}

static TABLE: LazyLock<HashMap<&'static str, (Slot, u8)>> = LazyLock::new(|| {
    let tables = dialects::TABLES.iter().copied().flatten();
    tables
        .map(|&(key, slot, preference)| (key, (slot, preference)))
        .collect()
});

/// What a key means.
pub fn lookup(key: &str) -> Option<(Slot, u8)> {
    TABLE.get(key).copied()
}

/// The indexed families, with what follows their prefix.
pub fn indexed(key: &str) -> Option<(Side, &str)> {
    const FAMILIES: [(&str, Side); 7] = [
        ("llm.input_messages.", Side::Input),
        ("llm.output_messages.", Side::Output),
        ("gen_ai.prompt.", Side::Input),
        ("gen_ai.completion.", Side::Output),
        ("llm.prompts.", Side::Input),
        ("llm.completions.", Side::Output),
        ("llm.choices.", Side::Output),
    ];
    let (prefix, side) = FAMILIES
        .iter()
        .find(|(prefix, _)| key.starts_with(prefix))?;
    let rest = &key[prefix.len()..];
    rest.starts_with(|c: char| c.is_ascii_digit())
        .then_some((*side, rest))
}

/// Whether a key belongs to the vocabulary of work that is not an agent's:
/// web servers and clients, databases, queues, remote calls. An application
/// that makes a span of its own within the process (`kind` 1) may note its
/// route there; no web server does.
pub fn is_foreign(key: &str, kind: i32) -> bool {
    const FOREIGN: [&str; 6] = ["db.", "rpc.", "messaging.", "faas.", "graphql.", "asgi."];
    const FOREIGN_UNLESS_INTERNAL: [&str; 4] = ["http.", "url.", "net.", "aws."];
    let one_of = |prefixes: &[&str]| prefixes.iter().any(|prefix| key.starts_with(prefix));
    one_of(&FOREIGN) || kind != 1 && one_of(&FOREIGN_UNLESS_INTERNAL)
}

/// Whether a key could only come from something that traces agents.
pub fn is_agentic(key: &str) -> bool {
    const AGENTIC: [&str; 17] = [
        "gen_ai.",
        "llm.",
        "ai.",
        "openinference.",
        "traceloop.",
        "langfuse.",
        "mlflow.",
        "lmnr.",
        "langsmith.",
        "gcp.vertex.agent.",
        "agno.",
        "crew",
        "pydantic_ai.",
        "litellm.",
        "tool.",
        "agent.",
        "graph.node.",
    ];
    AGENTIC.iter().any(|prefix| key.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things() {
        let mut seen: HashMap<&str, Slot> = HashMap::new();
        for &(key, slot, _) in dialects::TABLES.iter().copied().flatten() {
            if let Some(before) = seen.insert(key, slot) {
                assert_eq!(before, slot, "{key}");
            }
        }
        assert!(seen.len() > 100);
    }

    #[test]
    fn indexed_keys_need_an_index() {
        let found = indexed("llm.input_messages.12.message.role");
        assert_eq!(found, Some((Side::Input, "12.message.role")));
        assert_eq!(
            indexed("gen_ai.completion.0.role"),
            Some((Side::Output, "0.role"))
        );
        assert_eq!(indexed("gen_ai.prompt.template"), None);
        assert_eq!(indexed("gen_ai.prompt"), None);
    }
}
