//! OpenLLMetry (Traceloop). Since 0.6x it writes the keys of the GenAI
//! conventions; its older keys are still in use.
//!
//! Source: traceloop/openllmetry, `opentelemetry-semantic-conventions-ai`.

use crate::ingest::otlp::map::class::{Classification, SpanClass};
use crate::ingest::otlp::map::slots::{AttributeKey, Slot};

pub const KEYS: &[AttributeKey] = &[
    ("traceloop.span.kind", Slot::TraceloopKind, 0),
    ("llm.request.type", Slot::RequestType, 0),
    ("traceloop.entity.name", Slot::EntityName, 0),
    ("traceloop.workflow.name", Slot::WorkflowName, 1),
    ("traceloop.entity.input", Slot::Input, 4),
    ("traceloop.entity.output", Slot::Output, 4),
    ("gen_ai.task.input", Slot::Input, 6),
    ("gen_ai.task.output", Slot::Output, 6),
    (
        "traceloop.association.properties.session_id",
        Slot::Session,
        3,
    ),
    (
        "traceloop.association.properties.thread_id",
        Slot::Session,
        4,
    ),
    (
        "traceloop.association.properties.conversation_id",
        Slot::Session,
        5,
    ),
    ("traceloop.association.properties.user_id", Slot::User, 3),
    (
        "traceloop.association.properties.customer_id",
        Slot::Customer,
        8,
    ),
    ("traceloop.association.properties.tags", Slot::Tags, 8),
    ("llm.usage.total_tokens", Slot::UsageTotal, 4),
    ("llm.usage.prompt_tokens", Slot::UsageInput, 6),
    ("llm.usage.completion_tokens", Slot::UsageOutput, 6),
    ("llm.request.model", Slot::RequestModel, 6),
    ("llm.response.model", Slot::ResponseModel, 6),
];

/// Classifies a span by `traceloop.span.kind`.
pub fn classify(kind: &str) -> Option<Classification> {
    Some(match kind.to_ascii_lowercase().as_str() {
        "workflow" => Classification::with_kind(SpanClass::Workflow, "workflow"),
        "agent" => Classification::of(SpanClass::Agent),
        "tool" => Classification::of(SpanClass::Tool),
        "handoff" => Classification::with_kind(SpanClass::Transfer, "handoff"),
        "task" => Classification::with_kind(SpanClass::Other, "task"),
        "llm" => Classification::of(SpanClass::Llm),
        _ => return None,
    })
}

/// Classifies a span by `llm.request.type`, which litellm writes too.
pub fn classify_request_type(kind: &str) -> Option<Classification> {
    Some(match kind.to_ascii_lowercase().as_str() {
        "chat" | "completion" | "acompletion" | "responses" | "aresponses" => {
            Classification::of(SpanClass::Llm)
        }
        "embedding" | "aembedding" | "embeddings" => {
            Classification::with_kind(SpanClass::Embedding, "embedding")
        }
        "rerank" => Classification::with_kind(SpanClass::Other, "reranker"),
        _ => return None,
    })
}
