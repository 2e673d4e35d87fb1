//! The same conversation in the formats of many vendors.

use serde_json::{Value, json};

use super::*;

mod formats;
mod media;
use crate::event::MessageRole::{self, Assistant, System, Tool, User};

/// Role, text, thinking, ids of the tool calls, id of the answered call.
type Flattened = (MessageRole, String, String, Vec<String>, Option<String>);

fn flattened(value: &Value) -> Vec<Flattened> {
    let messages = join(read(value, User)).into_iter();
    let flat = messages.map(|m| {
        let calls = m.calls.iter().map(|call| {
            assert_eq!(call.name, "get_weather", "{call:?}");
            assert_eq!(call.arguments, json!({"city": "Paris"}), "{call:?}");
            call.id.clone().unwrap_or_default()
        });
        (
            m.role,
            m.text.clone(),
            m.thinking.clone(),
            calls.collect(),
            m.call_id.clone(),
        )
    });
    flat.collect()
}

fn one(
    role: MessageRole,
    text: &str,
    thinking: &str,
    calls: &[&str],
    answers: Option<&str>,
) -> Flattened {
    let calls = calls.iter().map(|id| (*id).to_owned()).collect();
    (
        role,
        text.into(),
        thinking.into(),
        calls,
        answers.map(str::to_owned),
    )
}

/// Instructions, a question, a tool call with reasoning, its result, the answer.
fn turn() -> Vec<Flattened> {
    vec![
        one(System, "Be brief.", "", &[], None),
        one(User, "Weather?", "", &[], None),
        one(Assistant, "Let me see.", "Hm.", &["c1"], None),
        one(Tool, "18°C", "", &[], Some("c1")),
        one(Assistant, "18°C in Paris.", "", &[], None),
    ]
}

#[test]
fn genai_conventions_parts() {
    for result in ["response", "result"] {
        let value = json!([
            {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
            {"role": "user", "parts": [{"type": "text", "content": "Weather?"}]},
            {"role": "assistant", "parts": [
                {"type": "reasoning", "content": "Hm."},
                {"type": "text", "content": "Let me see."},
                {"type": "tool_call", "id": "c1", "name": "get_weather", "arguments": "{\"city\":\"Paris\"}"},
            ], "finish_reason": "tool_call"},
            {"role": "user", "parts": [{"type": "tool_call_response", "id": "c1", result: "18°C"}]},
            {"role": "assistant", "parts": [{"type": "text", "content": "18°C in Paris."}]},
        ]);
        assert_eq!(flattened(&value), turn());
    }
}

#[test]
fn openai_chat_completions() {
    let request = json!({"model": "m", "messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {"role": "assistant", "content": "Let me see.", "reasoning_content": "Hm.", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "18°C"},
        {"role": "assistant", "content": "18°C in Paris."},
    ]});
    assert_eq!(flattened(&request), turn());
    let response = json!({"id": "chatcmpl-1", "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "18°C in Paris."}}]});
    let messages = read(&response, User);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].finish_reason.as_deref(), Some("stop"));
    assert_eq!(flattened(&response), turn()[4..]);
}

#[test]
fn openai_responses_items() {
    let request = json!({"instructions": "Be brief.", "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "get_weather", "arguments": "{\"city\":\"Paris\"}"},
        {"type": "function_call_output", "call_id": "c1", "output": "18°C"},
        {"role": "assistant", "content": "18°C in Paris."},
    ]});
    assert_eq!(flattened(&request), turn());
    let response = json!({"object": "response", "output": [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "18°C in Paris."}]}]});
    assert_eq!(flattened(&response), turn()[4..]);
}

#[test]
fn anthropic_blocks() {
    let request = json!({"system": [{"type": "text", "text": "Be brief."}], "messages": [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "c1", "name": "get_weather", "input": {"city": "Paris"}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "18°C"}]}]},
        {"role": "assistant", "content": "18°C in Paris."},
    ]});
    assert_eq!(flattened(&request), turn());
    let response = json!({"id": "msg_1", "type": "message", "role": "assistant",
        "content": [{"type": "text", "text": "18°C in Paris."}], "stop_reason": "end_turn"});
    assert_eq!(flattened(&response), turn()[4..]);
}

#[test]
fn bedrock_blocks() {
    let value = json!({"system": [{"text": "Be brief."}], "messages": [
        {"role": "user", "content": [{"text": "Weather?"}]},
        {"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "s"}}},
            {"text": "Let me see."},
            {"toolUse": {"toolUseId": "c1", "name": "get_weather", "input": {"city": "Paris"}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "status": "success", "content": [{"text": "18°C"}]}}]},
        {"role": "assistant", "content": [{"text": "18°C in Paris."}]},
    ]});
    assert_eq!(flattened(&value), turn());
}

#[test]
fn gemini_contents() {
    let value = json!({"system_instruction": {"parts": [{"text": "Be brief."}]}, "contents": [
        {"role": "user", "parts": [{"text": "Weather?"}]},
        {"role": "model", "parts": [
            {"text": "Hm.", "thought": true}, {"text": "Let me see."},
            {"functionCall": {"id": "c1", "name": "get_weather", "args": {"city": "Paris"}}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "get_weather", "response": {"result": "18°C"}}}]},
        {"role": "model", "parts": [{"text": "18°C in Paris."}]},
    ]});
    let mut want = turn();
    // Gemini's instructions have no role of their own.
    want[0].0 = System;
    assert_eq!(flattened(&value), want);
    let response = json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "18°C in Paris."}]}}]});
    assert_eq!(flattened(&response), turn()[4..]);
}

#[test]
fn lang_chain_in_three_formats() {
    let constructor = |class: &str, kwargs: Value| json!({"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", class], "kwargs": kwargs});
    let call = json!([{"name": "get_weather", "args": {"city": "Paris"}, "id": "c1", "type": "tool_call"}]);
    let value = json!({"messages": [[
        constructor("SystemMessage", json!({"content": "Be brief.", "type": "system"})),
        ["user", "Weather?"],
        {"type": "ai", "data": {"content": [{"type": "reasoning", "summary": [{"text": "Hm."}]}, {"type": "text", "text": "Let me see."}], "tool_calls": call}},
        {"type": "tool", "content": "18°C", "tool_call_id": "c1"},
        constructor("AIMessageChunk", json!({"content": "18°C in Paris.", "tool_calls": []})),
    ]]});
    assert_eq!(flattened(&value), turn());
    let response = json!({"generations": [[{"text": "18°C in Paris.",
        "message": constructor("AIMessage", json!({"content": "18°C in Paris."}))}]]});
    assert_eq!(flattened(&response), turn()[4..]);
}

#[test]
fn vercel_sdk_parts() {
    let value = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {"role": "assistant", "content": [
            {"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "Let me see."},
            {"type": "tool-call", "toolCallId": "c1", "toolName": "get_weather", "input": {"city": "Paris"}}]},
        {"role": "tool", "content": [
            {"type": "tool-result", "toolCallId": "c1", "toolName": "get_weather", "output": {"type": "text", "value": "18°C"}}]},
        {"role": "assistant", "content": [{"type": "text", "text": "18°C in Paris."}]},
    ]);
    assert_eq!(flattened(&value), turn());
}

#[test]
fn duplicate_openinference_fields_are_read_once() {
    let call = json!({"tool_call": {"id": "c1", "function": {"name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}}});
    let mut block = call.clone();
    block["message_content"] = json!({"type": "tool_use"});
    let value = json!([
        {"role": "assistant", "content": "Let me see.",
         "contents": [{"message_content": {"type": "text", "text": "Let me see."}}, block], "tool_calls": [call]},
    ]);
    assert_eq!(
        flattened(&value),
        [one(Assistant, "Let me see.", "", &["c1"], None)]
    );
}

#[test]
fn alternatives_stay_separate_and_chunks_are_joined() {
    let choice = |text: &str, reason: &str| json!({"role": "assistant", "parts": [{"type": "text", "content": text}], "finish_reason": reason});
    let alternatives = json!([choice("One.", "stop"), choice("Two.", "stop")]);
    assert_eq!(flattened(&alternatives).len(), 2);
    let chunks = json!([
        choice("One", ""),
        choice(" and", ""),
        choice(" one.", "stop")
    ]);
    assert_eq!(
        flattened(&chunks),
        [one(Assistant, "One and one.", "", &[], None)]
    );
}

#[test]
fn other_json_has_no_messages() {
    for value in [
        json!({"a": 1}),
        json!(null),
        json!([1, 2]),
        json!({"init_state": {"x": []}}),
    ] {
        assert_eq!(read(&value, User), []);
    }
    let mut deep = json!({"role": "user", "content": "deep"});
    for _ in 0..100 {
        deep = json!({"messages": [deep]});
    }
    assert_eq!(read(&deep, User), []);
}

#[test]
fn repeated_calls_are_found_among_many() {
    const MANY: usize = 50_000;
    let call = |id: Option<String>, name: String| {
        let mut call = json!({"type": "tool_use", "name": name, "input": {"a": 1}});
        if let Some(id) = id {
            call["id"] = id.into();
        }
        call
    };
    let with_id = |n: usize| call(Some(format!("c{n}")), "same".into());
    let without_id = |n: usize| call(None, format!("f{n}"));
    let mut parts: Vec<Value> = (0..MANY)
        .map(with_id)
        .chain((0..MANY).map(without_id))
        .collect();
    // By its id; by its content, for one of the two has no id.
    parts.push(call(Some("c7".into()), "other".into()));
    parts.push(call(None, "same".into()));
    parts.push(call(Some("new".into()), "f7".into()));
    let messages = read(&json!([{"role": "assistant", "content": parts}]), User);
    let calls: Vec<usize> = messages.iter().map(|message| message.calls.len()).collect();
    assert_eq!(calls, [2 * MANY]);
}
