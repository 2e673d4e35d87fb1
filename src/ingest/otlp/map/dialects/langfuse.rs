//! Langfuse SDKs (v3 and later), which send OTLP to a path of their own.
//!
//! Source: langfuse/langfuse-python, `langfuse/_client/attributes.py`.

use crate::ingest::otlp::map::class::{Classification, SpanClass};
use crate::ingest::otlp::map::slots::{AttributeKey, Slot};

pub const KEYS: &[AttributeKey] = &[
    ("langfuse.observation.type", Slot::LangfuseType, 0),
    ("langfuse.observation.input", Slot::Input, 0),
    ("langfuse.observation.output", Slot::Output, 0),
    ("langfuse.trace.input", Slot::Input, 8),
    ("langfuse.trace.output", Slot::Output, 8),
    ("langfuse.trace.name", Slot::RunName, 0),
    ("langfuse.session.id", Slot::Session, 1),
    ("langfuse.user.id", Slot::User, 1),
    ("langfuse.trace.tags", Slot::Tags, 1),
    ("langfuse.tags", Slot::Tags, 2),
    ("langfuse.trace.metadata.customer_id", Slot::Customer, 4),
    ("langfuse.observation.model.name", Slot::ResponseModel, 0),
    ("langfuse.observation.usage_details", Slot::UsageJson, 0),
    ("langfuse.observation.level", Slot::Level, 0),
    ("langfuse.observation.status_message", Slot::ErrorMessage, 0),
];

/// Classifies a span by `langfuse.observation.type`.
pub fn classify(kind: &str) -> Option<Classification> {
    Some(match kind.to_ascii_lowercase().as_str() {
        "generation" => Classification::of(SpanClass::Llm),
        "embedding" => Classification::with_kind(SpanClass::Embedding, "embedding"),
        "agent" => Classification::of(SpanClass::Agent),
        "tool" => Classification::of(SpanClass::Tool),
        "chain" => Classification::with_kind(SpanClass::Workflow, "chain"),
        "span" => Classification::with_kind(SpanClass::Workflow, "span"),
        other => Classification::with_source_kind(SpanClass::Other, other.to_owned()),
    })
}
