//! OpenLLMetry (Traceloop), old and new. Since 0.6x it writes the conventions'
//! keys; the older ones are still in use.
//!
//! Source: traceloop/openllmetry, `opentelemetry-semantic-conventions-ai`.

use crate::ingest::otlp::map::class::{Class, Work};
use crate::ingest::otlp::map::slots::{Key, Slot};

pub const KEYS: &[Key] = &[
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
    ("llm.usage.total_tokens", Slot::UsageTotal, 4),
    ("llm.usage.prompt_tokens", Slot::UsageInput, 6),
    ("llm.usage.completion_tokens", Slot::UsageOutput, 6),
    ("llm.request.model", Slot::RequestModel, 6),
    ("llm.response.model", Slot::ResponseModel, 6),
];

/// The kinds of work, by `traceloop.span.kind`.
pub fn work(kind: &str) -> Option<Work> {
    Some(match kind.to_ascii_lowercase().as_str() {
        "workflow" => Work::kind(Class::Workflow, "workflow"),
        "agent" => Work::of(Class::Agent),
        "tool" => Work::of(Class::Tool),
        "handoff" => Work::kind(Class::Transfer, "handoff"),
        "task" => Work::kind(Class::Other, "task"),
        "llm" => Work::of(Class::Llm),
        _ => return None,
    })
}

/// The kinds of work, by `llm.request.type` (also litellm's).
pub fn request(kind: &str) -> Option<Work> {
    Some(match kind.to_ascii_lowercase().as_str() {
        "chat" | "completion" | "acompletion" | "responses" | "aresponses" => Work::of(Class::Llm),
        "embedding" | "aembedding" | "embeddings" => Work::kind(Class::Embedding, "embedding"),
        "rerank" => Work::kind(Class::Other, "reranker"),
        _ => return None,
    })
}
