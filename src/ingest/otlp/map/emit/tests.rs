//! Tests of the messages that spans make.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::Value;

use super::*;
use crate::ingest::otlp::{MapOptions, map::map_traces};

/// The messages of a model call, and whether each is believed to be new.
fn believed_new(response_id: &str, answer: &Value) -> Vec<(MessageRole, bool)> {
    let text =
        |key: &str, text: &str| serde_json::json!({"key": key, "value": {"stringValue": text}});
    let long = "Every later call repeats this question word for word, because it has a history.";
    let asked = serde_json::json!([
        {"role": "user", "parts": [{"type": "text", "content": long.repeat(2)}]},
    ]);
    let answered = serde_json::json!([{"role": "assistant", "parts": [answer]}]);
    let span = serde_json::json!({
        "traceId": "5b8aa5a2d2c872e8321cf37308d69df2", "spanId": "051581bf3cb55c13",
        "parentSpanId": "051581bf3cb55c14", "name": "chat", "startTimeUnixNano": "1767225600000000000",
        "endTimeUnixNano": "1767225601000000000",
        "attributes": [
            text("gen_ai.operation.name", "chat"),
            text("gen_ai.response.id", response_id),
            text("gen_ai.input.messages", &asked.to_string()),
            text("gen_ai.output.messages", &answered.to_string()),
        ]
    });
    let request = serde_json::json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]});
    let request: ExportTraceServiceRequest = serde_json::from_value(request).unwrap();
    let mapped = map_traces(&request.encode_to_vec(), &MapOptions::default()).unwrap();
    let events = mapped.events.into_iter();
    let messages = events.filter_map(|(_, event)| match event.body {
        EventBody::Message(message) => Some((message.role, message.believed_new)),
        _ => None,
    });
    messages.collect()
}

#[test]
fn only_a_distinctive_answer_is_believed_new() {
    let (user, assistant) = (MessageRole::User, MessageRole::Assistant);
    let say = |content: &str| serde_json::json!({"type": "text", "content": content});
    let long = say(&"a long answer ".repeat(10));
    let messages = |id: &str, answer: &Value| believed_new(id, answer);
    assert_eq!(messages("", &long), [(user, false), (assistant, true)]);
    assert_eq!(
        messages("", &say("yes")),
        [(user, false), (assistant, false)]
    );
    let call = |id: &Value| serde_json::json!({"type": "tool_call", "id": id, "name": "f", "arguments": {}});
    let (named, nameless) = (call(&"call_1".into()), call(&Value::Null));
    assert_eq!(messages("", &named), [(user, false), (assistant, true)]);
    assert_eq!(messages("", &nameless), [(user, false), (assistant, false)]);
    // The Anthropic client may have a view of the same call.
    assert_eq!(
        messages("msg_01XY", &long),
        [(user, false), (assistant, false)]
    );
}

/// The role and text of the messages that an agent's span makes.
fn agent_messages(status: i32, parts: &[(&str, &str)]) -> Vec<(MessageRole, String)> {
    let messages: Vec<Value> = parts
        .iter()
        .map(|(role, text)| {
            serde_json::json!({"role": role, "parts": [{"type": "text", "content": text}]})
        })
        .collect();
    let text =
        |key: &str, text: String| serde_json::json!({"key": key, "value": {"stringValue": text}});
    let span = serde_json::json!({
        "traceId": "5b8aa5a2d2c872e8321cf37308d69df2", "spanId": "051581bf3cb55c13",
        "name": "invoke_agent", "startTimeUnixNano": "1767225600000000000",
        "endTimeUnixNano": "1767225601000000000", "status": {"code": status},
        "attributes": [
            text("gen_ai.operation.name", "invoke_agent".into()),
            text("gen_ai.input.messages", Value::from(messages).to_string()),
        ]
    });
    let request = serde_json::json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]});
    let request: ExportTraceServiceRequest = serde_json::from_value(request).unwrap();
    let events = map_traces(&request.encode_to_vec(), &MapOptions::default());
    let events = events.unwrap().events;
    let messages = events
        .into_iter()
        .filter_map(|(_, event)| match event.body {
            EventBody::Message(message) => Some((message.role, message.content?)),
            _ => None,
        });
    messages.collect()
}

#[test]
fn the_last_question_to_a_failed_agent_is_kept() {
    const OK: i32 = 1;
    const ERROR: i32 = 2;
    let asked = [("system", "Be brief."), ("user", "Hello?")];
    let user = |text: &str| (MessageRole::User, text.to_owned());
    assert_eq!(agent_messages(ERROR, &asked), [user("Hello?")]);
    assert_eq!(agent_messages(OK, &asked), []);
    let history = [("user", "Hello?"), ("assistant", "Hi."), ("user", "And?")];
    assert_eq!(agent_messages(ERROR, &history), [user("And?")]);
    assert_eq!(agent_messages(ERROR, &history[..2]), []);
}
