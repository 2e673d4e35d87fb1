//! Reads the arguments and the result of a tool call, without the wrappers that
//! frameworks put around them.

use serde_json::Value;

use super::facts::SpanFacts;
use super::fit::FieldFitter;
use super::lang_graph;
use super::slots::Slot;
use super::span_events;
use super::{value, wrappers};
use crate::event::Json;
use crate::ingest::otlp::wire;

/// Where arguments are, best first. LangSmith writes those of a tool as it writes
/// the messages of a call.
const ARGUMENT_SLOTS: [Slot; 4] = [
    Slot::ToolArguments,
    Slot::Input,
    Slot::InputMessages,
    Slot::Prompt,
];
/// Where results are, best first.
const RESULT_SLOTS: [Slot; 3] = [Slot::ToolResult, Slot::Output, Slot::OutputMessages];

/// The tool that a LangGraph node was made to call, from the node's input.
pub fn tool_name_of_call_node(facts: &SpanFacts<'_>) -> Option<String> {
    let input = lang_graph::input(facts)?;
    let name = lang_graph::only_call(&input)?.get("name")?;
    name.as_str().map(str::to_owned)
}

/// The arguments and the result of a tool call.
pub fn arguments_and_result(
    facts: &SpanFacts<'_>,
    fit: &mut FieldFitter,
) -> (Option<Json>, Option<Json>) {
    if lang_graph::is_call_node(facts) {
        // The tool's own span has the result in a better form.
        let input = lang_graph::input(facts);
        let call = input.as_ref().and_then(lang_graph::only_call);
        let arguments = call.and_then(|call| call.get("args"));
        return (arguments.and_then(|arguments| fit.json(arguments)), None);
    }
    (arguments(facts, fit), result(facts, fit))
}

fn arguments(facts: &SpanFacts<'_>, fit: &mut FieldFitter) -> Option<Json> {
    let attribute = facts.first(&ARGUMENT_SLOTS);
    if let Some(json) = verbatim_json(attribute, &wrappers::ARGUMENT_KEYS, fit) {
        return Some(json);
    }
    let parsed = attribute.map(parse_attribute);
    let arguments = parsed.or_else(|| span_events::tool_arguments(facts.span))?;
    if lang_graph::call_node(facts).is_some() && arguments.is_string() {
        // LangChain writes a single argument as a bare value. The node has it by name.
        return None;
    }
    match wrappers::unwrap_arguments(&arguments) {
        Some(inner) => fit.json(&inner),
        None => verbatim_json(attribute, &[], fit).or_else(|| fit.json(&arguments)),
    }
}

fn result(facts: &SpanFacts<'_>, fit: &mut FieldFitter) -> Option<Json> {
    let attribute = facts.first(&RESULT_SLOTS);
    let fields = &facts.dialect.unwrap;
    if fields.is_empty()
        && let Some(json) = verbatim_json(attribute, &wrappers::RESULT_KEYS, fit)
    {
        return Some(json);
    }
    let parsed = attribute.map(parse_attribute);
    let result = parsed.or_else(|| span_events::tool_result(facts.span))?;
    let unwrapped = wrappers::unwrap_result(&result);
    if !fields.is_empty() {
        return fit.json(&unwrap_only_field(unwrapped.unwrap_or(result), fields));
    }
    match unwrapped {
        Some(inner) => fit.json(&inner),
        None => verbatim_json(attribute, &[], fit).or_else(|| fit.json(&result)),
    }
}

/// Returns a JSON object or array in a text unchanged, without parsing it into a
/// tree. `None` if the text contains one of the keys, or beginnings of keys, that
/// wrappers have.
fn verbatim_json(
    attribute: Option<&wire::AnyValue<'_>>,
    wrapper_keys: &[&str],
    fit: &mut FieldFitter,
) -> Option<Json> {
    let Some(wire::AnyValue::String(text)) = attribute else {
        return None;
    };
    let plain = text.trim_start().starts_with(['{', '['])
        && value::looks_like_json(text)
        && !value::has_quoted(text, wrapper_keys);
    plain.then(|| fit.intact_json(text)).flatten()
}

/// Unwraps a result from an object of which it is the only field. Some SDKs put
/// every result that is no object into one.
fn unwrap_only_field(value: Value, fields: &[String]) -> Value {
    match value {
        Value::Object(object) if object.len() == 1 => {
            let known = object
                .keys()
                .all(|key| fields.iter().any(|field| field == key));
            if known {
                object.into_values().next().unwrap_or(Value::Null)
            } else {
                Value::Object(object)
            }
        }
        other => other,
    }
}

/// Parses an attribute as JSON. Some dialects put a JSON string into JSON.
pub fn parse_attribute(attribute: &wire::AnyValue<'_>) -> Value {
    match value::parsed(attribute) {
        Value::String(text) => value::parse(&text),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::dialects::Dialects;
    use super::super::facts::SpanScope;
    use super::super::scratch::{ParsedAttributes, Scratch};
    use super::*;

    /// The arguments and the result of a tool span with this input and output.
    fn mapped(input: &str, output: &str) -> [Option<String>; 2] {
        let attribute = |(key, text)| wire::KeyValue {
            key,
            value: Some(wire::AnyValue::String(text)),
        };
        let attributes = [("input.value", input), ("output.value", output)].map(attribute);
        let span = wire::Span {
            attributes: attributes.into(),
            ..wire::Span::default()
        };
        let parsed = ParsedAttributes::default();
        let scratch = Scratch::new(&parsed);
        let dialects = Dialects::built_in();
        let facts = SpanFacts::read(&span, SpanScope::new(&dialects, ""), None, &scratch);
        let (arguments, result) = arguments_and_result(&facts, &mut FieldFitter::new(100));
        [arguments, result].map(|json| json.map(|json| json.as_str().to_owned()))
    }

    #[test]
    fn json_without_a_wrapper_is_kept_unchanged() {
        let some = |text: &str| Some(text.to_owned());
        // With a number wider than 64 bits, spaces, and unsorted keys.
        let text = r#" {"n": 12345678901234567890123, "b": [1.0], "a": {}} "#;
        assert_eq!(mapped(text, text), [some(text), some(text)]);
        let list = r#"["text of a list"]"#;
        assert_eq!(mapped(list, list), [some(list), some(list)]);
        // A Python literal, a value that is too long, and JSON within JSON.
        assert_eq!(mapped("{'a': 1}", "")[0], some(r#"{"a":1}"#));
        let long = format!("[{}1]", "1,".repeat(60));
        let cut = mapped("", &long)[1].clone().unwrap();
        assert!(cut.ends_with("bytes left out]\""), "{cut}");
        assert_eq!(mapped(r#""[1]""#, r#" "{}""#), [some("[1]"), some("{}")]);
        let large = r#"{"n":1e9999}"#;
        assert_eq!(mapped(large, "")[0], some(r#""{\"n\":1e9999}""#));
    }

    #[test]
    fn wrappers_are_detected_by_their_keys() {
        let some = |text: &str| Some(text.to_owned());
        for wrapped in [
            r#"{"args": [], "kwargs": {"a": 1}}"#,
            r#"{"kwargs": {"a": 1}}"#,
            r#"{"input_str": "{'a': 1}"}"#,
        ] {
            assert_eq!(mapped(wrapped, "")[0], some(r#"{"a":1}"#), "{wrapped}");
        }
        for wrapped in [
            r#"{"raw_input": 1, "raw_output": "x"}"#,
            r#"[{"type": "text", "text": "x"}]"#,
            r#"{"type": "tool", "data": {"content": "x"}}"#,
            r#"{"output": {"lc": 1, "kwargs": {"content": "x"}}}"#,
        ] {
            assert_eq!(mapped("", wrapped)[1], some(r#""x""#), "{wrapped}");
        }
    }
}
