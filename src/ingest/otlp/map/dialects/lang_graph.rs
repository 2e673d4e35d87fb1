//! LangChain's agents and LangGraph's nodes, as OpenInference's instrumentation
//! shows them: what a span is stands in the JSON of its `metadata`.

use serde_json::Value;

use crate::ingest::otlp::map::facts::Facts;
use crate::ingest::otlp::map::slots::Slot;

fn is_lang_chain(facts: &Facts<'_>) -> bool {
    facts.scope.ends_with(".langchain")
}

/// LangGraph wraps a sub-agent in a node of the same name, and the
/// instrumentation calls both an agent; the node has no agent's name in its metadata.
pub fn is_agent_node(facts: &Facts<'_>) -> bool {
    is_lang_chain(facts)
        && facts.meta_text("langgraph_node").as_deref() == Some(facts.span.name)
        && facts.meta_text("lc_agent_name").is_none()
}

/// LangChain's `create_agent`, whatever its span is called: it is no node of
/// the graph that it makes.
pub fn is_created_agent(facts: &Facts<'_>) -> bool {
    is_lang_chain(facts)
        && facts.meta_text("ls_integration").as_deref() == Some("langchain_create_agent")
        && facts.meta_text("lc_agent_name").is_some()
        && facts.meta_text("langgraph_node").is_none()
}

/// A node that was made for one call of a tool. It knows the call's name, id
/// and arguments; the tool's own span below it knows the bare value and what
/// came of it.
pub fn is_call_node(facts: &Facts<'_>) -> bool {
    is_pushed(facts)
        && facts
            .json(Slot::Input)
            .as_ref()
            .and_then(only_call)
            .is_some()
}

/// The id that both spans of such a call can know: that of the node.
pub fn call_node<'a>(facts: &Facts<'a>) -> Option<&'a [u8]> {
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

/// The call that a node was made for.
pub fn only_call(input: &Value) -> Option<&Value> {
    let [call] = input.as_array()?.as_slice() else {
        return None;
    };
    (call.get("type")?.as_str()? == "tool_call").then_some(call)
}

/// Started by a message (`Send`), not by an edge of the graph.
fn is_pushed(facts: &Facts<'_>) -> bool {
    let path = is_lang_chain(facts)
        .then(|| facts.meta("langgraph_path"))
        .flatten();
    path.and_then(|path| path.get(0)).and_then(Value::as_str) == Some("__pregel_push")
}
