//! Langfuse SDKs (v3 and later), which speak OTLP to their own path.
//!
//! Source: langfuse/langfuse-python, `langfuse/_client/attributes.py`.

use crate::ingest::otlp::map::class::{Class, Work};
use crate::ingest::otlp::map::slots::{Key, Slot};

pub const KEYS: &[Key] = &[
    ("langfuse.observation.type", Slot::LangfuseType, 0),
    ("langfuse.observation.input", Slot::Input, 0),
    ("langfuse.observation.output", Slot::Output, 0),
    ("langfuse.trace.input", Slot::Input, 8),
    ("langfuse.trace.output", Slot::Output, 8),
    ("langfuse.trace.name", Slot::RunName, 0),
    ("langfuse.session.id", Slot::Session, 1),
    ("langfuse.user.id", Slot::User, 1),
    ("langfuse.observation.model.name", Slot::ResponseModel, 0),
    ("langfuse.observation.usage_details", Slot::UsageJson, 0),
    ("langfuse.observation.level", Slot::Level, 0),
    ("langfuse.observation.status_message", Slot::ErrorMessage, 0),
];

/// The kinds of work, by `langfuse.observation.type`.
pub fn work(kind: &str) -> Option<Work> {
    Some(match kind.to_ascii_lowercase().as_str() {
        "generation" => Work::of(Class::Llm),
        "embedding" => Work::kind(Class::Embedding, "embedding"),
        "agent" => Work::of(Class::Agent),
        "tool" => Work::of(Class::Tool),
        "chain" => Work::kind(Class::Workflow, "chain"),
        "span" => Work::kind(Class::Workflow, "span"),
        other => Work::named(Class::Other, other.to_owned()),
    })
}
