//! Random requests: bytes, JSON and attributes, and valid requests with a few
//! changed bytes.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use prost::Message as _;
use runtraced::ingest::otlp::{Encoding, Signal};

use super::new_trace;
use super::properties::{hold, request_of, request_of_text};
use crate::support::otlp::{request, span, text};

/// JSON as in attributes, but of no particular dialect.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"role\"",
    "\"user\"",
    "\"content\"",
    "\"parts\"",
    "\"type\"",
    "\"text\"",
    "\"tool_calls\"",
    "\"function\"",
    "\"arguments\"",
    "\"name\"",
    "\"id\"",
    "null",
    "true",
    "-1",
    "1e400",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "{'a': None}",
    "\"{}\"",
    "\0",
    "\u{ff}",
    "messages",
    "0",
    " ",
    "\"usage\"",
    "\"prompt_tokens\"",
    "99999999999999999999",
];

fn json_like() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(select(PIECES), 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

fn attributes() -> impl Strategy<Value = Vec<u8>> {
    let content = prop_oneof![
        3 => json_like(),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    let attribute = (any::<u8>(), any::<u8>(), content).prop_map(|(key, place, content)| {
        // Most attributes are on the span itself.
        let place = if place < 128 { 0xf8 | place } else { place };
        [vec![key, place], content, vec![0xff]].concat()
    });
    prop::collection::vec(attribute, 0..12).prop_map(|attributes| attributes.concat())
}

/// A valid request with a few changed bytes.
fn mutated(encoding: Encoding) -> impl Strategy<Value = Vec<u8>> {
    let mut spans: Vec<_> = (1..4).map(|number| span(new_trace(), number)).collect();
    spans[0]
        .attributes
        .push(text("gen_ai.input.messages", "[{\"role\":\"user\"}]"));
    let message = request(spans);
    let bytes = match encoding {
        Encoding::Protobuf => message.encode_to_vec(),
        Encoding::Json => serde_json::to_vec(&message).unwrap(),
    };
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    (changes, any::<prop::sample::Index>()).prop_map(move |(changes, cut)| {
        let mut bytes = bytes.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cut.index(4) == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes
    })
}

fn run(strategy: impl Strategy<Value = Vec<u8>>, check: impl Fn(&[u8])) {
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 500,
        ..Default::default()
    });
    runner
        .run(&strategy, |bytes| {
            check(&bytes);
            Ok(())
        })
        .unwrap();
}

#[test]
fn arbitrary_bytes_have_the_properties() {
    for signal in Signal::ALL {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            run(prop::collection::vec(any::<u8>(), 0..64), |bytes| {
                hold(signal, encoding, bytes);
            });
            run(json_like(), |bytes| hold(signal, encoding, bytes));
        }
    }
}

#[test]
fn changed_requests_have_the_properties() {
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        run(mutated(encoding), |bytes| {
            hold(Signal::Traces, encoding, bytes);
            hold(Signal::Logs, encoding, bytes);
        });
    }
}

#[test]
fn arbitrary_attributes_have_the_properties() {
    run(attributes(), |bytes| {
        hold(Signal::Traces, Encoding::Protobuf, &request_of(bytes));
    });
}

/// Values that are almost JSON, cut off and with a few changed bytes.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    const SEEDS: &[&str] = &[
        r#"[{"role": "user", "content": [{"type": "text", "text": "Hi \ud83d"}, {"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png"}]}]"#,
        "{'messages': [{'role': 'user', 'content': \"it's\", 'n': [1, -2.5e3, None, True]}], 'set': {1, 2}}",
        "[HumanMessage(content='Hi', additional_kwargs={}), AIMessage(content='', tool_calls=[{'name': 'f', 'args': {'a': 1}, 'id': 'c1'}])]",
        "ModelRequest(parts=[UserPromptPart(content='Hi', timestamp=datetime.datetime(2026, 1, 2, tzinfo=timezone.utc))])",
        "content='18 C' name='f' tool_call_id='c1' role=<Role.TOOL: 'tool'>",
        r#"{"type": "json", "value": {"content": [{"type": "text", "text": "x"}], "isError": false}, "n": NaN}"#,
        r#"[[ ## question ## ]]\n data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg== x"#,
    ];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (
        select(SEEDS),
        changes,
        any::<prop::sample::Index>(),
        0..8_usize,
    )
        .prop_map(|(seed, changes, cut, wrap)| {
            let mut bytes = seed.as_bytes().to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(bytes.len() - cut.index(bytes.len()));
            let text = String::from_utf8_lossy(&bytes).into_owned();
            match wrap {
                0 => serde_json::to_vec(&text).unwrap(),
                1 => format!("[{text}]").into_bytes(),
                2 => format!("{text}...[truncated]").into_bytes(),
                _ => bytes,
            }
        })
}

#[test]
fn damaged_values_have_the_properties() {
    run(damaged(), |bytes| {
        hold(Signal::Traces, Encoding::Protobuf, &request_of_text(bytes));
    });
}
