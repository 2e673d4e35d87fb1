//! MLflow tracing. Every value is JSON, even a plain string.
//!
//! Source: mlflow/mlflow, `mlflow/tracing/constant.py`, `mlflow/entities/span.py`.

use crate::ingest::otlp::map::class::{Classification, SpanClass};
use crate::ingest::otlp::map::slots::{AttributeKey, Slot};

pub const KEYS: &[AttributeKey] = &[
    ("mlflow.spanType", Slot::MlflowType, 0),
    ("mlflow.spanInputs", Slot::Input, 2),
    ("mlflow.spanOutputs", Slot::Output, 2),
    ("mlflow.llm.model", Slot::ResponseModel, 7),
    ("model", Slot::RequestModel, 9),
    ("mlflow.chat.tokenUsage", Slot::UsageJson, 1),
    ("mlflow.trace.session", Slot::Session, 11),
    ("mlflow.trace.user", Slot::User, 6),
    ("mlflow.trace.tags", Slot::Tags, 9),
];

/// Classifies a span by `mlflow.spanType`.
pub fn classify(kind: &str) -> Option<Classification> {
    Some(match kind.trim_matches('"').to_ascii_uppercase().as_str() {
        "CHAT_MODEL" | "LLM" => Classification::of(SpanClass::Llm),
        "EMBEDDING" => Classification::with_kind(SpanClass::Embedding, "embedding"),
        "AGENT" => Classification::of(SpanClass::Agent),
        "TOOL" => Classification::of(SpanClass::Tool),
        "CHAIN" | "WORKFLOW" => Classification::with_kind(SpanClass::Workflow, "chain"),
        other => Classification::with_source_kind(SpanClass::Other, other.to_ascii_lowercase()),
    })
}
