//! Tests of the mapping with examples and with random events.

use proptest::prelude::*;
use prost_types::{Duration, Timestamp};
use uuid::Uuid;

use super::{descriptor::event_descriptor, event_from_json, event_from_line, event_to_json};
use crate::proto::{
    ApprovalDecided, ApprovalRequested, Event, MessageAppended, RunEnded, RunStarted, ScoreAdded,
    StepDetails, StepEnded, StepType, TokenCount, event::Event as Kind,
};

const STEP: &str = r#"{
  "time": "2026-01-31T12:00:00.000001Z",
  "step_ended": {
    "stepId": "018f4e2a-0000-7000-8000-000000000001",
    "run_id": "AY9OKgAAcACAAAAAAAAAAg==",
    "details": {
      "stepType": "STEP_TYPE_TOOL_CALL",
      "name": "look_up \ud800 \ud83d\ude00",
      "inputJson": {"b": 1.00, "a": [12345678901234567890, "\u0000", {"b": null}]},
      "metadata_json": "{\"kept\": true}"
    },
    "status": 1,
    "output_json": [ ],
    "durationMs": 12,
    "error": null
  }
}"#;

fn step(text: &str) -> StepEnded {
    match event_from_json(text).unwrap().event {
        Some(Kind::StepEnded(step)) => step,
        other => panic!("{other:?}"),
    }
}

fn reason(text: &str) -> String {
    event_from_json(text).unwrap_err().to_string()
}

#[test]
fn ids_times_names_and_numbers_are_read() {
    let step = step(STEP);
    let id = |last: u128| Uuid::from_u128(0x018f_4e2a_0000_7000_8000_0000_0000_0000 + last);
    assert_eq!(step.step_id, id(1).as_bytes().as_slice());
    assert_eq!(step.run_id, id(2).as_bytes().as_slice());
    assert_eq!(step.duration_ms, Some(12));
    assert_eq!(step.error, None);
    assert_eq!(step.status, 1);
    assert_eq!(
        event_from_json(STEP).unwrap().time.unwrap().nanos,
        1_000,
        "microseconds"
    );
}

#[test]
fn plain_json_values_are_kept_verbatim() {
    let step = step(STEP);
    let details = step.details.unwrap();
    assert_eq!(
        details.input_json.unwrap(),
        r#"{"b": 1.00, "a": [12345678901234567890, "\u0000", {"b": null}]}"#
    );
    assert_eq!(details.metadata_json.unwrap(), r#"{"kept": true}"#);
    assert_eq!(step.output_json.unwrap(), "[ ]");
}

#[test]
fn a_lone_surrogate_becomes_the_replacement_character() {
    assert_eq!(
        step(STEP).details.unwrap().name.unwrap(),
        "look_up \u{FFFD} \u{1F600}"
    );
}

#[test]
fn a_string_of_a_line_is_itself_unless_it_is_a_structure() {
    let output = |written: &str| {
        let line = format!(r#"{{"stepEnded": {{"outputJson": {written}}}}}"#);
        let stored = |event: Event| match event.event {
            Some(Kind::StepEnded(step)) => step.output_json,
            other => panic!("{other:?}"),
        };
        let kept = stored(event_from_json(&line).unwrap());
        (stored(event_from_line(&line).unwrap().event), kept)
    };
    let some = |text: &str| Some(text.to_owned());
    for (written, line, kept) in [
        // What has one meaning in both forms.
        (r#"{"t": 21}"#, r#"{"t": 21}"#, r#"{"t": 21}"#),
        ("[ 1 ]", "[ 1 ]", "[ 1 ]"),
        ("42", "42", "42"),
        ("true", "true", "true"),
        (r#""{\"t\": 21}""#, r#"{"t": 21}"#, r#"{"t": 21}"#),
        (r#"" [1]\n""#, " [1]\n", " [1]\n"),
        (r#""\"hi\"""#, r#""hi""#, r#""hi""#),
        (r#""null""#, "null", "null"),
        // What people mean as text.
        (
            r#""The weather is fine""#,
            r#""The weather is fine""#,
            "The weather is fine",
        ),
        (r#""42""#, r#""42""#, "42"),
        (r#""true""#, r#""true""#, "true"),
        (r#""""#, r#""""#, ""),
        (r#""{oops""#, r#""{oops""#, "{oops"),
        (
            r#""\"a\" or \"b\"""#,
            r#""\"a\" or \"b\"""#,
            r#""a" or "b""#,
        ),
        (r#""[1] and [2]""#, r#""[1] and [2]""#, "[1] and [2]"),
        (r#""a\u0000\nb""#, r#""a\u0000\nb""#, "a\0\nb"),
    ] {
        assert_eq!(output(written), (some(line), some(kept)), "{written}");
    }
    assert_eq!(output("null"), (None, None));
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(output(&format!("\"{deep}\"")), (some(&deep), some(&deep)));
}

#[test]
fn replaced_surrogates_are_counted() {
    let line = r#"{"stepEnded": {"error": "\ud800 \udc00", "outputJson": "\ud800"}}"#;
    let written = event_from_line(line).unwrap();
    assert_eq!(written.surrogates, 3);
    assert_eq!(event_from_line(STEP).unwrap().surrogates, 1);
}

#[test]
fn errors_name_the_position_and_the_cause() {
    assert_eq!(
        reason(r#"{"stepEnded": {"stepid": ""}}"#),
        "1:23: unknown field `stepid` in StepEnded"
    );
    assert_eq!(
        reason(r#"{"heartbeat": {"runId": "x"}}"#),
        "1:27: invalid value: string \"x\", expected a UUID for `run_id`"
    );
    assert!(reason(r#"{"heartbeat": {}, "runEnded": {}}"#).contains("only one may be"));
    assert!(reason(r#"{"heartbeat": {}, "heartbeat": {}}"#).contains("appears twice"));
    assert!(reason(r#"{"time": "yesterday"}"#).contains("a time like"));
    assert!(reason(r#"{"time": 3}"#).contains("a time like"));
    assert!(reason(r#"{"runEnded": {"status": "DONE"}}"#).contains("END_STATUS_COMPLETED"));
    assert!(reason(r#"{"tokenCount": {"input": 1.5}}"#).contains("an integer for `input`"));
    assert!(reason(r#"{"tokenCount": {"input": 9223372036854775808}}"#).contains("an integer"));
    assert!(reason(r#"{"tokenCount": {"rollup": 1}}"#).contains("true or false for `rollup`"));
    assert!(reason(r#"{"scoreAdded": {"value": true}}"#).contains("a number for `value`"));
    assert!(reason(r#"{"scoreAdded": {"value": "inf"}}"#).contains("a number for `value`"));
    assert!(reason(r#"{"runStarted": {"agentId": 1}}"#).contains("a string for `agent_id`"));
    assert!(reason("{").contains("EOF"));
    assert!(reason("[]").contains("an object for Event"));
    assert!(reason("{} {}").contains("trailing"));
}

#[test]
fn hostile_nesting_is_skipped_or_refused_without_recursion() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let text = format!(r#"{{"stepEnded": {{"outputJson": {deep}}}}}"#);
    assert_eq!(step(&text).output_json.unwrap(), deep);
    let objects = r#"{"a":"#.repeat(200_000);
    assert!(event_from_json(&format!(r#"{{"stepEnded": {objects}"#)).is_err());
    assert!(event_from_json(&format!(r#"{{"time": {deep}}}"#)).is_err());
    assert!(event_from_json(&deep).is_err());
}

#[test]
fn times_beyond_json_survive() {
    for time in [
        r#""-5000-01-01T00:00:00Z""#,
        r#""+300000-01-01T00:00:00Z""#,
        r#"{"seconds": 5, "nanos": 2000000000}"#,
    ] {
        let event = event_from_json(&format!(r#"{{"time": {time}}}"#)).unwrap();
        let text = event_to_json(&event).unwrap();
        assert_eq!(event_from_json(&text).unwrap(), event, "{text}");
    }
}

#[test]
fn the_kind_of_every_field_is_mapped() {
    fn check(message: &prost_reflect::MessageDescriptor) {
        for field in message.fields() {
            assert!(!field.is_list() && !field.is_map(), "{field:?}");
            match field.kind() {
                prost_reflect::Kind::Message(inner) => check(&inner),
                prost_reflect::Kind::String
                | prost_reflect::Kind::Bytes
                | prost_reflect::Kind::Bool
                | prost_reflect::Kind::Int32
                | prost_reflect::Kind::Sint32
                | prost_reflect::Kind::Int64
                | prost_reflect::Kind::Double
                | prost_reflect::Kind::Enum(_) => {}
                other => panic!("{}: {other:?}", field.full_name()),
            }
        }
    }
    check(&event_descriptor().unwrap());
}

fn id() -> impl Strategy<Value = prost::bytes::Bytes> {
    prop_oneof![
        1 => Just(prost::bytes::Bytes::new()),
        4 => any::<[u8; 16]>().prop_map(|id| id.to_vec().into()),
    ]
}

fn text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(any::<String>())
}

fn details() -> impl Strategy<Value = Option<StepDetails>> {
    let all = (0..9_i32, text(), text(), id(), text(), text(), text());
    proptest::option::of(all.prop_map(
        |(step_type, kind, name, parent_step_id, model, input_json, metadata_json)| StepDetails {
            step_type,
            kind,
            name,
            parent_step_id,
            model,
            input_json,
            metadata_json,
            ..Default::default()
        },
    ))
}

fn time() -> impl Strategy<Value = Option<Timestamp>> {
    let seconds = prop_oneof![any::<i64>(), -100_000_000_000_i64..100_000_000_000];
    let nanos = prop_oneof![any::<i32>(), 0..1_000_000_000_i32];
    proptest::option::of((seconds, nanos).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos }))
}

fn duration() -> impl Strategy<Value = Option<Duration>> {
    let parts = (any::<i64>(), any::<i32>());
    proptest::option::of(parts.prop_map(|(seconds, nanos)| Duration { seconds, nanos }))
}

fn number() -> impl Strategy<Value = Option<i64>> {
    proptest::option::of(any::<i64>())
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (id(), id(), any::<String>(), text(), text(), duration()).prop_map(
            |(run_id, session_id, agent_id, input, metadata_json, timeout)| {
                Kind::RunStarted(RunStarted {
                    run_id,
                    session_id,
                    agent_id,
                    input,
                    metadata_json,
                    timeout,
                    ..Default::default()
                })
            }
        ),
        (id(), any::<i32>(), text(), number()).prop_map(|(run_id, status, output, tokens)| {
            Kind::RunEnded(RunEnded {
                run_id,
                status,
                output,
                reported_tokens_input: tokens,
                ..Default::default()
            })
        }),
        (
            id(),
            details(),
            text(),
            time(),
            number(),
            any::<(bool, i32)>()
        )
            .prop_map(
                |(step_id, details, output_json, started_at, duration_ms, (announced, view))| {
                    Kind::StepEnded(StepEnded {
                        step_id,
                        view,
                        details,
                        output_json,
                        started_at,
                        duration_ms,
                        announced,
                        ..Default::default()
                    })
                }
            ),
        (id(), id(), text(), text(), number()).prop_map(
            |(message_id, step_id, content, tool_calls_json, seq)| {
                Kind::MessageAppended(MessageAppended {
                    message_id,
                    step_id,
                    content,
                    tool_calls_json,
                    seq,
                    ..Default::default()
                })
            }
        ),
        (id(), number(), any::<bool>()).prop_map(|(token_count_id, input, rollup)| {
            Kind::TokenCount(TokenCount {
                token_count_id,
                input,
                rollup,
                ..Default::default()
            })
        }),
        (id(), any::<String>(), proptest::option::of(any::<f64>())).prop_map(
            |(score_id, name, value)| {
                Kind::ScoreAdded(ScoreAdded {
                    score_id,
                    name,
                    value,
                    ..Default::default()
                })
            }
        ),
        (id(), any::<String>(), text(), time()).prop_map(
            |(approval_id, action_type, action_data_json, expires_at)| {
                Kind::ApprovalRequested(ApprovalRequested {
                    approval_id,
                    action_type,
                    action_data_json,
                    expires_at,
                    ..Default::default()
                })
            }
        ),
        (id(), id(), text()).prop_map(|(approval_id, decided_by, notes)| {
            Kind::ApprovalDecided(ApprovalDecided {
                approval_id,
                decided_by,
                notes,
                ..Default::default()
            })
        }),
    ]
}

proptest! {
    #[test]
    fn every_event_survives_json(
        time in time(),
        event in proptest::option::of(kind()),
    ) {
        let event = Event { time, event };
        let text = event_to_json(&event).unwrap();
        prop_assert!(!text.contains('\n'), "one line: {text}");
        prop_assert_eq!(event_from_json(&text).unwrap(), event);
    }

    /// What a client of any language must do with a text, so that it need not guess.
    #[test]
    fn a_text_that_is_written_as_json_text_survives(text in any::<String>()) {
        let json = serde_json::to_string(&text).unwrap();
        let written = serde_json::to_string(&json).unwrap();
        let line = format!(r#"{{"stepEnded": {{"outputJson": {written}}}}}"#);
        let Some(Kind::StepEnded(step)) = event_from_line(&line).unwrap().event.event else {
            panic!("a step");
        };
        prop_assert_eq!(step.output_json.unwrap(), json);
    }

    #[test]
    fn json_values_survive_verbatim(value in any::<Vec<(String, f64)>>()) {
        let value = serde_json::to_string(&value).unwrap();
        let text = format!(r#"{{"stepEnded": {{"outputJson": {value}}}}}"#);
        prop_assert_eq!(step(&text).output_json.unwrap(), value);
    }

    #[test]
    fn no_text_panics(text in "[{}\\[\\]\":,a-zA-Z0-9\\\\.+-]{0,60}") {
        let _ = event_from_json(&text);
        let _ = event_from_line(&format!(r#"{{"stepEnded":{{"outputJson":"{text}"}}}}"#));
        let _ = event_from_json(&format!(r#"{{"time":"{text}"}}"#));
        let _ = event_from_json(&format!(r#"{{"runStarted":{{"timeout":"{text}"}}}}"#));
    }
}

#[test]
fn times_of_any_size_do_not_panic() {
    for year in [
        "+99999999999",
        "+9223372036854775807",
        "-9223372036854775808",
        "0000",
    ] {
        let _ = event_from_json(&format!(r#"{{"time": "{year}-12-31T23:59:59Z"}}"#));
    }
    let timeout = r#"{"runStarted": {"timeout": "-9223372036854775808.999999999s"}}"#;
    let _ = event_from_json(timeout);
}

#[test]
fn ids_that_are_no_uuids_are_written_and_refused() {
    let event = event_from_json(r#"{"heartbeat": {}}"#).unwrap();
    let Some(Kind::Heartbeat(mut beat)) = event.event else {
        panic!("a heartbeat");
    };
    let id = Uuid::from_u128(7);
    for text in [id.to_string(), id.simple().to_string()] {
        beat.run_id = text.into_bytes().into();
        let json = event_to_json(&Event {
            time: None,
            event: Some(Kind::Heartbeat(beat.clone())),
        })
        .unwrap();
        assert!(json.contains(&id.to_string()), "{json}");
    }
    beat.run_id = "short".into();
    let json = event_to_json(&Event {
        time: None,
        event: Some(Kind::Heartbeat(beat)),
    })
    .unwrap();
    assert!(event_from_json(&json).is_err(), "{json}");
}

#[test]
fn enum_names_are_written() {
    let details = StepDetails {
        step_type: StepType::LlmCall.into(),
        ..Default::default()
    };
    let json = event_to_json(&Event {
        time: None,
        event: Some(Kind::StepEnded(StepEnded {
            details: Some(details),
            ..Default::default()
        })),
    })
    .unwrap();
    assert_eq!(
        json,
        r#"{"stepEnded":{"details":{"stepType":"STEP_TYPE_LLM_CALL"}}}"#
    );
}
