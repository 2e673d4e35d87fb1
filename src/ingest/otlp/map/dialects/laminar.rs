//! Laminar.
//!
//! Source: lmnr-ai/lmnr-python, `src/lmnr/opentelemetry_lib/tracing/attributes.py`.

use crate::ingest::otlp::map::class::{Class, Work};
use crate::ingest::otlp::map::slots::{Key, Slot};

pub const KEYS: &[Key] = &[
    ("lmnr.span.type", Slot::LaminarType, 0),
    ("lmnr.span.input", Slot::Input, 3),
    ("lmnr.span.output", Slot::Output, 3),
    ("lmnr.association.properties.session_id", Slot::Session, 16),
    ("lmnr.association.properties.user_id", Slot::User, 8),
];

/// The kinds of work, by `lmnr.span.type`.
pub fn work(kind: &str) -> Option<Work> {
    Some(match kind.to_ascii_uppercase().as_str() {
        "LLM" => Work::of(Class::Llm),
        "TOOL" => Work::of(Class::Tool),
        "AGENT" => Work::of(Class::Agent),
        "DEFAULT" => Work::kind(Class::Workflow, "span"),
        other => Work::named(Class::Other, other.to_ascii_lowercase()),
    })
}
