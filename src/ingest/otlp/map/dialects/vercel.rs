//! The Vercel AI SDK up to version 6 (`ai.*`). Version 7 writes the keys of the
//! GenAI conventions.
//!
//! Source: vercel/ai, `content/docs/03-ai-sdk-core/60-telemetry.mdx`.

use crate::ingest::otlp::map::class::{Classification, SpanClass};
use crate::ingest::otlp::map::slots::{AttributeKey, Slot};

pub const KEYS: &[AttributeKey] = &[
    ("ai.operationId", Slot::VercelOperation, 0),
    ("ai.telemetry.functionId", Slot::AgentName, 2),
    ("ai.telemetry.metadata.sessionId", Slot::Session, 6),
    ("ai.telemetry.metadata.session_id", Slot::Session, 7),
    ("ai.telemetry.metadata.threadId", Slot::Session, 8),
    ("ai.telemetry.metadata.chatId", Slot::Session, 9),
    ("ai.telemetry.metadata.conversationId", Slot::Session, 10),
    ("ai.telemetry.metadata.userId", Slot::User, 4),
    ("ai.telemetry.metadata.customerId", Slot::Customer, 6),
    ("ai.telemetry.metadata.customer_id", Slot::Customer, 7),
    ("ai.telemetry.metadata.tags", Slot::Tags, 6),
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

/// Classifies a span by `ai.operationId`. The outer span of a call is the
/// agent, which may loop over many calls; the inner span is the call. `named`
/// says whether the span names an agent.
pub fn classify(operation: &str, named: bool) -> Option<Classification> {
    let operation = operation.strip_prefix("ai.")?;
    Some(match operation {
        "toolCall" => Classification::of(SpanClass::Tool),
        _ if operation.ends_with(".doEmbed") => {
            Classification::with_kind(SpanClass::Embedding, "embedding")
        }
        _ if operation.contains(".do") => Classification::of(SpanClass::Llm),
        "embed" | "embedMany" | "rerank" => {
            Classification::with_source_kind(SpanClass::Other, operation.to_owned())
        }
        _ if named => Classification::of(SpanClass::Agent),
        _ => Classification::with_source_kind(SpanClass::Workflow, operation.to_owned()),
    })
}
