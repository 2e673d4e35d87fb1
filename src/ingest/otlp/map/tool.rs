//! What a tool was called with and what it gave back, freed from the wrappers
//! that frameworks put around them.

use serde_json::{Map, Value};

use super::dialects::{Dialect, lang_graph};
use super::facts::Facts;
use super::messages::text_of;
use super::python;
use super::slots::Slot;
use super::span_events;
use super::value;
use crate::ingest::otlp::wire;

/// The tool that a LangGraph node was made to call.
pub fn name_in_node(facts: &Facts<'_>) -> Option<String> {
    let input = facts.json(Slot::Input)?;
    let name = lang_graph::only_call(&input)?.get("name")?;
    name.as_str().map(str::to_owned)
}

/// The arguments and the result of a call.
pub fn call(facts: &Facts<'_>) -> (Option<Value>, Option<Value>) {
    if lang_graph::is_call_node(facts) {
        // What came of it, the tool's own span knows better.
        let input = facts.json(Slot::Input);
        let call = input.as_ref().and_then(lang_graph::only_call);
        return (call.and_then(|call| call.get("args")).cloned(), None);
    }
    let (event_arguments, event_result) = span_events::tool(facts.span);
    let from = |slots: [Slot; 2]| slots.iter().find_map(|slot| facts.value(*slot)).map(told);
    let mut arguments = from([Slot::ToolArguments, Slot::Input]).or(event_arguments);
    if lang_graph::call_node(facts).is_some() && arguments.as_ref().is_some_and(Value::is_string) {
        // LangChain shows the bare value of a single argument; the node's view
        // has it by name.
        arguments = None;
    }
    let result = from([Slot::ToolResult, Slot::Output]).or(event_result);
    let result = result.map(result_of).map(|result| match facts.dialect {
        Dialect::Adk => adk_result(result),
        _ => result,
    });
    (arguments.map(arguments_of), result)
}

/// ADK puts what is no object into one.
fn adk_result(value: Value) -> Value {
    match value {
        Value::Object(mut object) if object.len() == 1 && object.contains_key("result") => {
            object.remove("result").unwrap_or(Value::Null)
        }
        other => other,
    }
}

/// Some put JSON into JSON.
fn told(attribute: &wire::Value<'_>) -> Value {
    match value::parsed(attribute) {
        Value::String(text) => value::parse(&text),
        other => other,
    }
}

/// Python's `(*args, **kwargs)` and LangChain's `input_str` around the arguments.
fn arguments_of(value: Value) -> Value {
    match value {
        Value::Object(mut object) => {
            let only_calls = object
                .keys()
                .all(|key| matches!(key.as_str(), "args" | "kwargs"));
            if only_calls && let Some(kwargs) = object.remove("kwargs") {
                let empty = kwargs.as_object().is_some_and(Map::is_empty);
                return match object.remove("args") {
                    Some(args) if empty && args != Value::Array(Vec::new()) => args,
                    _ => kwargs,
                };
            }
            if let Some(Value::String(text)) = object.get("input_str") {
                return python::literal(text).unwrap_or(Value::Object(object));
            }
            Value::Object(object)
        }
        Value::String(text) if text.starts_with(['{', '[', '(']) => {
            python::literal(&text).unwrap_or(Value::String(text))
        }
        other => other,
    }
}

fn result_of(value: Value) -> Value {
    if let Some(raw) = value
        .get("raw_output")
        .filter(|_| value.get("raw_input").is_some())
    {
        // LlamaIndex.
        return raw.clone();
    }
    if is_text_blocks(&value) {
        return Value::String(text_of(&value));
    }
    let inner = lang_chain_content(&value).or_else(|| lang_chain_content(value.get("output")?));
    inner.unwrap_or(value)
}

/// Bedrock's and MCP's form of a text.
fn is_text_blocks(value: &Value) -> bool {
    let is_text = |block: &Value| {
        let object = block.as_object();
        object.is_some_and(|object| {
            let keys = object
                .keys()
                .all(|key| matches!(key.as_str(), "text" | "type"));
            keys && object.get("text").is_some_and(Value::is_string)
        })
    };
    value
        .as_array()
        .is_some_and(|blocks| !blocks.is_empty() && blocks.iter().all(is_text))
}

/// LangChain's tool message around a result.
fn lang_chain_content(value: &Value) -> Option<Value> {
    let inner = if value.get("type").and_then(Value::as_str) == Some("tool") {
        value.get("data")?
    } else if value.get("lc").is_some() {
        value.get("kwargs")?
    } else {
        return None;
    };
    let content = inner.get("content")?;
    Some(match content {
        Value::String(text) => value::parse(text),
        other => other.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_lose_their_wrappers() {
        let want = json!({"order_id": "9999"});
        for wrapped in [
            json!({"args": [], "kwargs": {"order_id": "9999"}}),
            json!({"kwargs": {"order_id": "9999"}}),
            json!({"input_str": "{'order_id': '9999'}", "tags": []}),
            json!("{'order_id': '9999'}"),
            want.clone(),
        ] {
            assert_eq!(arguments_of(wrapped), want);
        }
        assert_eq!(arguments_of(json!({"args": [1], "kwargs": {}})), json!([1]));
        assert_eq!(arguments_of(json!("INV-42")), json!("INV-42"));
    }

    #[test]
    fn results_lose_their_wrappers() {
        let want = json!("18°C");
        for wrapped in [
            json!({"type": "tool", "data": {"content": "18°C"}}),
            json!({"output": {"lc": 1, "kwargs": {"content": "18°C"}}}),
            json!({"raw_input": {}, "raw_output": "18°C"}),
            want.clone(),
        ] {
            assert_eq!(result_of(wrapped), want);
        }
        let own = json!({"output": {"content": 1}});
        assert_eq!(result_of(own.clone()), own);
    }
}
