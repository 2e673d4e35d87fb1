//! What kind of work a span is.

use std::borrow::Cow;

use super::dialects::{
    Dialect, adk, anthropic_sdk, genai, laminar, langfuse, langsmith, litellm, mlflow,
    openinference, openllmetry, vercel,
};
use super::facts::Facts;
use super::slots::Slot;

/// The kinds of work that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// One call of a model. Only these (and embeddings) spend tokens.
    Llm,
    /// One call of an embedding model.
    Embedding,
    /// One call of a tool.
    Tool,
    /// An agent at work.
    Agent,
    /// One agent hands over to another; the other's own span is apart.
    Transfer,
    /// What holds others together: a workflow, a chain, a span of the application.
    Workflow,
    /// Anything else that an agent does.
    Other,
    /// Not an agent's work: web, databases, queues.
    Foreign,
}

/// A class and the source's finer word for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The class.
    pub class: Class,
    /// `agent_steps.kind`.
    pub kind: Option<Cow<'static, str>>,
}

impl Work {
    /// A class that needs no finer word.
    pub fn of(class: Class) -> Self {
        Self { class, kind: None }
    }

    /// A class and its word.
    pub fn kind(class: Class, kind: &'static str) -> Self {
        Self {
            class,
            kind: Some(kind.into()),
        }
    }

    /// A class in the source's own word.
    pub fn named(class: Class, kind: String) -> Self {
        Self {
            class,
            kind: Some(kind.into()),
        }
    }
}

/// OTLP's kind of spans that stay within a process; all others are the ends of
/// remote calls and queues.
const INTERNAL: i32 = 1;

/// Tells the kind of work: by what names it outright, in the words of the most
/// particular dialect first; by what only such work has; by the span's kind.
pub fn classify(facts: &Facts<'_>) -> Work {
    let name = facts.span.name;
    if facts.dialect == Dialect::Adk && adk::is_merged_tool(name) {
        return Work::kind(Class::Other, "merged_tools");
    }
    if facts.dialect == Dialect::Adk && facts.str(Slot::ToolName) == Some(adk::TRANSFER_TOOL) {
        return Work::kind(Class::Transfer, "handoff");
    }
    if facts.dialect == Dialect::Litellm && name == litellm::RAW_REQUEST {
        return Work::kind(Class::Other, "raw_request");
    }
    if facts.scope.starts_with(anthropic_sdk::SCOPE_PREFIX)
        && !facts.has(Slot::ResponseId)
        && facts.has_parent()
    {
        // A failed attempt: nothing ties it to the call that it is part of.
        return Work::kind(Class::Other, "request");
    }
    said(facts)
        .or_else(|| implied(facts))
        .unwrap_or_else(|| unnamed(facts))
}

/// Named outright.
fn said(facts: &Facts<'_>) -> Option<Work> {
    let word = |slot| facts.str(slot);
    word(Slot::OpenInferenceKind)
        .and_then(|kind| openinference::work(kind, facts))
        .or_else(|| {
            let named = facts.has(Slot::AgentName);
            word(Slot::VercelOperation).and_then(|operation| vercel::work(operation, named))
        })
        .or_else(|| word(Slot::LangfuseType).and_then(langfuse::work))
        .or_else(|| word(Slot::MlflowType).and_then(mlflow::work))
        .or_else(|| {
            let work = word(Slot::LaminarType).and_then(laminar::work);
            // DEFAULT says nothing.
            work.filter(|work| work.class != Class::Workflow || !facts.has(Slot::GenAiOperation))
        })
        .or_else(|| word(Slot::LangSmithKind).and_then(langsmith::work))
        .or_else(|| word(Slot::GenAiOperation).and_then(genai::work))
        .or_else(|| word(Slot::TraceloopKind).and_then(openllmetry::work))
        .or_else(|| word(Slot::RequestType).and_then(openllmetry::request))
        .or_else(|| {
            let operation = word(Slot::GenAiOperation)?;
            Some(Work::named(Class::Other, operation.to_owned()))
        })
}

/// Not named, but nothing else has such attributes.
fn implied(facts: &Facts<'_>) -> Option<Work> {
    if facts.has(Slot::ToolArguments) || facts.has(Slot::ToolResult) {
        return Some(Work::of(Class::Tool));
    }
    let model = facts.has(Slot::RequestModel) || facts.has(Slot::ResponseModel);
    let spoke = facts.has(Slot::OutputMessages) || facts.has_output_messages();
    if model && (spoke || facts.has(Slot::UsageOutput)) {
        return Some(Work::of(Class::Llm));
    }
    if facts.has(Slot::AgentName) && facts.span.name.starts_with("invoke_agent") {
        return Some(Work::of(Class::Agent));
    }
    None
}

fn unnamed(facts: &Facts<'_>) -> Work {
    let remote = facts.span.kind > INTERNAL;
    if !facts.agentic && (remote || facts.is_foreign()) {
        return Work::of(Class::Foreign);
    }
    // A span that the application made for itself.
    Work::kind(Class::Workflow, "span")
}

/// Who wrote the span.
pub fn dialect(facts: &Facts<'_>) -> Dialect {
    let scope = facts.scope;
    let has = |slot| facts.has(slot);
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
    } else if has(Slot::TraceloopKind) || has(Slot::RequestType) || scope_is_openllmetry(scope) {
        Dialect::OpenLlmetry
    } else if facts.agentic {
        Dialect::GenAi
    } else {
        Dialect::Unknown
    }
}

/// OpenLLMetry's instrumentations share their prefix with OpenTelemetry's own,
/// which end in a version (`openai_v2`) or stand below `genai`.
fn scope_is_openllmetry(scope: &str) -> bool {
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
