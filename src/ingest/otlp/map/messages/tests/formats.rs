//! Formats of frameworks: printed objects, wrappers, and shapes of their own.

use serde_json::{Value, json};

use super::{flattened, one, turn};
use crate::event::MessageRole::{Assistant, System, Tool, User};
use crate::ingest::otlp::map::messages::{ChatMessage, join, read, read_attribute, read_sections};
use crate::ingest::otlp::wire::AnyValue;

/// The messages of a text as an attribute has it.
fn of_text(text: &str) -> Vec<super::Flattened> {
    let messages = read_attribute(&AnyValue::String(text), User);
    flattened_messages(messages)
}

fn flattened_messages(messages: Vec<ChatMessage>) -> Vec<super::Flattened> {
    let messages = join(messages).into_iter();
    let ids = |m: &ChatMessage| {
        m.calls
            .iter()
            .map(|call| call.id.clone().unwrap_or_default())
            .collect()
    };
    messages
        .map(|m| {
            (
                m.role,
                m.text.clone(),
                m.thinking.clone(),
                ids(&m),
                m.call_id.clone(),
            )
        })
        .collect()
}

#[test]
fn printed_objects_of_python() {
    for text in [
        // LangChain
        "[SystemMessage(content='Be brief.', additional_kwargs={}, response_metadata={}), \
         HumanMessage(content='Weather?', id='1'), \
         AIMessage(content='Let me see.', additional_kwargs={'reasoning_content': 'Hm.'}, reasoning='Hm.', \
         tool_calls=[{'name': 'get_weather', 'args': {'city': 'Paris'}, 'id': 'c1', 'type': 'tool_call'}]), \
         ToolMessage(content='18°C', name='get_weather', tool_call_id='c1'), AIMessage(content='18°C in Paris.')]",
        // Pydantic AI
        "[ModelRequest(parts=[SystemPromptPart(content='Be brief.', timestamp=datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)), \
         UserPromptPart(content='Weather?', timestamp=datetime.datetime(2026, 1, 2))]), \
         ModelResponse(parts=[ThinkingPart(content='Hm.'), TextPart(content='Let me see.'), \
         ToolCallPart(tool_name='get_weather', args={'city': 'Paris'}, tool_call_id='c1')], usage=RequestUsage(input_tokens=1)), \
         ModelRequest(parts=[ToolReturnPart(tool_name='get_weather', content='18°C', tool_call_id='c1')]), \
         ModelResponse(parts=[TextPart(content='18°C in Paris.')])]",
        // Haystack
        "[ChatMessage(_role=<ChatRole.SYSTEM: 'system'>, _content=[TextContent(text='Be brief.')], _name=None, _meta={}), \
         ChatMessage(_role=<ChatRole.USER: 'user'>, _content=[TextContent(text='Weather?')], _name=None, _meta={}), \
         ChatMessage(_role=<ChatRole.ASSISTANT: 'assistant'>, _content=[ReasoningContent(reasoning_text='Hm.', extra={}), \
         TextContent(text='Let me see.'), ToolCall(tool_name='get_weather', arguments={'city': 'Paris'}, id='c1')], _name=None, _meta={}), \
         ChatMessage(_role=<ChatRole.TOOL: 'tool'>, _content=[ToolCallResult(result='18°C', \
         origin=ToolCall(tool_name='get_weather', arguments={'city': 'Paris'}, id='c1'), error=False)], _name=None, _meta={}), \
         ChatMessage(_role=<ChatRole.ASSISTANT: 'assistant'>, _content=[TextContent(text='18°C in Paris.')], _name=None, _meta={})]",
        // Dictionaries
        "{'model': 'm', 'messages': [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': 'Weather?'}, \
         {'role': 'assistant', 'content': 'Let me see.', 'reasoning_content': 'Hm.', 'tool_calls': [{'id': 'c1', 'type': 'function', \
         'function': {'name': 'get_weather', 'arguments': '{\"city\": \"Paris\"}'}}]}, \
         {'role': 'tool', 'tool_call_id': 'c1', 'content': '18°C'}, {'role': 'assistant', 'content': '18°C in Paris.'}]}",
    ] {
        assert_eq!(of_text(text), turn(), "{text}");
    }
    let text = "[TextMessage(id='1', source='user', models_usage=None, metadata={}, content='Hi', type='TextMessage'), \
                TextMessage(id='2', source='helper', content='Hello', type='TextMessage')]";
    let want = [
        one(User, "Hi", "", &[], None),
        one(Assistant, "Hello", "", &[], None),
    ];
    assert_eq!(of_text(text), want);
    let fields = json!({"messages": ["id='1' source='user' models_usage=None created_at=datetime.datetime(2026, 1, 2) content='Hi' type='TextMessage'"]});
    assert_eq!(flattened(&fields), want[..1]);
    let response = "ChatCompletion(id='1', choices=[Choice(finish_reason='stop', index=0, logprobs=None, \
                    message=ChatCompletionMessage(content='Hello', refusal=None, role='assistant', tool_calls=None))], model='m')";
    assert_eq!(of_text(response), want[1..]);
    let message = "Message(id='m', content=[TextBlock(citations=None, text='Hello', type='text')], role='assistant', type='message')";
    assert_eq!(of_text(message), want[1..]);
    let gemini = "GenerateContentResponse(candidates=[Candidate(content=Content(parts=[Part(text='Hello')], role='model'), finish_reason=<FinishReason.STOP: 'STOP'>)])";
    assert_eq!(of_text(gemini), want[1..]);
}

#[test]
fn pydantic_ai_messages_as_json() {
    let value = json!([
        {"kind": "request", "parts": [
            {"part_kind": "system-prompt", "content": "Be brief."}, {"part_kind": "user-prompt", "content": "Weather?"}]},
        {"kind": "response", "parts": [
            {"part_kind": "thinking", "content": "Hm."}, {"part_kind": "text", "content": "Let me see."},
            {"part_kind": "tool-call", "tool_name": "get_weather", "args": "{\"city\": \"Paris\"}", "tool_call_id": "c1"}]},
        {"kind": "request", "parts": [
            {"part_kind": "tool-return", "tool_name": "get_weather", "content": "18°C", "tool_call_id": "c1"}]},
        {"kind": "response", "parts": [{"part_kind": "text", "content": "18°C in Paris."}]},
    ]);
    assert_eq!(flattened(&value), turn());
}

#[test]
fn haystack_messages() {
    let message = |role: &str, content: Value| json!({"role": role, "meta": {}, "name": null, "content": content});
    let call = json!({"tool_name": "get_weather", "arguments": {"city": "Paris"}, "id": "c1", "extra": null});
    let value = json!({"messages": [
        message("system", json!([{"text": "Be brief."}])),
        message("user", json!([{"text": "Weather?"}])),
        message("assistant", json!([{"reasoning": {"reasoning_text": "Hm."}}, {"text": "Let me see."}, {"tool_call": call}])),
        message("tool", json!([{"tool_call_result": {"result": "18°C", "error": false, "origin": call}}])),
        message("assistant", json!([{"text": "18°C in Paris."}])),
    ], "tools": [{"type": "haystack.tools.tool.Tool", "data": {"name": "get_weather"}}]});
    let mut want = turn();
    assert_eq!(flattened(&value), want);
    let replies = json!({"replies": [message("assistant", json!([{"text": "18°C in Paris."}]))]});
    assert_eq!(flattened(&replies), want.split_off(4));
}

#[test]
fn wrappers_of_values() {
    let inner = json!([{"role": "user", "content": "Hi"}]);
    let want = [one(User, "Hi", "", &[], None)];
    for wrapped in [
        json!({"type": "chat_messages", "value": inner}),
        json!({"type": "json", "value": {"messages": inner}}),
        json!({"input": inner, "options": null}),
        json!({"input": "Hi", "options": null}),
        json!({"type": "text", "value": "Hi"}),
        json!({"lc": 1, "type": "constructor", "id": ["langchain_core", "prompt_values", "ChatPromptValue"], "kwargs": {"messages": inner}}),
        json!({"messages": [{"lc": 1, "type": "constructor", "id": ["langchain_core", "messages", "HumanMessage"], "kwargs": {"content": "Hi", "additional_kwargs": {}, "response_metadata": {}}}]}),
        json!(inner.to_string()),
        json!(json!(inner.to_string()).to_string()),
    ] {
        assert_eq!(flattened(&wrapped), want, "{wrapped}");
        assert_eq!(of_text(&wrapped.to_string()), want, "{wrapped}");
    }
}

#[test]
fn results_of_frameworks() {
    let answer = json!({"text": "Let me see.", "files": [], "reasoning": [{"text": "Hm."}],
        "toolCalls": [{"toolCallId": "c1", "toolName": "get_weather", "args": {"city": "Paris"}}]});
    assert_eq!(flattened_messages(read(&answer, Assistant)), turn()[2..3]);
    let command = json!({"output": [{"graph": null, "update": {"messages": [
        {"content": "18°C in Paris.", "type": "ai", "tool_calls": []}]}}]});
    assert_eq!(flattened(&command), turn()[4..]);
    let autogen = json!([{"message": {"role": "function"}, "function": [
        "{\"name\": \"get_weather\", \"content\": \"18°C\", \"call_id\": \"c1\", \"is_error\": false}"]}]);
    assert_eq!(flattened(&autogen), turn()[3..4]);
    let kernel = json!([{"role": {"label": "assistant"}, "items": [{"$type": "TextContent", "text": "Let me see."},
        {"$type": "FunctionCallContent", "id": "c1", "functionName": "get_weather", "arguments": {"city": "Paris"}}]}]);
    let mut want = turn().remove(2);
    want.2.clear();
    assert_eq!(flattened(&kernel), [want]);
    let cohere = json!({"preamble": "Be brief.", "chat_history": [{"role": "USER", "message": "Weather?"},
        {"role": "CHATBOT", "message": "18°C in Paris."}]});
    let said = turn();
    assert_eq!(
        flattened(&cohere),
        [said[0].clone(), said[1].clone(), said[4].clone()]
    );
    let page = json!([{"role": "assistant", "parts": [{"type": "step-start"}, {"type": "tool-invocation", "toolInvocation":
        {"state": "result", "toolCallId": "c1", "toolName": "get_weather", "args": {"city": "Paris"}, "result": "18°C"}}]}]);
    let want = [
        one(Assistant, "", "", &["c1"], None),
        one(Tool, "18°C", "", &[], Some("c1")),
    ];
    assert_eq!(flattened(&page), want);
}

#[test]
fn a_dump_is_nobodys_question() {
    let whole = r#"[{"role": "system", "parts": [{"type": "text", "content": "Be brief."}]}, {"role": "user", "parts": [{"type": "text", "content": "Why?"}]}"#;
    let want = [
        one(System, "Be brief.", "", &[], None),
        one(User, "Why?", "", &[], None),
    ];
    let cut = format!(
        r#"{whole}, {{"role": "tool", "parts": [{{"type": "text", "content": "{}...[truncated]"#,
        "x".repeat(70_000)
    );
    assert_eq!(of_text(&cut), want);
    assert_eq!(of_text(&format!("{whole}, ")), want);
    let surrogate = whole.replace("Why?", "Why \\ud83d?");
    assert_eq!(of_text(&format!("{surrogate}]"))[1].1, "Why \u{fffd}?");
    // Nothing is whole, or nothing can be read.
    assert_eq!(of_text(&whole[..40]), []);
    assert_eq!(
        of_text(r#"[{"role": "user", "content": "a "quote" that is not escaped"}]"#),
        []
    );
    // What only looks like it is a question.
    for text in [
        "[1] According to the paper?",
        "{user} is what?",
        "print(x=1)?",
        "Who wrote \"[{\"?",
    ] {
        assert_eq!(of_text(text), [one(User, text, "", &[], None)]);
    }
    let quoted = json!([{"role": "user", "content": "{\"role\": \"user\""}]);
    assert_eq!(flattened(&quoted)[0].1, "{\"role\": \"user\"");
}

#[test]
fn sections_of_dspy() {
    let said = |role, text: &str| {
        let mut message = ChatMessage::text(role, text);
        read_sections(&mut message);
        message
    };
    let question = "[[ ## question ## ]]\nWeather?\n\nRespond with the corresponding output fields, starting with the field `[[ ## reasoning ## ]]`.";
    assert_eq!(said(User, question).text, "Weather?");
    let two = "[[ ## context ## ]]\nIn Paris.\n\n[[ ## question ## ]]\nWeather?\n\nRespond with the corresponding output fields, starting with `[[ ## answer ## ]]`.";
    assert_eq!(
        said(User, two).text,
        "context: In Paris.\nquestion: Weather?"
    );
    let answer = said(
        Assistant,
        "[[ ## reasoning ## ]]\nHm.\n\n[[ ## answer ## ]]\n18°C\n\n[[ ## completed ## ]]",
    );
    assert_eq!((&*answer.text, &*answer.thinking), ("18°C", "Hm."));
    let step = said(
        Assistant,
        "[[ ## next_thought ## ]]\nHm.\n\n[[ ## next_tool_name ## ]]\nget_weather.__call__\n\n[[ ## next_tool_args ## ]]\n{\"city\": \"Paris\"}\n\n[[ ## completed ## ]]",
    );
    assert_eq!((&*step.text, &*step.calls[0].name), ("", "get_weather"));
    assert_eq!(step.calls[0].arguments, json!({"city": "Paris"}));
    assert_eq!(
        said(User, "What is [[ ## x ## ]]?").text,
        "What is [[ ## x ## ]]?"
    );
}
