//! MLflow tracing. Every value is JSON, plain strings too.
//!
//! Source: mlflow/mlflow, `mlflow/tracing/constant.py`, `mlflow/entities/span.py`.

use crate::ingest::otlp::map::class::{Class, Work};
use crate::ingest::otlp::map::slots::{Key, Slot};

pub const KEYS: &[Key] = &[
    ("mlflow.spanType", Slot::MlflowType, 0),
    ("mlflow.spanInputs", Slot::Input, 2),
    ("mlflow.spanOutputs", Slot::Output, 2),
    ("mlflow.llm.model", Slot::ResponseModel, 7),
    ("model", Slot::RequestModel, 9),
    ("mlflow.chat.tokenUsage", Slot::UsageJson, 1),
    ("mlflow.trace.session", Slot::Session, 11),
    ("mlflow.trace.user", Slot::User, 6),
];

/// The kinds of work, by `mlflow.spanType`.
pub fn work(kind: &str) -> Option<Work> {
    Some(match kind.trim_matches('"').to_ascii_uppercase().as_str() {
        "CHAT_MODEL" | "LLM" => Work::of(Class::Llm),
        "EMBEDDING" => Work::kind(Class::Embedding, "embedding"),
        "AGENT" => Work::of(Class::Agent),
        "TOOL" => Work::of(Class::Tool),
        "CHAIN" | "WORKFLOW" => Work::kind(Class::Workflow, "chain"),
        other => Work::named(Class::Other, other.to_ascii_lowercase()),
    })
}
