//! LangSmith's attributes for OTLP.
//!
//! Source: docs.langchain.com, "Trace with OpenTelemetry": supported attributes.

use crate::ingest::otlp::map::class::{Class, Work};
use crate::ingest::otlp::map::slots::{Key, Slot};

pub const KEYS: &[Key] = &[
    ("langsmith.span.kind", Slot::LangSmithKind, 0),
    ("langsmith.trace.name", Slot::RunName, 1),
    ("langsmith.trace.session_id", Slot::Session, 12),
    ("langsmith.metadata.session_id", Slot::Session, 13),
    ("langsmith.metadata.thread_id", Slot::Session, 14),
    ("langsmith.metadata.conversation_id", Slot::Session, 15),
    ("langsmith.metadata.user_id", Slot::User, 7),
    ("langsmith.metadata.ls_model_name", Slot::RequestModel, 7),
    ("langsmith.metadata.lc_agent_name", Slot::AgentName, 8),
];

/// The kinds of work, by `langsmith.span.kind`.
pub fn work(kind: &str) -> Option<Work> {
    Some(match kind.to_ascii_lowercase().as_str() {
        "llm" => Work::of(Class::Llm),
        "embedding" => Work::kind(Class::Embedding, "embedding"),
        "tool" => Work::of(Class::Tool),
        "agent" => Work::of(Class::Agent),
        "chain" => Work::kind(Class::Workflow, "chain"),
        other => Work::named(Class::Other, other.to_owned()),
    })
}
