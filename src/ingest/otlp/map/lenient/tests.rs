use serde_json::json;

use super::Purpose::{Messages, Values};
use super::*;

fn values(text: &str) -> Option<Value> {
    read(text, Values)
}

fn messages(text: &str) -> Option<Value> {
    read(text, Messages)
}

#[test]
fn python_literals_become_json() {
    let text = r#"{'a': [1, -2.5, None], "b": (True, 'it\'s é \x41'), 'c': {}, 3: {1, 2},}"#;
    let want = json!({"a": [1, -2.5, null], "b": [true, "it's é A"], "c": {}, "3": [1, 2]});
    assert_eq!(values(text), Some(want));
    let nested = "{'at': datetime.datetime(2026, 1, 2, tzinfo=None), 'id': UUID('1-2'), \
                  'role': <Role.USER: 'user'>, 'by': <object at 0x7f>, 'why': Stop.END, 'b': b'x'}";
    let object = values(nested).unwrap();
    assert_eq!(object["id"], "1-2");
    assert_eq!(object["role"], "user");
    assert_eq!(object["by"], "<object at 0x7f>");
    assert_eq!(object["why"], "END");
    assert_eq!(object["b"], "x");
    assert_eq!(
        values("{'d': date(2026, 1, 2)}"),
        Some(json!({"d": "date(2026, 1, 2)"}))
    );
    let long = "['one '\n 'two', \"three\"]";
    assert_eq!(values(long), Some(json!(["one two", "three"])));
}

#[test]
fn damaged_json_is_mended() {
    for (text, want) in [
        (r#"{"a": "x \ud83d"}"#, json!({"a": "x \u{fffd}"})),
        (r#"{"a": "\ud83d\udc4b"}"#, json!({"a": "\u{1f44b}"})),
        (r#"["\udc4b\ud83d x"]"#, json!(["\u{fffd}\u{fffd} x"])),
        (
            r#"{"a": NaN, "b": [-Infinity, Infinity]}"#,
            json!({"a": "NaN", "b": ["-Infinity", "Infinity"]}),
        ),
        ("{\"a\": \"two\nlines\"}", json!({"a": "two\nlines"})),
        (r#"{"a": [1, 2,], }"#, json!({"a": [1, 2]})),
        (
            r#"{"a": undefined, "path": "C:\dir"}"#,
            json!({"a": null, "path": "C:\\dir"}),
        ),
        ("{ role: 'user', n: 1 }", json!({"role": "user", "n": 1})),
        (r#"{"role"=>"user"}"#, json!({"role": "user"})),
        (r#""[{\"a\": NaN}]""#, json!([{"a": "NaN"}])),
    ] {
        assert_eq!(values(text), Some(want), "{text}");
    }
}

#[test]
fn printed_objects_are_read_with_their_class() {
    let text = "ModelRequest(parts=[UserPromptPart(content='Hi', timestamp=datetime.datetime(2026, 1, 2))])";
    let want = json!({"type": "ModelRequest", "parts": [
        {"type": "UserPromptPart", "content": "Hi", "timestamp": "datetime.datetime(2026, 1, 2)"}]});
    assert_eq!(messages(text), Some(want));
    let fields = "content='18 C' additional_kwargs={} name='get_weather' tool_call_id='c1'";
    let want = json!({"content": "18 C", "additional_kwargs": {}, "name": "get_weather", "tool_call_id": "c1"});
    assert_eq!(values(fields), Some(want));
    assert_eq!(values("a.b.Point(x=1, y=2)"), Some(json!({"x": 1, "y": 2})));
    let indented =
        "Content(\n  parts=[\n    Part(\n      text='Hi'\n    ),\n  ],\n  role='user'\n)";
    let want =
        json!({"type": "Content", "role": "user", "parts": [{"type": "Part", "text": "Hi"}]});
    assert_eq!(messages(indented), Some(want));
}

#[test]
fn whole_messages_before_the_cut_are_kept() {
    let whole =
        json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]);
    let text = r#"[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [{"id": "c1"}], "content": "a long te"#;
    let first_cut = text.find("{\"role\": \"assistant\"").unwrap();
    for end in first_cut - 1..text.len() {
        for mark in [
            "",
            "...",
            "\u{2026}",
            "...[truncated]",
            "... [truncated 12 bytes]",
        ] {
            let cut = format!("{}{mark}", &text[..end]);
            assert_eq!(messages(&cut), Some(whole.clone()), "{cut}");
            let request = format!("{{\"model\": \"m\", \"messages\": {cut}");
            let want = json!({"model": "m", "messages": whole});
            assert_eq!(messages(&request), Some(want), "{request}");
        }
    }
    // Not even the first message is whole: there is none.
    for end in 10..first_cut / 2 - 20 {
        let cut = messages(&text[..end]);
        assert!(
            cut == Some(json!([])) || cut.is_none() && end < 9,
            "{}: {cut:?}",
            &text[..end]
        );
    }
    let twice = serde_json::to_string(text).unwrap();
    assert_eq!(messages(&twice[..twice.len() - 20]), Some(whole));
    let printed = "[UserMessage(content='Hi', source='user', type='UserMessage'), AssistantMessage(content='Hel";
    let want = json!([{"content": "Hi", "source": "user", "type": "UserMessage"}]);
    assert_eq!(messages(printed), Some(want));
}

#[test]
fn other_values_are_kept_up_to_the_cut() {
    let text = r#"{"path": "a.ts", "content": "a long te"#;
    let want = json!({"path": "a.ts", "content": "a long te\u{2026}"});
    assert_eq!(values(text), Some(want));
    assert_eq!(values(r#"{"n": [1, 2, 3"#), Some(json!({"n": [1, 2]})));
    assert_eq!(values(r#"{"a": 1, "b"#), Some(json!({"a": 1})));
}

#[test]
fn prose_is_no_value() {
    for text in [
        "",
        "hello",
        "[1] According to the paper",
        "[see above]",
        "[",
        "{",
        "{\"",
        "\"Hello\", she said",
        "'quoted'",
        "(or not)",
        "{not json}",
        "f(x)",
        "print(x) is a call",
        "{'a': f(x)}",
        "{1: 2} x",
        "{'a': Object at 0x1}",
        "a = b",
        "x = 'y' and more",
        "[INFO] started",
        "{{name}}",
        "{user}",
        "- {\"a\": 1}",
    ] {
        assert_eq!(values(text), None, "{text}");
        assert_eq!(messages(text), None, "{text}");
    }
}

#[test]
fn hostile_texts_take_linear_time_and_little_stack() {
    const MANY: usize = 200_000;
    for (start, end) in [
        ("[", ""),
        ("{\"a\":", ""),
        ("(", ""),
        ("A(b=", ""),
        ("<", ""),
        ("[\"", ""),
        ("'", ""),
        ("[", "]"),
        ("\\", ""),
        ("\"\\\"", ""),
        ("a=", ""),
        ("{'a'", ""),
        ("[A(", ")"),
    ] {
        let text = format!("{}{}", start.repeat(MANY), end.repeat(MANY));
        for purpose in [Messages, Values] {
            drop(read(&text, purpose));
            drop(read(&format!("[{text}"), purpose));
        }
    }
}
