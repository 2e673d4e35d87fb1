//! What is refused at the door: a table of everything that can be wrong with
//! one event.

use bytes::Bytes;
use prost_types::{Duration, Timestamp};
use runtraced::proto::{Event, RefusalCode};

use super::{Neighbours, SECRET, finish};
use crate::support::daemon::Daemon;
use crate::support::pg;
use crate::support::valid;

/// An event, and the code and reason with which it is to be refused.
struct Case(Event, RefusalCode, String);

fn case(event: Event, code: RefusalCode, reason: impl Into<String>) -> Case {
    Case(event, code, reason.into())
}

/// A case for each named field of an event of one kind.
macro_rules! each_field {
    ($kind:ident, $code:expr, $reason:expr, $value:expr, [$($($field:ident).+),+ $(,)?]) => {{
        let fields = [$(valid::$kind(|e| each_field!(@set e, $value, $($field).+))),+];
        let names = [$(each_field!(@last $($field).+)),+];
        fields.into_iter().zip(names).map(|(event, field)| {
            case(event, $code, format!($reason, field = field))
        }).collect::<Vec<_>>()
    }};
    (@set $e:ident, $value:expr, details.$field:ident) => {
        $e.details.as_mut().unwrap().$field = $value
    };
    (@set $e:ident, $value:expr, $field:ident) => { $e.$field = $value };
    (@last details.$field:ident) => { stringify!($field) };
    (@last $field:ident) => { stringify!($field) };
}

fn absent() -> Vec<Case> {
    let missing = RefusalCode::MissingField;
    let none = Bytes::new;
    let mut cases = vec![
        case(Event::default(), missing, "event is missing"),
        case(
            Event {
                event: None,
                ..valid::heartbeat(|_| {})
            },
            missing,
            "event is missing",
        ),
        case(
            Event {
                time: None,
                ..valid::heartbeat(|_| {})
            },
            missing,
            "time is missing",
        ),
        case(
            valid::step_started(|e| e.details = None),
            missing,
            "details is missing",
        ),
    ];
    let owner = "run_id or session_id is missing";
    cases.extend([
        case(
            valid::message(|e| (e.run_id, e.session_id) = (none(), none())),
            missing,
            owner,
        ),
        case(
            valid::approval_requested(|e| (e.run_id, e.session_id) = (none(), none())),
            missing,
            owner,
        ),
        case(
            valid::approval_decided(|e| (e.run_id, e.session_id) = (none(), none())),
            missing,
            owner,
        ),
    ]);
    macro_rules! ids {
        ($($kind:ident [$($field:ident),+]),+ $(,)?) => {
            $(cases.extend(each_field!($kind, missing, "{field} is missing", none(), [$($field),+]));)+
        };
    }
    ids!(
        session_upsert[session_id],
        run_started[run_id],
        run_ended[run_id],
        heartbeat[run_id],
        step_started[step_id, run_id],
        step_ended[step_id, run_id],
        message[message_id],
        token_count[token_count_id, run_id],
        score_added[score_id, run_id],
        approval_requested[approval_id],
        approval_decided[approval_id],
    );
    macro_rules! enums {
        ($($kind:ident [$($($field:ident).+),+]),+ $(,)?) => {
            $(cases.extend(each_field!($kind, missing, "{field} is missing", 0, [$($($field).+),+]));)+
        };
    }
    enums!(
        run_ended[status],
        step_started[details.step_type],
        step_ended[details.step_type, status],
        message[role],
        approval_decided[status],
    );
    cases
}

fn unknown_enums() -> Vec<Case> {
    let mut cases = Vec::new();
    for value in [7, 99, -1, i32::MIN, i32::MAX] {
        macro_rules! enums {
            ($($kind:ident [$($($field:ident).+),+]),+ $(,)?) => {
                $(for Case(event, code, field) in
                    each_field!($kind, RefusalCode::UnknownEnumValue, "{field}", value, [$($($field).+),+])
                {
                    cases.push(case(event, code, format!("{field} {value} is unknown to this version")));
                })+
            };
        }
        enums!(
            run_ended[status],
            step_started[details.step_type],
            step_ended[details.step_type, status],
            message[role],
            approval_decided[status],
        );
    }
    cases
}

fn malformed_ids() -> Vec<Case> {
    let mut cases = Vec::new();
    let bad: [&[u8]; 12] = [
        b"1",
        b"S3CRET-15-bytes",
        b"S3CRET of 17bytes",
        b"0192f0c17d6c7e7ca5a5646561646c7",       // 31 digits
        b"0192f0c17d6c7e7ca5a5646561646c7g",      // no digit
        b"0192f0c17d6c7e7ca5a5646561646c7\0",     // NUL
        b"0192f0c17d6c7e7ca5a5646561646c745",     // 33 digits
        b"0192f0c1-7d6c-7e7c-a5a5-646561646c7",   // 35 characters
        b"0192f0c17-d6c-7e7c-a5a5-646561646c74",  // hyphen out of place
        b" 0192f0c1-7d6c-7e7c-a5a5-646561646c74", // 37 characters
        b"\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc",
        &[b'S'; 1_000],
    ];
    for value in bad {
        let value = Bytes::from_static(value);
        macro_rules! ids {
            ($($kind:ident [$($($field:ident).+),+]),+ $(,)?) => {
                $(cases.extend(each_field!(
                    $kind, RefusalCode::InvalidId, "{field} is neither 16 bytes nor the text of a UUID",
                    value.clone(), [$($($field).+),+]));)+
            };
        }
        ids!(
            session_upsert[session_id, customer_id, user_id],
            run_started[run_id, session_id, parent_run_id, customer_id],
            run_ended[run_id],
            heartbeat[run_id],
            step_started[step_id, run_id, details.parent_step_id],
            step_ended[step_id, run_id, details.parent_step_id],
            message[message_id, run_id, session_id, step_id],
            token_count[token_count_id, run_id, step_id],
            score_added[score_id, run_id, step_id],
            approval_requested[approval_id, run_id, session_id, step_id],
            approval_decided[approval_id, run_id, session_id, decided_by],
        );
    }
    cases
}

fn bad_json() -> Vec<Case> {
    let mut cases = Vec::new();
    macro_rules! any_json {
        ($code:expr, $reason:literal, $value:expr) => {
            cases.extend(each_field!(
                step_started,
                $code,
                $reason,
                $value,
                [details.input_json]
            ));
            cases.extend(each_field!(
                step_ended,
                $code,
                $reason,
                $value,
                [details.input_json, output_json]
            ));
            cases.extend(each_field!(
                message,
                $code,
                $reason,
                $value,
                [tool_calls_json]
            ));
            cases.extend(each_field!(
                approval_requested,
                $code,
                $reason,
                $value,
                [action_data_json]
            ));
        };
    }
    macro_rules! objects {
        ($code:expr, $reason:literal, $value:expr) => {
            cases.extend(each_field!(
                session_upsert,
                $code,
                $reason,
                $value,
                [metadata_json]
            ));
            cases.extend(each_field!(
                run_started,
                $code,
                $reason,
                $value,
                [metadata_json]
            ));
            cases.extend(each_field!(
                run_ended,
                $code,
                $reason,
                $value,
                [metadata_json]
            ));
            cases.extend(each_field!(
                step_started,
                $code,
                $reason,
                $value,
                [details.metadata_json]
            ));
            cases.extend(each_field!(
                step_ended,
                $code,
                $reason,
                $value,
                [details.metadata_json]
            ));
            cases.extend(each_field!(
                message,
                $code,
                $reason,
                $value,
                [metadata_json]
            ));
        };
    }
    let invalid = RefusalCode::InvalidJson;
    macro_rules! both {
        ($code:expr, $reason:literal, $value:expr) => {
            any_json!($code, $reason, Some($value));
            objects!($code, $reason, Some($value));
        };
    }
    both!(invalid, "{field} is not JSON (at byte 0)", String::new());
    both!(
        invalid,
        "{field} is not JSON (at byte 0)",
        SECRET.to_owned()
    );
    both!(
        invalid,
        "{field} is not JSON (at byte 11)",
        format!("{{\"{SECRET}\":1]")
    );
    both!(invalid, "{field} is not JSON (at byte 1)", "{".to_owned());
    both!(
        invalid,
        "{field} is not JSON (at byte 3)",
        "{} {}".to_owned()
    );
    both!(invalid, "{field} is not JSON (at byte 0)", "NaN".to_owned());
    for value in ["[]", "1", "null", "\"S3CRET\"", " [{}] "] {
        objects!(
            invalid,
            "{field} is not a JSON object",
            Some(value.to_owned())
        );
    }
    let deep = RefusalCode::JsonTooDeep;
    for depth in [513, 10_000] {
        let nested = format!("{}{}", "{\"a\":".repeat(depth - 1), "[".repeat(depth));
        both!(
            deep,
            "{field} is nested deeper than 512 levels",
            nested.clone()
        );
    }
    cases
}

fn bad_numbers() -> Vec<Case> {
    let mut cases = Vec::new();
    let code = RefusalCode::NumberOutOfRange;
    for value in [-1, i64::from(i32::MAX) + 1, i64::MIN, i64::MAX] {
        macro_rules! counts {
            ($($kind:ident [$($field:ident),+]),+ $(,)?) => {
                $(cases.extend(each_field!(
                    $kind, code, "{field} is negative or above 2147483647", Some(value), [$($field),+]));)+
            };
        }
        counts!(
            run_ended[reported_tokens_input, reported_tokens_output],
            step_ended[duration_ms],
            token_count[input, output, cache_read, cache_write, reasoning],
        );
    }
    for (seconds, nanos) in [
        (0, 0),
        (0, 999_999),
        (-1, 0),
        (i64::MIN, 0),
        (i64::MAX, 999_999_999),
        (101 * 366 * 86_400, 0),
        (1, -1),
        (1, i32::MAX),
        (1, 1_000_000_000),
    ] {
        let event = valid::run_started(|e| e.timeout = Some(Duration { seconds, nanos }));
        cases.push(case(
            event,
            code,
            "timeout is not between 1 ms and 100 years",
        ));
    }
    cases
}

fn bad_times() -> Vec<Case> {
    let mut cases = Vec::new();
    let code = RefusalCode::TimeOutOfRange;
    for (seconds, nanos) in [
        (-219_950_294_400, 0),  // -5000-01-01
        (9_404_907_408_000, 0), // 300000-01-01
        (-210_866_803_201, 0),  // one second too early
        (9_224_318_016_000, 0), // one too late
        (i64::MIN, 0),
        (i64::MAX, 0),
        (0, -1),
        (0, 1_000_000_000),
        (0, i32::MIN),
    ] {
        let time = Some(Timestamp { seconds, nanos });
        let event = Event {
            time,
            ..valid::heartbeat(|_| {})
        };
        cases.push(case(event, code, "time is outside 4713 BC to AD 294276"));
        cases.extend(each_field!(
            step_ended,
            code,
            "{field} is outside 4713 BC to AD 294276",
            time,
            [started_at]
        ));
        cases.extend(each_field!(
            approval_requested,
            code,
            "{field} is outside 4713 BC to AD 294276",
            time,
            [expires_at]
        ));
    }
    cases
}

/// Scenario: one batch per group with everything that can be wrong with an
/// event, each between two good ones; then all of it over one stream.
/// Guarantees: each bad one is refused with its position, its code, and a
/// reason that names the field and repeats nothing; each good one is committed
/// whole; no row came of a bad one.
#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_refused_alone_with_code_position_and_reason() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (mut good, mut bad) = (0, 0);
    for cases in [
        absent(),
        unknown_enums(),
        malformed_ids(),
        bad_json(),
        bad_numbers(),
        bad_times(),
    ] {
        let (neighbours, events) = Neighbours::around(cases.iter().map(|case| case.0.clone()));
        let outcome = daemon.submit(events).await;
        for (number, (got, Case(event, code, reason))) in
            outcome.refused.iter().zip(&cases).enumerate()
        {
            let index = u32::try_from(number).unwrap() * 2 + 1;
            let got = (got.code(), got.index, got.reason.as_str(), got.sequence);
            assert_eq!(got, (*code, index, reason.as_str(), 0), "{event:?}");
            assert!(!reason.contains(SECRET));
        }
        assert_eq!(outcome.refused.len(), cases.len());
        assert_eq!(outcome.committed, cases.len() as u64 + 1);
        assert_eq!(outcome.duplicate, 0);
        neighbours.check(&mut conn).await;
        (good, bad) = (good + cases.len() as u64 + 1, bad + cases.len() as u64);
    }
    for (table, rows) in [
        ("agent_sessions", 0),
        ("agent_runs", 6),
        ("agent_steps", i64::try_from(good).unwrap()),
        ("agent_messages", 0),
        ("agent_token_counts", 0),
        ("agent_scores", 0),
        ("approvals", 0),
        ("ingest_dead_letters", 0),
    ] {
        assert_eq!(super::count(&mut conn, table).await, rows, "{table}");
    }
    let metrics = daemon.metrics().await;
    assert_eq!(
        metrics["runtraced_events_settled_total{outcome=\"refused\"}"],
        bad
    );
    assert_eq!(
        metrics["runtraced_events_settled_total{outcome=\"committed\"}"],
        good
    );
    finish(daemon).await;
}

/// Scenario: a batch of nothing, and one of bad events only.
/// Guarantees: both are answered as settled; nothing is written.
#[tokio::test(flavor = "multi_thread")]
async fn batches_without_a_good_event_are_answered() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let empty = daemon.submit(Vec::new()).await;
    assert_eq!(empty, runtraced::proto::Outcome::default());
    let bad = daemon.submit(vec![Event::default(); 3]).await;
    assert_eq!((bad.committed, bad.duplicate), (0, 0));
    let indexes: Vec<_> = bad.refused.iter().map(|r| r.index).collect();
    assert_eq!(indexes, [0, 1, 2]);
    finish(daemon).await;
}
