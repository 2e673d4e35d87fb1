//! The agents of LangChain and the nodes of LangGraph, as OpenInference's
//! instrumentation writes them. The JSON in `metadata` says what a span is.

use serde_json::Value;

use crate::ingest::otlp::map::facts::SpanFacts;
use crate::ingest::otlp::map::slots::Slot;

fn is_lang_chain(facts: &SpanFacts<'_>) -> bool {
    facts.scope.ends_with(".langchain")
}

/// Whether a span is the node around a sub-agent. LangGraph gives both the same
/// name, and the instrumentation marks both as agents. Only the agent's own span
/// has `lc_agent_name`.
pub fn is_agent_node(facts: &SpanFacts<'_>) -> bool {
    is_lang_chain(facts)
        && facts.metadata_text("langgraph_node").as_deref() == Some(facts.span.name)
        && facts.metadata_text("lc_agent_name").is_none()
}

/// Whether a span is an agent of LangChain's `create_agent`. The agent is not a
/// node of its own graph. Its span may have any name.
pub fn is_created_agent(facts: &SpanFacts<'_>) -> bool {
    is_lang_chain(facts)
        && facts.metadata_text("ls_integration").as_deref() == Some("langchain_create_agent")
        && facts.metadata_text("lc_agent_name").is_some()
        && facts.metadata_text("langgraph_node").is_none()
}

/// Whether a span is a node that LangGraph made for one tool call.
///
/// The node has the name, id and arguments of the call. The tool's own span
/// below it has only the bare value of the argument, and the result.
pub fn is_call_node(facts: &SpanFacts<'_>) -> bool {
    is_pushed(facts)
        && facts
            .json(Slot::Input)
            .as_ref()
            .and_then(only_call)
            .is_some()
}

/// The span id of the node of a tool call. Both spans of the call have it: the
/// node as its own id, the tool as its parent.
pub fn call_node<'a>(facts: &SpanFacts<'a>) -> Option<&'a [u8]> {
    if !is_pushed(facts) {
        return None;
    }
    let span = facts.span;
    Some(if facts.has(Slot::ToolName) {
        span.parent_span_id
    } else {
        span.span_id
    })
}

/// The tool call that a node was made for, from its input.
pub fn only_call(input: &Value) -> Option<&Value> {
    let [call] = input.as_array()?.as_slice() else {
        return None;
    };
    (call.get("type")?.as_str()? == "tool_call").then_some(call)
}

/// Whether a message (`Send`) started the node, and not an edge of the graph.
fn is_pushed(facts: &SpanFacts<'_>) -> bool {
    let path = is_lang_chain(facts)
        .then(|| facts.metadata_field("langgraph_path"))
        .flatten();
    path.and_then(|path| path.get(0)).and_then(Value::as_str) == Some("__pregel_push")
}
