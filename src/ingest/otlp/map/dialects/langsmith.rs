//! LangSmith's attributes for OTLP.
//!
//! Source: docs.langchain.com, "Trace with OpenTelemetry": supported attributes.

use crate::ingest::otlp::map::class::{Classification, SpanClass};
use crate::ingest::otlp::map::slots::{AttributeKey, Slot};

pub const KEYS: &[AttributeKey] = &[
    ("langsmith.span.kind", Slot::LangSmithKind, 0),
    ("langsmith.trace.name", Slot::RunName, 1),
    ("langsmith.trace.session_id", Slot::Session, 12),
    ("langsmith.metadata.session_id", Slot::Session, 13),
    ("langsmith.metadata.thread_id", Slot::Session, 14),
    ("langsmith.metadata.conversation_id", Slot::Session, 15),
    ("langsmith.metadata.user_id", Slot::User, 7),
    ("langsmith.metadata.customer_id", Slot::Customer, 5),
    ("langsmith.span.tags", Slot::Tags, 5),
    ("langsmith.metadata.tags", Slot::Tags, 6),
    ("langsmith.tags", Slot::Tags, 7),
    ("langsmith.metadata.ls_model_name", Slot::RequestModel, 7),
    ("langsmith.metadata.lc_agent_name", Slot::AgentName, 8),
];

/// Classifies a span by `langsmith.span.kind`.
pub fn classify(kind: &str) -> Option<Classification> {
    Some(match kind.to_ascii_lowercase().as_str() {
        "llm" => Classification::of(SpanClass::Llm),
        "embedding" => Classification::with_kind(SpanClass::Embedding, "embedding"),
        "tool" => Classification::of(SpanClass::Tool),
        "agent" => Classification::of(SpanClass::Agent),
        "chain" => Classification::with_kind(SpanClass::Workflow, "chain"),
        other => Classification::with_source_kind(SpanClass::Other, other.to_owned()),
    })
}
