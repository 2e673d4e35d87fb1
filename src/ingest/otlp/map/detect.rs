//! Detects the dialect that a span is written in.

use super::dialects::{Dialect, anthropic_sdk};
use super::slots::Slot;

/// Detects the dialect of a span by its scope, by whether it has an attribute
/// for a slot, and by whether any attribute is agentic.
pub fn detect_dialect(scope: &str, has: impl Fn(Slot) -> bool, agentic: bool) -> Dialect {
    if scope.starts_with(anthropic_sdk::SCOPE_PREFIX) {
        Dialect::AnthropicSdk
    } else if has(Slot::OpenInferenceKind) {
        Dialect::OpenInference
    } else if has(Slot::VercelOperation) {
        Dialect::Vercel
    } else if has(Slot::LangfuseType) {
        Dialect::Langfuse
    } else if has(Slot::MlflowType) {
        Dialect::Mlflow
    } else if has(Slot::LaminarType) {
        Dialect::Laminar
    } else if has(Slot::LangSmithKind) {
        Dialect::LangSmith
    } else if scope.starts_with("pydantic-ai") {
        Dialect::PydanticAi
    } else if scope.starts_with("logfire") {
        Dialect::Logfire
    } else if scope.starts_with("strands") {
        Dialect::Strands
    } else if scope.starts_with("gcp.vertex.agent") {
        Dialect::Adk
    } else if scope.starts_with("litellm") {
        Dialect::Litellm
    } else if has(Slot::TraceloopKind) || has(Slot::RequestType) || is_openllmetry_scope(scope) {
        Dialect::OpenLlmetry
    } else if agentic {
        Dialect::GenAi
    } else {
        Dialect::Unknown
    }
}

/// Whether a scope is one of OpenLLMetry's instrumentations.
///
/// They share their prefix with OpenTelemetry's own, which end in a version
/// (`openai_v2`) or are below `genai`.
fn is_openllmetry_scope(scope: &str) -> bool {
    scope
        .strip_prefix("opentelemetry.instrumentation.")
        .is_some_and(|rest| {
            let own = rest.starts_with("genai.") || rest.ends_with("_v2");
            let known = [
                "openai",
                "anthropic",
                "cohere",
                "mistralai",
                "groq",
                "langchain",
                "llamaindex",
                "crewai",
                "bedrock",
                "vertexai",
                "google_generativeai",
                "ollama",
                "together",
                "replicate",
                "haystack",
                "watsonx",
                "openai_agents",
                "mcp",
                "sagemaker",
                "transformers",
            ];
            !own && known.iter().any(|name| rest.starts_with(name))
        })
}
