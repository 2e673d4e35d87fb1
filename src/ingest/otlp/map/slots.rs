//! The meaning of an attribute, independent of the dialect that wrote it.
//!
//! Each dialect has a table that maps its keys to [`Slot`]s. If several keys of
//! a span fill the same slot (an SDK's own key and that of the conventions),
//! the key with the lowest preference number wins.

use crate::ingest::otlp::wire::Span;

/// A fact about a span that an attribute can state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[allow(missing_docs)] // the tables of the dialects show their meaning
pub enum Slot {
    // The kind of work, one slot per dialect that has its own names.
    GenAiOperation,
    OpenInferenceKind,
    TraceloopKind,
    RequestType,
    VercelOperation,
    LangfuseType,
    MlflowType,
    LaminarType,
    LangSmithKind,
    // Who does the work.
    AgentName,
    WorkflowName,
    EntityName,
    DisplayName,
    RunName,
    Session,
    User,
    Customer,
    Tags,
    // Model calls.
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
    // Errors.
    ErrorType,
    ErrorMessage,
    Level,
    // A JSON object of LangChain and others, for values without a key of their own.
    Metadata,
}

impl Slot {
    /// The number of slots.
    pub const COUNT: usize = Self::Metadata as usize + 1;

    /// Whether the attribute is also kept in the step's metadata. The mapping
    /// normalizes these values, and the original must stay visible.
    pub fn keeps_raw_attribute(self) -> bool {
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
                | Self::Customer
                | Self::Tags
        )
    }
}

/// The key of an attribute, its slot, and its preference number. The lowest
/// number wins.
pub type AttributeKey = (&'static str, Slot, u8);

/// The side of a conversation that a message is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConversationSide {
    /// The input of the model.
    Input,
    /// The answer of the model.
    Output,
}

/// Splits a key `prefix.N.field`, which holds one field of one message, into
/// the side of the message and `N.field`.
pub fn split_indexed_key(key: &str) -> Option<(ConversationSide, &str)> {
    const FAMILIES: [(&str, ConversationSide); 7] = [
        ("llm.input_messages.", ConversationSide::Input),
        ("llm.output_messages.", ConversationSide::Output),
        ("gen_ai.prompt.", ConversationSide::Input),
        ("gen_ai.completion.", ConversationSide::Output),
        ("llm.prompts.", ConversationSide::Input),
        ("llm.completions.", ConversationSide::Output),
        ("llm.choices.", ConversationSide::Output),
    ];
    let (prefix, side) = FAMILIES
        .iter()
        .find(|(prefix, _)| key.starts_with(prefix))?;
    let rest = &key[prefix.len()..];
    rest.starts_with(|c: char| c.is_ascii_digit())
        .then_some((*side, rest))
}

/// Whether a key is from a vocabulary of other work than an agent's: web
/// servers and clients, databases, queues, remote calls.
///
/// An internal span of the application may have its HTTP route as an
/// attribute. The spans of web servers are never internal.
pub fn is_foreign(key: &str, kind: i32) -> bool {
    const FOREIGN: [&str; 6] = ["db.", "rpc.", "messaging.", "faas.", "graphql.", "asgi."];
    const FOREIGN_UNLESS_INTERNAL: [&str; 4] = ["http.", "url.", "net.", "aws."];
    let one_of = |prefixes: &[&str]| prefixes.iter().any(|prefix| key.starts_with(prefix));
    one_of(&FOREIGN) || kind != Span::KIND_INTERNAL && one_of(&FOREIGN_UNLESS_INTERNAL)
}

/// Whether only instrumentations of agents use this key.
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
    fn indexed_keys_need_an_index() {
        let found = split_indexed_key("llm.input_messages.12.message.role");
        assert_eq!(found, Some((ConversationSide::Input, "12.message.role")));
        assert_eq!(
            split_indexed_key("gen_ai.completion.0.role"),
            Some((ConversationSide::Output, "0.role"))
        );
        assert_eq!(split_indexed_key("gen_ai.prompt.template"), None);
        assert_eq!(split_indexed_key("gen_ai.prompt"), None);
    }
}
