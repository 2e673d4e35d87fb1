//! The GenAI semantic conventions of OpenTelemetry in all versions, and the
//! extensions of Strands, OpenLLMetry, Microsoft and Google.
//!
//! Source: open-telemetry/semantic-conventions-genai, docs/gen-ai. The names
//! before 1.37 are from open-telemetry/semantic-conventions.

use crate::ingest::otlp::map::class::{Classification, SpanClass};
use crate::ingest::otlp::map::slots::{AttributeKey, Slot};

pub const KEYS: &[AttributeKey] = &[
    ("gen_ai.operation.name", Slot::GenAiOperation, 0),
    ("gen_ai.agent.name", Slot::AgentName, 0),
    ("gen_ai.workflow.name", Slot::WorkflowName, 0),
    ("gen_ai.task.name", Slot::EntityName, 1),
    ("gen_ai.conversation.id", Slot::Session, 2),
    ("session.id", Slot::Session, 0),
    ("runtraced.customer_id", Slot::Customer, 0),
    ("customer.id", Slot::Customer, 1),
    ("customer_id", Slot::Customer, 2),
    ("runtraced.tags", Slot::Tags, 0),
    ("gen_ai.tags", Slot::Tags, 3),
    ("gen_ai.request.tags", Slot::Tags, 4),
    ("tags", Slot::Tags, 9),
    ("user.id", Slot::User, 0),
    ("enduser.id", Slot::User, 1),
    ("gen_ai.user", Slot::User, 2),
    ("gen_ai.user.id", Slot::User, 2),
    ("gen_ai.request.model", Slot::RequestModel, 1),
    ("gen_ai.response.model", Slot::ResponseModel, 1),
    ("gen_ai.response.id", Slot::ResponseId, 0),
    ("gen_ai.input.messages", Slot::InputMessages, 0),
    ("gen_ai.output.messages", Slot::OutputMessages, 0),
    ("gen_ai.system_instructions", Slot::SystemInstructions, 0),
    // Up to 1.27, and in LangSmith: all messages as one JSON string.
    ("gen_ai.prompt", Slot::InputMessages, 3),
    ("gen_ai.completion", Slot::OutputMessages, 3),
    ("gen_ai.tool.name", Slot::ToolName, 0),
    ("gen_ai.tool.call.id", Slot::ToolCallId, 0),
    ("gen_ai.tool.call.arguments", Slot::ToolArguments, 0),
    ("gen_ai.tool.call.result", Slot::ToolResult, 0),
    ("gen_ai.tool.input", Slot::ToolArguments, 3),
    ("gen_ai.tool.output", Slot::ToolResult, 3),
    ("gen_ai.tool.status", Slot::ToolStatus, 0),
    ("gen_ai.usage.input_tokens", Slot::UsageInput, 1),
    ("gen_ai.usage.output_tokens", Slot::UsageOutput, 1),
    ("gen_ai.usage.total_tokens", Slot::UsageTotal, 1),
    ("gen_ai.usage.prompt_tokens", Slot::UsageInput, 5),
    ("gen_ai.usage.completion_tokens", Slot::UsageOutput, 5),
    ("gen_ai.aggregated_usage.input_tokens", Slot::UsageInput, 8),
    (
        "gen_ai.aggregated_usage.output_tokens",
        Slot::UsageOutput,
        8,
    ),
    (
        "gen_ai.usage.cache_read.input_tokens",
        Slot::UsageCacheRead,
        1,
    ),
    (
        "gen_ai.usage.cache_read_input_tokens",
        Slot::UsageCacheRead,
        2,
    ),
    (
        "gen_ai.usage.details.cache_read_tokens",
        Slot::UsageCacheRead,
        3,
    ),
    ("gen_ai.usage.cached_tokens", Slot::UsageCacheRead, 4),
    (
        "gen_ai.usage.cache_creation.input_tokens",
        Slot::UsageCacheWrite,
        1,
    ),
    (
        "gen_ai.usage.cache_write.input_tokens",
        Slot::UsageCacheWrite,
        2,
    ),
    (
        "gen_ai.usage.cache_creation_input_tokens",
        Slot::UsageCacheWrite,
        3,
    ),
    (
        "gen_ai.usage.cache_write_input_tokens",
        Slot::UsageCacheWrite,
        4,
    ),
    (
        "gen_ai.usage.details.cache_write_tokens",
        Slot::UsageCacheWrite,
        5,
    ),
    (
        "gen_ai.usage.reasoning.output_tokens",
        Slot::UsageReasoning,
        1,
    ),
    ("gen_ai.usage.reasoning_tokens", Slot::UsageReasoning, 2),
    (
        "gen_ai.usage.details.reasoning_tokens",
        Slot::UsageReasoning,
        3,
    ),
    ("error.type", Slot::ErrorType, 0),
    ("exception.message", Slot::ErrorMessage, 2),
    ("error.message", Slot::ErrorMessage, 1),
];

/// Classifies a span by `gen_ai.operation.name`.
pub fn classify(operation: &str) -> Option<Classification> {
    Some(match operation {
        "chat" | "generate_content" | "text_completion" | "completion" | "responses" => {
            Classification::of(SpanClass::Llm)
        }
        "embeddings" | "embedding" => Classification::with_kind(SpanClass::Embedding, "embedding"),
        "execute_tool" | "tool" => Classification::of(SpanClass::Tool),
        "invoke_agent" | "agent" => Classification::of(SpanClass::Agent),
        "invoke_workflow" | "invoke_graph" | "workflow" => {
            Classification::with_kind(SpanClass::Workflow, "workflow")
        }
        "handoff" => Classification::with_kind(SpanClass::Transfer, "handoff"),
        "retrieval" => Classification::with_kind(SpanClass::Other, "retriever"),
        "rerank" => Classification::with_kind(SpanClass::Other, "reranker"),
        _ => return None,
    })
}
