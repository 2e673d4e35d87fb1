//! OpenInference: openai-agents, LangChain/LangGraph, Anthropic, OpenAI, agno,
//! LlamaIndex, smolagents, CrewAI and others.
//!
//! Source: Arize-ai/openinference, `spec/semantic_conventions.md`.

use crate::ingest::otlp::map::class::{Class, Work};
use crate::ingest::otlp::map::dialects::lang_graph;
use crate::ingest::otlp::map::facts::Facts;
use crate::ingest::otlp::map::slots::{Key, Slot};

pub const KEYS: &[Key] = &[
    ("openinference.span.kind", Slot::OpenInferenceKind, 0),
    ("agent.name", Slot::AgentName, 1),
    ("graph.node.name", Slot::AgentName, 6),
    ("graph.node.id", Slot::AgentName, 7),
    ("llm.model_name", Slot::ResponseModel, 3),
    ("llm.request.model_name", Slot::RequestModel, 2),
    ("llm.response.model_name", Slot::ResponseModel, 2),
    ("embedding.model_name", Slot::ResponseModel, 4),
    ("reranker.model_name", Slot::ResponseModel, 5),
    ("input.value", Slot::Input, 1),
    ("input.mime_type", Slot::InputMime, 1),
    ("output.value", Slot::Output, 1),
    ("output.mime_type", Slot::OutputMime, 1),
    ("tool.name", Slot::ToolName, 1),
    ("tool.id", Slot::ToolCallId, 1),
    ("tool_call.id", Slot::ToolCallId, 2),
    ("tool_call.function.name", Slot::ToolName, 4),
    ("tool_call.function.arguments", Slot::ToolArguments, 4),
    ("llm.token_count.prompt", Slot::UsageInput, 2),
    ("llm.token_count.completion", Slot::UsageOutput, 2),
    ("llm.token_count.total", Slot::UsageTotal, 2),
    (
        "llm.token_count.prompt_details.cache_read",
        Slot::UsageCacheRead,
        6,
    ),
    (
        "llm.token_count.prompt_details.cache_input",
        Slot::UsageCacheRead,
        7,
    ),
    (
        "llm.token_count.prompt_details.cache_write",
        Slot::UsageCacheWrite,
        6,
    ),
    (
        "llm.token_count.completion_details.reasoning",
        Slot::UsageReasoning,
        6,
    ),
    ("llm.prompts", Slot::Prompt, 5),
    ("llm.invocation_parameters", Slot::Parameters, 0),
    ("metadata", Slot::Metadata, 0),
];

/// The kinds of work, by `openinference.span.kind`, and what some
/// instrumentations mean by it.
pub fn work(kind: &str, facts: &Facts<'_>) -> Option<Work> {
    let name = facts.span.name;
    Some(match kind.to_ascii_uppercase().as_str() {
        // LlamaIndex marks the making of the request as a call of the model.
        "LLM" if name.contains("._prepare_chat") => Work::kind(Class::Other, "prompt"),
        "LLM" => Work::of(Class::Llm),
        "EMBEDDING" => Work::kind(Class::Embedding, "embedding"),
        // openai-agents: a hand-off is a tool that runs no function.
        "TOOL" if transfer_target(facts).is_some() => Work::kind(Class::Transfer, "handoff"),
        "TOOL" => Work::of(Class::Tool),
        // LangChain guesses AGENT from a name: a tool called ask_billing_agent.
        "AGENT" if facts.has(Slot::ToolName) => Work::of(Class::Tool),
        "CHAIN" if lang_graph::is_call_node(facts) => Work::of(Class::Tool),
        "AGENT" | "CHAIN" if lang_graph::is_created_agent(facts) => Work::of(Class::Agent),
        "AGENT" if lang_graph::is_agent_node(facts) => Work::kind(Class::Other, "node"),
        // openai-agents: the trace itself, above its agents.
        "AGENT" if is_agents_workflow(facts) => Work::kind(Class::Workflow, "workflow"),
        "AGENT" => Work::of(Class::Agent),
        "CHAIN" if is_llama_index_agent(facts) => Work::of(Class::Agent),
        "CHAIN" => Work::kind(Class::Workflow, "chain"),
        "UNKNOWN" => return None,
        other => Work::named(Class::Other, other.to_ascii_lowercase()),
    })
}

/// The agent that LlamaIndex's workflow steps name in the objects they print.
pub fn llama_index_agent<'a>(facts: &Facts<'a>) -> Option<&'a str> {
    if !facts.scope.ends_with(".llama_index") {
        return None;
    }
    let printed = facts.str(Slot::Input)?;
    let (_, rest) = printed.split_once("current_agent_name='")?;
    rest.split_once('\'').map(|(name, _)| name)
}

fn is_agents_workflow(facts: &Facts<'_>) -> bool {
    let agents = facts.scope.contains("openai_agents") || facts.scope.contains("openai-agents");
    agents && !facts.has(Slot::AgentName)
}

fn is_llama_index_agent(facts: &Facts<'_>) -> bool {
    facts.scope.ends_with(".llama_index")
        && facts
            .span
            .name
            .strip_suffix(".run")
            .is_some_and(|class| class.ends_with("Agent") || class.ends_with("AgentWorkflow"))
}

/// The agent that a hand-off of openai-agents goes to: in Python
/// `handoff to X` with `output.value`, in JavaScript a tool `handoff_to_X`.
pub fn transfer_target<'a>(facts: &Facts<'a>) -> Option<&'a str> {
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
