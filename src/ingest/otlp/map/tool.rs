//! What a tool was called with and what it gave back, freed from the wrappers
//! that frameworks put around them.

use serde_json::{Map, Value};

use super::dialects::{Dialect, lang_graph};
use super::facts::Facts;
use super::messages::text_of;
use super::python;
use super::slots::Slot;
use super::span_events;
use super::text::Fit;
use super::value;
use crate::event::Json;
use crate::ingest::otlp::wire;

/// The tool that a LangGraph node was made to call.
pub fn name_in_node(facts: &Facts<'_>) -> Option<String> {
    let input = facts.json(Slot::Input)?;
    let name = lang_graph::only_call(&input)?.get("name")?;
    name.as_str().map(str::to_owned)
}

/// The arguments and the result of a call.
pub fn call(facts: &Facts<'_>, fit: &mut Fit) -> (Option<Json>, Option<Json>) {
    if lang_graph::is_call_node(facts) {
        // What came of it, the tool's own span knows better.
        let input = facts.json(Slot::Input);
        let call = input.as_ref().and_then(lang_graph::only_call);
        let arguments = call.and_then(|call| call.get("args"));
        return (arguments.and_then(|arguments| fit.json(arguments)), None);
    }
    (arguments(facts, fit), result(facts, fit))
}

fn arguments(facts: &Facts<'_>, fit: &mut Fit) -> Option<Json> {
    let attribute = facts.first(&[Slot::ToolArguments, Slot::Input]);
    if let Some(json) = as_it_came(attribute, &[r#""kwargs""#, r#""input_s"#], fit) {
        return Some(json);
    }
    let told = attribute.map(told);
    let arguments = told.or_else(|| span_events::tool_arguments(facts.span))?;
    if lang_graph::call_node(facts).is_some() && arguments.is_string() {
        // LangChain shows the bare value of a single argument; the node's view
        // has it by name.
        return None;
    }
    fit.json(&arguments_of(arguments))
}

fn result(facts: &Facts<'_>, fit: &mut Fit) -> Option<Json> {
    let attribute = facts.first(&[Slot::ToolResult, Slot::Output]);
    let wrapped = [r#""raw_out"#, r#""text""#, r#""data""#, r#""lc""#];
    if facts.dialect != Dialect::Adk
        && let Some(json) = as_it_came(attribute, &wrapped, fit)
    {
        return Some(json);
    }
    let told = attribute.map(told);
    let result = result_of(told.or_else(|| span_events::tool_result(facts.span))?);
    match facts.dialect {
        Dialect::Adk => fit.json(&adk_result(result)),
        _ => fit.json(&result),
    }
}

/// A text that is an object or a list as JSON, without a tree being made of it: where it
/// holds none of the keys, or beginnings of keys, by which wrappers are known.
fn as_it_came(
    attribute: Option<&wire::Value<'_>>,
    wrapped: &[&str],
    fit: &mut Fit,
) -> Option<Json> {
    let Some(wire::Value::String(text)) = attribute else {
        return None;
    };
    let plain = text.trim_start().starts_with(['{', '['])
        && value::looks_like_json(text)
        && !wrapped.iter().any(|key| text.contains(key));
    plain.then(|| fit.whole_json(text)).flatten()
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

    /// What a tool's span with this input and this output tells.
    fn told_by(input: &str, output: &str) -> [Option<String>; 2] {
        let attribute = |(key, text)| wire::KeyValue {
            key,
            value: Some(wire::Value::String(text)),
        };
        let attributes = [("input.value", input), ("output.value", output)].map(attribute);
        let span = wire::Span {
            attributes: attributes.into(),
            ..wire::Span::default()
        };
        let (arguments, result) = call(&Facts::read(&span, "", None), &mut Fit::new(100));
        [arguments, result].map(|json| json.map(|json| json.as_str().to_owned()))
    }

    #[test]
    fn json_without_a_wrapper_stays_as_it_came() {
        let some = |text: &str| Some(text.to_owned());
        // Wider than any number of a program, spaced, with keys in no order.
        let text = r#" {"n": 12345678901234567890123, "b": [1.0], "a": {}} "#;
        assert_eq!(told_by(text, text), [some(text), some(text)]);
        let list = r#"["text of a list"]"#;
        assert_eq!(told_by(list, list), [some(list), some(list)]);
        // No JSON but Python, too long, and JSON within JSON.
        assert_eq!(told_by("{'a': 1}", "")[0], some(r#"{"a":1}"#));
        let long = format!("[{}1]", "1,".repeat(60));
        let cut = told_by("", &long)[1].clone().unwrap();
        assert!(cut.ends_with("bytes left out]\""), "{cut}");
        assert_eq!(told_by(r#""[1]""#, r#" "{}""#), [some("[1]"), some("{}")]);
        let large = r#"{"n":1e9999}"#;
        assert_eq!(told_by(large, "")[0], some(r#""{\"n\":1e9999}""#));
    }

    #[test]
    fn wrappers_are_known_by_their_keys() {
        let some = |text: &str| Some(text.to_owned());
        for wrapped in [
            r#"{"args": [], "kwargs": {"a": 1}}"#,
            r#"{"kwargs": {"a": 1}}"#,
            r#"{"input_str": "{'a': 1}"}"#,
        ] {
            assert_eq!(told_by(wrapped, "")[0], some(r#"{"a":1}"#), "{wrapped}");
        }
        for wrapped in [
            r#"{"raw_input": 1, "raw_output": "x"}"#,
            r#"[{"type": "text", "text": "x"}]"#,
            r#"{"type": "tool", "data": {"content": "x"}}"#,
            r#"{"output": {"lc": 1, "kwargs": {"content": "x"}}}"#,
        ] {
            assert_eq!(told_by("", wrapped)[1], some(r#""x""#), "{wrapped}");
        }
    }

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
