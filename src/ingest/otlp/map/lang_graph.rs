//! The nodes that LangGraph makes for tool calls, in any dialect.
//!
//! This is no data: a node and its tool are one step with the id of the node,
//! which one of them has as its own id and the other as its parent.

use serde_json::Value;

use super::facts::SpanFacts;
use super::slots::Slot;

/// How LangGraph begins the path of a node that a message (`Send`) started, and
/// not an edge of the graph.
const PUSHED: &str = r#"["__pregel_push""#;

/// Whether a span is a node that LangGraph made for one tool call.
///
/// The node has the name, id and arguments of the call. The tool's own span
/// below it has only the bare value of the argument, and the result.
pub fn is_call_node(facts: &SpanFacts<'_>) -> bool {
    is_pushed(facts)
        && !facts.has(Slot::ToolName)
        && input(facts).as_ref().and_then(only_call).is_some()
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

/// The input of a node, without the wrappers that instrumentations put around it.
pub fn input(facts: &SpanFacts<'_>) -> Option<Value> {
    Some(match facts.json(Slot::Input)? {
        Value::Object(mut object) if object.len() == 1 && object.contains_key("input") => {
            object.remove("input")?
        }
        other => other,
    })
}

/// The tool call that a node was made for, from its input.
pub fn only_call(input: &Value) -> Option<&Value> {
    let [call] = input.as_array()?.as_slice() else {
        return None;
    };
    (call.get("type")?.as_str()? == "tool_call").then_some(call)
}

fn is_pushed(facts: &SpanFacts<'_>) -> bool {
    let path = facts.value(Slot::GraphPath).map(super::value::text);
    path.is_some_and(|path| path.starts_with(PUSHED))
}
