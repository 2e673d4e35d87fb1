//! Laminar.
//!
//! Source: lmnr-ai/lmnr-python, `src/lmnr/opentelemetry_lib/tracing/attributes.py`.

use crate::ingest::otlp::map::class::{Classification, SpanClass};
use crate::ingest::otlp::map::slots::{AttributeKey, Slot};

pub const KEYS: &[AttributeKey] = &[
    ("lmnr.span.type", Slot::LaminarType, 0),
    ("lmnr.span.input", Slot::Input, 3),
    ("lmnr.span.output", Slot::Output, 3),
    ("lmnr.association.properties.session_id", Slot::Session, 16),
    ("lmnr.association.properties.user_id", Slot::User, 8),
    ("lmnr.association.properties.customer_id", Slot::Customer, 9),
    ("lmnr.association.properties.tags", Slot::Tags, 8),
];

/// Classifies a span by `lmnr.span.type`.
pub fn classify(kind: &str) -> Option<Classification> {
    Some(match kind.to_ascii_uppercase().as_str() {
        "LLM" => Classification::of(SpanClass::Llm),
        "TOOL" => Classification::of(SpanClass::Tool),
        "AGENT" => Classification::of(SpanClass::Agent),
        "DEFAULT" => Classification::with_kind(SpanClass::Workflow, "span"),
        other => Classification::with_source_kind(SpanClass::Other, other.to_ascii_lowercase()),
    })
}
