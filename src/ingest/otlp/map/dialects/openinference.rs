//! The keys of OpenInference, which instruments openai-agents, LangChain and
//! LangGraph, Anthropic, OpenAI, agno, LlamaIndex, smolagents, CrewAI and others.
//!
//! Source: Arize-ai/openinference, `spec/semantic_conventions.md`.

use crate::ingest::otlp::map::slots::{AttributeKey, Slot};

pub const KEYS: &[AttributeKey] = &[
    ("openinference.span.kind", Slot::OpenInferenceKind, 0),
    ("tag.tags", Slot::Tags, 2),
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
