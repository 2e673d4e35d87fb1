//! The wrappers that frameworks put around the arguments and the result of a tool.
//!
//! Each function returns `None` if there is no wrapper: the caller then keeps the
//! text as it was sent.

use std::iter;

use serde_json::{Map, Value};

use super::lenient::{self, Purpose};
use super::messages::{is_key_of_mcp_result, text_of};
use super::value;

/// Keys, or beginnings of keys, one of which is in every wrapper of arguments.
pub const ARGUMENT_KEYS: [&str; 8] = [
    "\"kwargs\"",
    "\"input",
    "\"value\"",
    "\"args\"",
    "\"arguments\"",
    "\"tool_",
    "\"toolInput\"",
    "\"params\"",
];
/// Keys, or beginnings of keys, one of which is in every wrapper of a result.
pub const RESULT_KEYS: [&str; 9] = [
    "\"raw_out",
    "\"text\"",
    "\"data\"",
    "\"lc\"",
    "\"content\"",
    "\"value\"",
    "\"output\"",
    "\"update\"",
    "\"result\"",
];
/// The most wrappers around each other. Real ones are two.
const MAX_WRAPPERS: usize = 6;

/// The arguments without the wrappers around them.
pub fn unwrap_arguments(arguments: &Value) -> Option<Value> {
    unwrap_all(arguments, argument_wrapper)
}

/// The result without the wrappers around it.
pub fn unwrap_result(result: &Value) -> Option<Value> {
    unwrap_all(result, result_wrapper)
}

/// The result, and what is left of it within each of the wrappers around it.
pub fn layers(result: Value) -> impl Iterator<Item = Value> {
    let within = |outer: &Value| match outer {
        Value::String(text) => printed(text),
        other => result_wrapper(other),
    };
    iter::successors(Some(result), within).take(MAX_WRAPPERS)
}

fn unwrap_all(value: &Value, unwrap: fn(&Value) -> Option<Value>) -> Option<Value> {
    let mut inner = unwrap(value)?;
    for _ in 1..MAX_WRAPPERS {
        let Some(next) = unwrap(&inner) else { break };
        inner = next;
    }
    Some(inner)
}

fn argument_wrapper(value: &Value) -> Option<Value> {
    let object = match value {
        Value::Object(object) => object,
        Value::String(text) => return literal(text),
        // A node of LangGraph has a list of the one call that it makes.
        Value::Array(items) => match items.as_slice() {
            [only @ Value::Object(_)] => return call_arguments(only.as_object()?),
            _ => return None,
        },
        _ => return None,
    };
    let has_only = |keys: &[&str]| object.keys().all(|key| keys.contains(&key.as_str()));
    // Python's `(*args, **kwargs)`.
    if has_only(&["args", "kwargs", "sanitize_inputs_outputs"])
        && let Some(kwargs) = object.get("kwargs")
    {
        let empty = kwargs.as_object().is_some_and(Map::is_empty);
        return match object.get("args") {
            Some(args) if empty && *args != Value::Array(Vec::new()) => Some(args.clone()),
            _ => Some(kwargs.clone()),
        };
    }
    // LangChain.
    if let Some(Value::String(text)) = object.get("input_str") {
        return literal(text);
    }
    if let Some(inner) = typed_value(object) {
        return Some(inner);
    }
    // BeeAI: {"input": {…}, "options": null}. LangChain JS and LangSmith: {"input": "{…}"}.
    if has_only(&["input", "options", "toolCallId"]) {
        return match object.get("input")? {
            inner @ (Value::Object(_) | Value::Array(_)) => Some(inner.clone()),
            Value::String(text) => value::structured(text, Purpose::Values),
            _ => None,
        };
    }
    // MCP: {"method": "tools/call", "params": {"name": …, "arguments": {…}}}.
    if object.get("method").and_then(Value::as_str) == Some("tools/call") {
        return object.get("params").cloned();
    }
    if object.len() == 1 {
        let keys = [
            "arguments",
            "kwargs",
            "tool_input",
            "toolInput",
            "input_data",
        ];
        let inner = keys.iter().find_map(|key| object.get(*key));
        return inner.filter(|inner| inner.is_object()).cloned();
    }
    call_arguments(object)
}

/// The arguments in a whole call: `{"name", "args", "id", "type"}`.
fn call_arguments(object: &Map<String, Value>) -> Option<Value> {
    let keys = [
        "name",
        "args",
        "arguments",
        "id",
        "type",
        "_meta",
        "tool_call_id",
        "toolCallId",
        "task",
    ];
    let is_call = object.contains_key("name")
        && object.len() > 1
        && object.keys().all(|key| keys.contains(&key.as_str()));
    let arguments = ["args", "arguments"]
        .iter()
        .find_map(|key| object.get(*key));
    match arguments.filter(|_| is_call)? {
        inner @ Value::Object(_) => Some(inner.clone()),
        Value::String(text) => value::structured(text, Purpose::Values),
        _ => None,
    }
}

fn result_wrapper(value: &Value) -> Option<Value> {
    let object = match value {
        Value::Object(object) => object,
        Value::String(text) => return printed_result(text),
        Value::Array(_) => return is_text_blocks(value).then(|| parsed(&text_of(value))),
        _ => return None,
    };
    // LlamaIndex.
    if let Some(raw) = object
        .get("raw_output")
        .filter(|_| object.contains_key("raw_input"))
    {
        return Some(raw.clone());
    }
    if let Some(inner) = lang_chain_content(object) {
        return Some(inner);
    }
    if let Some(inner) = object.get("output")
        && inner.as_object().and_then(lang_chain_content).is_some()
    {
        return Some(inner.clone());
    }
    // LangGraph's Command, or the state that a node of tools returns.
    let update = object.get("update").unwrap_or(value);
    if let Some(Value::Array(messages)) = update.get("messages")
        && let Some(last) = messages.last()
        && last.as_object().and_then(lang_chain_content).is_some()
    {
        return Some(last.clone());
    }
    // MCP.
    if let Some(content @ Value::Array(_)) = object.get("content")
        && object
            .keys()
            .all(|key| is_key_of_mcp_result(key) || key == "type")
    {
        return Some(content.clone());
    }
    if is_text_blocks(&Value::Array(vec![value.clone()])) {
        return Some(parsed(&text_of(value)));
    }
    if let Some(inner) = typed_value(object) {
        // LangWatch writes a result as the only message of a conversation.
        let message = inner.as_array().and_then(|items| match items.as_slice() {
            [only] if only.get("role").is_some() => only.get("content"),
            _ => None,
        });
        return Some(message.cloned().unwrap_or(inner));
    }
    // Results of AutoGen, and of the SDKs that print them.
    let keys = [
        "name", "result", "is_error", "type", "call_id", "content", "duration", "error",
    ];
    let is_result =
        object.contains_key("is_error") && object.keys().all(|key| keys.contains(&key.as_str()));
    if is_result {
        return object
            .get("result")
            .or_else(|| object.get("content"))
            .cloned();
    }
    None
}

/// The value in `{"type": "json", "value": …}`, as LangWatch and the Vercel SDK
/// write it.
fn typed_value(object: &Map<String, Value>) -> Option<Value> {
    const KINDS: [&str; 9] = [
        "text",
        "json",
        "raw",
        "list",
        "chat_messages",
        "content",
        "error-text",
        "error-json",
        "tool_result",
    ];
    let kind = object.get("type")?.as_str()?;
    let typed = object.len() == 2 && KINDS.contains(&kind);
    match object.get("value").filter(|_| typed)? {
        Value::String(text) if kind == "json" => Some(parsed(text)),
        inner => Some(inner.clone()),
    }
}

/// Whether a value is a text as Bedrock and MCP write it: an array of text blocks.
fn is_text_blocks(value: &Value) -> bool {
    let is_text = |block: &Value| {
        let object = block.as_object();
        object.is_some_and(|object| {
            let keys = object.keys().all(|key| {
                matches!(
                    key.as_str(),
                    "text" | "type" | "annotations" | "meta" | "_meta" | "id"
                )
            });
            keys && object.get("text").is_some_and(Value::is_string)
        })
    };
    value
        .as_array()
        .is_some_and(|blocks| !blocks.is_empty() && blocks.iter().all(is_text))
}

/// The content of a LangChain tool message.
fn lang_chain_content(object: &Map<String, Value>) -> Option<Value> {
    let kind = object.get("type").and_then(Value::as_str);
    let inner = if kind == Some("tool") && object.contains_key("data") {
        object.get("data")?.as_object()?
    } else if object.contains_key("lc") {
        object.get("kwargs")?.as_object()?
    } else if matches!(kind, Some("tool" | "ToolMessage")) || object.contains_key("tool_call_id") {
        object
    } else {
        return None;
    };
    Some(match inner.get("content")? {
        Value::String(text) => parsed(text),
        other => other.clone(),
    })
}

/// What Python printed: a literal, a tool message, or a result of MCP.
fn printed(text: &str) -> Option<Value> {
    if let Some(value) = literal(text) {
        return Some(value);
    }
    const STARTS: [&str; 10] = [
        "content=",
        "ToolMessage(",
        "CallToolResult(",
        "TextContent(",
        "type='text'",
        "type='ToolResult'",
        "meta=",
        "Command(",
        "ToolResult(",
        "FunctionExecutionResult(",
    ];
    let is_printed = STARTS.iter().any(|start| text.starts_with(start))
        || text.starts_with("name=") && text.contains(" type='ToolResult'");
    is_printed.then(|| lenient::read(text, Purpose::Values))?
}

/// The result within what Python printed.
fn printed_result(text: &str) -> Option<Value> {
    if let Some(value) = literal(text) {
        return Some(value);
    }
    let mut object = match printed(text)? {
        Value::Object(object) => object,
        other => return Some(other),
    };
    if text.contains("type='ToolResult'") || text.starts_with("ToolResult(") {
        object.remove("type");
        object.remove("name");
        return object
            .remove("result")
            .map(|result| Value::from(text_of_printed(&result)));
    }
    let known = ["content", "text", "update", "is_error"];
    known
        .iter()
        .any(|key| object.contains_key(*key))
        .then_some(Value::Object(object))
}

/// The text of the parts of a printed result.
fn text_of_printed(parts: &Value) -> String {
    let texts = parts.as_array().map(|parts| {
        let text = |part: &Value| {
            part.get("content")
                .or_else(|| part.get("text"))
                .map(text_of)
        };
        parts.iter().filter_map(text).collect::<String>()
    });
    texts.unwrap_or_else(|| text_of(parts))
}

/// A literal of Python in a text: an object, a list, or a text in quotes.
fn literal(text: &str) -> Option<Value> {
    let text = text.trim();
    if text.starts_with(['{', '[', '(']) {
        return lenient::read(text, Purpose::Values);
    }
    let quoted = text.len() > 2 && text.starts_with('\'') && text.ends_with('\'');
    let list = quoted.then(|| lenient::read(&format!("[{text}]"), Purpose::Values))?;
    match list?.as_array()?.as_slice() {
        [only @ Value::String(_)] => Some(only.clone()),
        _ => None,
    }
}

fn parsed(text: &str) -> Value {
    value::parse(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_are_unwrapped() {
        let want = json!({"order_id": "9999"});
        let text = r#"{"order_id": "9999"}"#;
        for wrapped in [
            json!({"args": [], "kwargs": want}),
            json!({"args": [], "kwargs": want, "sanitize_inputs_outputs": true}),
            json!({"kwargs": want}),
            json!({"input_str": "{'order_id': '9999'}", "tags": []}),
            json!("{'order_id': '9999'}"),
            json!({"input": want, "options": null}),
            json!({"input": text}),
            json!({"type": "text", "value": "{'order_id': '9999'}"}),
            json!({"type": "json", "value": want}),
            json!({"name": "lookup", "arguments": want}),
            json!({"name": "lookup", "args": want, "id": "c1", "type": "tool_call"}),
            json!([{"name": "lookup", "args": want, "id": "c1", "type": "tool_call"}]),
            json!({"method": "tools/call", "params": {"name": "lookup", "arguments": want}}),
            json!({"arguments": want}),
            json!({"tool_input": want}),
        ] {
            assert_eq!(unwrap_arguments(&wrapped), Some(want.clone()), "{wrapped}");
        }
        let positional = json!({"args": [1], "kwargs": {}});
        assert_eq!(unwrap_arguments(&positional), Some(json!([1])));
        assert_eq!(unwrap_arguments(&json!("'Paris'")), Some(json!("Paris")));
        for plain in [
            want,
            json!("INV-42"),
            json!({"input": "a text", "options": null}),
            json!({"name": "Ada", "city": "Paris"}),
            json!({"name": "Ada", "args": "none", "limit": 1}),
            json!({"type": "circle", "value": 1}),
            json!([1, 2]),
        ] {
            assert_eq!(unwrap_arguments(&plain), None, "{plain}");
        }
    }

    #[test]
    fn results_are_unwrapped() {
        let want = json!("18°C");
        let message = json!({"content": "18°C", "type": "tool", "name": "w", "tool_call_id": "c1"});
        for wrapped in [
            json!({"type": "tool", "data": {"content": "18°C"}}),
            json!({"output": {"lc": 1, "kwargs": {"content": "18°C"}}}),
            json!({"raw_input": {}, "raw_output": "18°C"}),
            json!({"output": message}),
            json!({"update": {"messages": [message]}}),
            json!({"messages": [{"content": "18°C", "tool_call_id": "c1", "artifact": null}]}),
            message,
            json!({"content": [{"type": "text", "text": "18°C"}], "isError": false}),
            json!({"meta": null, "content": [{"type": "text", "text": "18°C", "annotations": null}],
                "structuredContent": {"result": "18°C"}, "isError": false}),
            json!([{"type": "text", "text": "18°C"}]),
            json!({"type": "text", "text": "18°C"}),
            json!({"type": "text", "value": "18°C"}),
            json!({"type": "chat_messages", "value": [{"role": "unknown", "content": "18°C"}]}),
            json!("content='18°C' name='get_weather' tool_call_id='c1'"),
            json!("ToolMessage(content='18°C', name='get_weather', tool_call_id='c1')"),
            json!(
                "CallToolResult(meta=None, content=[TextContent(type='text', text='18°C', annotations=None)], structuredContent=None, isError=False)"
            ),
            json!("[TextContent(type='text', text='18°C', annotations=None, meta=None)]"),
            json!(
                "type='ToolResult' name='get_weather' result=[TextResultContent(type='TextResultContent', content='18°C')] is_error=False"
            ),
            json!(
                "name='get_weather' type='ToolResult' result=[TextResultContent(content='18°C')] is_error=False"
            ),
            json!(
                "FunctionExecutionResult(content='18°C', name='get_weather', call_id='c1', is_error=False)"
            ),
            json!({"content": "18°C", "name": "get_weather", "call_id": "c1", "is_error": false}),
        ] {
            assert_eq!(unwrap_result(&wrapped), Some(want.clone()), "{wrapped}");
        }
        let object = json!({"state": "SHIPPED"});
        let of_text = json!({"content": [{"type": "text", "text": "{\"state\": \"SHIPPED\"}"}]});
        assert_eq!(unwrap_result(&of_text), Some(object.clone()));
        assert_eq!(
            unwrap_result(&json!("{'state': 'SHIPPED'}")),
            Some(object.clone())
        );
        for plain in [
            json!({"output": {"content": 1}}),
            object,
            want,
            json!({"content": "a page", "url": "http://a"}),
            json!("Order(id=1) was shipped"),
            json!("content=high, price=low"),
            json!({"error": "no such order"}),
        ] {
            assert_eq!(unwrap_result(&plain), None, "{plain}");
        }
    }
}
