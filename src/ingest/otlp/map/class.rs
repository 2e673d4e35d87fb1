//! Classifies spans by the kind of work that they describe.

use std::borrow::Cow;

use super::dialects::{
    Dialect, adk, anthropic_sdk, genai, laminar, langfuse, langsmith, litellm, mlflow,
    openinference_rules, openllmetry, vercel,
};
use super::facts::SpanFacts;
use super::slots::Slot;
use crate::ingest::otlp::wire::Span;

/// The kind of work that a span describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanClass {
    /// A call of a model. Only model and embedding calls use tokens.
    Llm,
    /// A call of an embedding model.
    Embedding,
    /// A call of a tool.
    Tool,
    /// An agent.
    Agent,
    /// A handoff from one agent to another, which has a span of its own.
    Transfer,
    /// A span that groups others: a workflow, a chain, a span of the application.
    Workflow,
    /// Any other work of an agent.
    Other,
    /// Work that is not an agent's: web, databases, queues.
    Foreign,
}

/// A class and the more specific kind that the source names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classification {
    /// The class.
    pub class: SpanClass,
    /// The value of `agent_steps.kind`.
    pub kind: Option<Cow<'static, str>>,
}

impl Classification {
    /// A class without a more specific kind.
    pub fn of(class: SpanClass) -> Self {
        Self { class, kind: None }
    }

    /// A class and one of our kinds.
    pub fn with_kind(class: SpanClass, kind: &'static str) -> Self {
        Self {
            class,
            kind: Some(kind.into()),
        }
    }

    /// A class and a kind in the words of the source.
    pub fn with_source_kind(class: SpanClass, kind: String) -> Self {
        Self {
            class,
            kind: Some(kind.into()),
        }
    }
}

/// Classifies a span: by the kind that it declares, the most specific dialect
/// first; else by attributes that only one kind of work has; else by the span's
/// OTLP kind.
pub fn classify(facts: &SpanFacts<'_>) -> Classification {
    let name = facts.span.name;
    if facts.dialect == Dialect::Adk && adk::is_merged_tool(name) {
        return Classification::with_kind(SpanClass::Other, "merged_tools");
    }
    if facts.dialect == Dialect::Adk && facts.str(Slot::ToolName) == Some(adk::TRANSFER_TOOL) {
        return Classification::with_kind(SpanClass::Transfer, "handoff");
    }
    if facts.dialect == Dialect::Litellm && name == litellm::RAW_REQUEST {
        return Classification::with_kind(SpanClass::Other, "raw_request");
    }
    if facts.scope.starts_with(anthropic_sdk::SCOPE_PREFIX)
        && !facts.has(Slot::ResponseId)
        && facts.has_parent()
    {
        // A failed attempt. Nothing links it to the call that it belongs to.
        return Classification::with_kind(SpanClass::Other, "request");
    }
    declared(facts)
        .or_else(|| implied_by_attributes(facts))
        .unwrap_or_else(|| fallback(facts))
}

/// The class that the span declares.
fn declared(facts: &SpanFacts<'_>) -> Option<Classification> {
    let word = |slot| facts.str(slot);
    word(Slot::OpenInferenceKind)
        .and_then(|kind| openinference_rules::classify(kind, facts))
        .or_else(|| {
            let named = facts.has(Slot::AgentName);
            word(Slot::VercelOperation).and_then(|operation| vercel::classify(operation, named))
        })
        .or_else(|| word(Slot::LangfuseType).and_then(langfuse::classify))
        .or_else(|| word(Slot::MlflowType).and_then(mlflow::classify))
        .or_else(|| {
            let classification = word(Slot::LaminarType).and_then(laminar::classify);
            // Laminar's DEFAULT is not specific: prefer the GenAI operation.
            classification.filter(|classification| {
                classification.class != SpanClass::Workflow || !facts.has(Slot::GenAiOperation)
            })
        })
        .or_else(|| word(Slot::LangSmithKind).and_then(langsmith::classify))
        .or_else(|| word(Slot::GenAiOperation).and_then(genai::classify))
        .or_else(|| word(Slot::TraceloopKind).and_then(openllmetry::classify))
        .or_else(|| word(Slot::RequestType).and_then(openllmetry::classify_request_type))
        .or_else(|| {
            let operation = word(Slot::GenAiOperation)?;
            Some(Classification::with_source_kind(
                SpanClass::Other,
                operation.to_owned(),
            ))
        })
}

/// The class whose attributes the span has, although it declares none.
fn implied_by_attributes(facts: &SpanFacts<'_>) -> Option<Classification> {
    if facts.has(Slot::ToolArguments) || facts.has(Slot::ToolResult) {
        return Some(Classification::of(SpanClass::Tool));
    }
    let model = facts.has(Slot::RequestModel) || facts.has(Slot::ResponseModel);
    let spoke = facts.has(Slot::OutputMessages) || facts.has_output_messages();
    if model && (spoke || facts.has(Slot::UsageOutput)) {
        return Some(Classification::of(SpanClass::Llm));
    }
    if facts.has(Slot::AgentName) && facts.span.name.starts_with("invoke_agent") {
        return Some(Classification::of(SpanClass::Agent));
    }
    None
}

fn fallback(facts: &SpanFacts<'_>) -> Classification {
    // Other kinds are the ends of remote calls and queues.
    let remote = facts.span.kind > Span::KIND_INTERNAL;
    if !facts.agentic && (remote || facts.is_foreign()) {
        return Classification::of(SpanClass::Foreign);
    }
    // A span of the application.
    Classification::with_kind(SpanClass::Workflow, "span")
}
