//! The Vercel AI SDK, version 6 and before (`ai.*`). Version 7 writes the
//! conventions' keys.
//!
//! Source: vercel/ai, `content/docs/03-ai-sdk-core/60-telemetry.mdx`.

use crate::ingest::otlp::map::class::{Class, Work};
use crate::ingest::otlp::map::slots::{Key, Slot};

pub const KEYS: &[Key] = &[
    ("ai.operationId", Slot::VercelOperation, 0),
    ("ai.telemetry.functionId", Slot::AgentName, 2),
    ("ai.telemetry.metadata.sessionId", Slot::Session, 6),
    ("ai.telemetry.metadata.session_id", Slot::Session, 7),
    ("ai.telemetry.metadata.threadId", Slot::Session, 8),
    ("ai.telemetry.metadata.chatId", Slot::Session, 9),
    ("ai.telemetry.metadata.conversationId", Slot::Session, 10),
    ("ai.telemetry.metadata.userId", Slot::User, 4),
    ("ai.telemetry.metadata.user_id", Slot::User, 5),
    ("ai.model.id", Slot::RequestModel, 3),
    ("ai.response.model", Slot::ResponseModel, 6),
    ("ai.response.id", Slot::ResponseId, 1),
    ("ai.prompt", Slot::Prompt, 0),
    ("ai.prompt.messages", Slot::InputMessages, 1),
    ("ai.response.text", Slot::ResponseText, 0),
    ("ai.response.object", Slot::ResponseText, 1),
    ("ai.response.toolCalls", Slot::ResponseToolCalls, 0),
    ("ai.response.reasoning", Slot::ResponseReasoning, 0),
    ("ai.toolCall.name", Slot::ToolName, 2),
    ("ai.toolCall.id", Slot::ToolCallId, 3),
    ("ai.toolCall.args", Slot::ToolArguments, 1),
    ("ai.toolCall.result", Slot::ToolResult, 1),
    ("ai.usage.inputTokens", Slot::UsageInput, 0),
    ("ai.usage.outputTokens", Slot::UsageOutput, 0),
    ("ai.usage.promptTokens", Slot::UsageInput, 4),
    ("ai.usage.completionTokens", Slot::UsageOutput, 4),
    ("ai.usage.tokens", Slot::UsageInput, 7),
    ("ai.usage.totalTokens", Slot::UsageTotal, 3),
    ("ai.usage.cachedInputTokens", Slot::UsageCacheRead, 8),
    (
        "ai.usage.inputTokenDetails.cacheReadTokens",
        Slot::UsageCacheRead,
        9,
    ),
    (
        "ai.usage.inputTokenDetails.cacheWriteTokens",
        Slot::UsageCacheWrite,
        7,
    ),
    ("ai.usage.reasoningTokens", Slot::UsageReasoning, 7),
    (
        "ai.usage.outputTokenDetails.reasoningTokens",
        Slot::UsageReasoning,
        8,
    ),
    ("ai.value", Slot::Input, 7),
    ("ai.values", Slot::Input, 7),
    ("operation.name", Slot::DisplayName, 9),
];

/// The kinds of work, by `ai.operationId`. The outer span of a call is the
/// agent's (it may loop over many calls), the inner one is the call itself.
pub fn work(operation: &str, named: bool) -> Option<Work> {
    let operation = operation.strip_prefix("ai.")?;
    Some(match operation {
        "toolCall" => Work::of(Class::Tool),
        _ if operation.ends_with(".doEmbed") => Work::kind(Class::Embedding, "embedding"),
        _ if operation.contains(".do") => Work::of(Class::Llm),
        "embed" | "embedMany" | "rerank" => Work::named(Class::Other, operation.to_owned()),
        _ if named => Work::of(Class::Agent),
        _ => Work::named(Class::Workflow, operation.to_owned()),
    })
}
