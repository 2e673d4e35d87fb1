//! The rules of OpenInference and of the SDKs that it instruments.
//!
//! Source: Arize-ai/openinference, `spec/semantic_conventions.md`.

use crate::ingest::otlp::map::class::{Classification, SpanClass};
use crate::ingest::otlp::map::dialects::lang_graph;
use crate::ingest::otlp::map::facts::SpanFacts;
use crate::ingest::otlp::map::slots::Slot;

/// Classifies a span by `openinference.span.kind`. Some instrumentations use a
/// kind for something else; the other facts of the span then decide.
pub fn classify(kind: &str, facts: &SpanFacts<'_>) -> Option<Classification> {
    let name = facts.span.name;
    Some(match kind.to_ascii_uppercase().as_str() {
        // LlamaIndex marks the step that builds the request as a model call.
        "LLM" if name.contains("._prepare_chat") => {
            Classification::with_kind(SpanClass::Other, "prompt")
        }
        "LLM" => Classification::of(SpanClass::Llm),
        "EMBEDDING" => Classification::with_kind(SpanClass::Embedding, "embedding"),
        // In openai-agents, a handoff is a tool that runs no function.
        "TOOL" if transfer_target(facts).is_some() => {
            Classification::with_kind(SpanClass::Transfer, "handoff")
        }
        "TOOL" => Classification::of(SpanClass::Tool),
        // LangChain infers AGENT from a name, such as that of the tool ask_billing_agent.
        "AGENT" if facts.has(Slot::ToolName) => Classification::of(SpanClass::Tool),
        "CHAIN" if lang_graph::is_call_node(facts) => Classification::of(SpanClass::Tool),
        "AGENT" | "CHAIN" if lang_graph::is_created_agent(facts) => {
            Classification::of(SpanClass::Agent)
        }
        "AGENT" if lang_graph::is_agent_node(facts) => {
            Classification::with_kind(SpanClass::Other, "node")
        }
        // In openai-agents, the span of the whole trace, above its agents.
        "AGENT" if is_agents_workflow(facts) => {
            Classification::with_kind(SpanClass::Workflow, "workflow")
        }
        "AGENT" => Classification::of(SpanClass::Agent),
        "CHAIN" if is_llama_index_agent(facts) => Classification::of(SpanClass::Agent),
        "CHAIN" => Classification::with_kind(SpanClass::Workflow, "chain"),
        "UNKNOWN" => return None,
        other => Classification::with_source_kind(SpanClass::Other, other.to_ascii_lowercase()),
    })
}

/// The agent of a LlamaIndex workflow step, from the object that it prints as
/// its input.
pub fn llama_index_agent<'a>(facts: &SpanFacts<'a>) -> Option<&'a str> {
    if !facts.scope.ends_with(".llama_index") {
        return None;
    }
    let printed = facts.str(Slot::Input)?;
    let (_, rest) = printed.split_once("current_agent_name='")?;
    rest.split_once('\'').map(|(name, _)| name)
}

fn is_agents_workflow(facts: &SpanFacts<'_>) -> bool {
    let agents = facts.scope.contains("openai_agents") || facts.scope.contains("openai-agents");
    agents && !facts.has(Slot::AgentName)
}

fn is_llama_index_agent(facts: &SpanFacts<'_>) -> bool {
    facts.scope.ends_with(".llama_index")
        && facts
            .span
            .name
            .strip_suffix(".run")
            .is_some_and(|class| class.ends_with("Agent") || class.ends_with("AgentWorkflow"))
}

/// The target agent of an openai-agents handoff: the span name `handoff to X`
/// in Python, the tool name `handoff_to_X` in JavaScript.
pub fn transfer_target<'a>(facts: &SpanFacts<'a>) -> Option<&'a str> {
    let name = facts.span.name;
    let tool = facts.str(Slot::ToolName);
    match tool {
        None => name
            .strip_prefix("handoff to ")
            .or_else(|| name.strip_prefix("Handoff to ")),
        Some(tool) => tool
            .strip_prefix("handoff_to_")
            .or_else(|| tool.strip_prefix("handoff to ")),
    }
}
