//! What is sent is what is stored: every type and edge value through a real
//! Postgres, by appending and by merging.

use bytes::Bytes;
use prost_types::Timestamp;
use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, Event};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::events::{at, id, message, new_id, step, step_started, tokens};
use crate::support::tables::content;
use crate::support::{pg, valid};

/// The first and the last time that Postgres holds.
const FIRST: Timestamp = Timestamp {
    seconds: -210_866_803_200,
    nanos: 0,
};
const LAST: Timestamp = Timestamp {
    seconds: 9_224_318_015_999,
    nanos: 999_999_999,
};
const FIRST_TEXT: &str = "4714-11-24T00:00:00+00:00 BC";
const LAST_TEXT: &str = "294276-12-31T23:59:59.999999+00:00";

fn uuid(bytes: &Bytes) -> Uuid {
    Uuid::from_slice(bytes).unwrap()
}

/// The whole row but for what is by the database's clock, and by whom it was written.
async fn whole_row(conn: &mut PgConnection, table: &str, id: Uuid) -> Value {
    let clock = if table == "agent_step_aliases" {
        "created_at"
    } else {
        "abandon_at"
    };
    let query = format!(
        "SELECT to_jsonb(t) - '{{{clock},summed_by,changed_at,bucket}}'::text[] FROM {table} t WHERE id = $1"
    );
    sqlx::query_scalar(AssertSqlSafe(query))
        .bind(id)
        .fetch_one(conn)
        .await
        .unwrap()
}

/// A row that is to come of an event: its table, id and content, but for the
/// columns that are NULL unless a bridge or a customer's key told of it.
struct Want(&'static str, Uuid, Value);

const SELDOM: &[(&str, &[&str])] = &[
    (
        "agent_runs",
        &[
            "observed",
            "output_observed",
            "status_observed",
            "error_observed",
            "root_started_at",
            "tenant_id",
            "settle_at",
            "views_shown",
            "gone_at",
        ],
    ),
    ("agent_token_counts", &["seen_twice"]),
    ("agent_sessions", &["tenant_id"]),
    ("agent_step_aliases", &["tenant_id"]),
    (
        "agent_steps",
        &[
            "named_parent_step_id",
            "details_view",
            "other_view",
            "view",
            "own_view",
        ],
    ),
    ("agent_messages", &["sighting"]),
];

impl Want {
    fn whole(mut self) -> Value {
        let columns = SELDOM.iter().find(|(table, _)| *table == self.0);
        for column in columns.map_or(&[][..], |(_, columns)| columns) {
            let row = self.2.as_object_mut().unwrap();
            row.entry(*column).or_insert(Value::Null);
        }
        self.2
    }
}

/// Each kind with every field set.
fn full() -> Vec<(Event, Want)> {
    let mut pairs = Vec::new();
    let mut add = |event: Event, want: fn(&Body) -> Want| {
        let want = want(event.event.as_ref().unwrap());
        pairs.push((event, want));
    };
    macro_rules! kind {
        ($kind:ident, $body:ident, |$e:ident| $table:literal, $id:ident, $want:tt) => {
            add(valid::$kind(|_| {}), |body| match body {
                Body::$body($e) => Want($table, uuid(&$e.$id), json!($want)),
                other => panic!("{other:?}"),
            });
        };
    }
    kind!(session_upsert, SessionUpsert, |e| "agent_sessions", session_id, {
        "id": uuid(&e.session_id), "customer_id": null, "user_id": null, "title": "title", "external_id": "external",
        "created_at": "2026-01-01T00:00:05+00:00", "updated_at": "2026-01-01T00:00:05+00:00",
        "metadata": {"of": "session", "unresolved_customer_id": uuid(&e.customer_id), "unresolved_user_id": uuid(&e.user_id)},
        "merge_times": vec!["2026-01-01T00:00:05+00:00"; 5],
    });
    kind!(run_started, RunStarted, |e| "agent_runs", run_id, {
        "id": uuid(&e.run_id), "session_id": uuid(&e.session_id), "parent_run_id": uuid(&e.parent_run_id),
        "customer_id": null, "agent_id": "agent", "agent_type": "type", "name": "name", "status": "running",
        "input": "input", "output": null, "error": null, "total_tokens_input": null, "total_tokens_output": null,
        "metadata": {"of": "run", "unresolved_customer_id": uuid(&e.customer_id)}, "end_metadata": null,
        "started_at": "2026-01-01T00:00:05+00:00", "ended_at": null, "duration_ms": null,
        "last_event_at": "2026-01-01T00:00:05+00:00", "alive_at": "2026-01-01T00:00:05+00:00",
        "start_event_at": "2026-01-01T00:00:05+00:00", "finalized_by": null, "timeout_ms": 3_600_005,
        "reported_tokens_input": null, "reported_tokens_output": null,
    });
    kind!(run_ended, RunEnded, |e| "agent_runs", run_id, {
        "id": uuid(&e.run_id), "session_id": null, "parent_run_id": null, "customer_id": null,
        "agent_id": "unknown", "agent_type": "unknown", "name": null, "status": "failed", "input": null,
        "output": "output", "error": "error", "total_tokens_input": 11, "total_tokens_output": 22,
        "metadata": null, "end_metadata": {"of": "end"}, "started_at": "2026-01-01T00:00:03+00:00",
        "root_started_at": "2026-01-01T00:00:03+00:00",
        "ended_at": "2026-01-01T00:00:05+00:00", "duration_ms": 2000, "last_event_at": "2026-01-01T00:00:05+00:00",
        "alive_at": "2026-01-01T00:00:05+00:00", "start_event_at": null, "finalized_by": "root_span",
        "timeout_ms": null, "reported_tokens_input": 11, "reported_tokens_output": 22,
    });
    kind!(heartbeat, Heartbeat, |e| "agent_runs", run_id, {
        "id": uuid(&e.run_id), "session_id": null, "parent_run_id": null, "customer_id": null,
        "agent_id": "unknown", "agent_type": "unknown", "name": null, "status": "running", "input": null,
        "output": null, "error": null, "total_tokens_input": null, "total_tokens_output": null, "metadata": null,
        "end_metadata": null, "started_at": null, "ended_at": null, "duration_ms": null,
        "last_event_at": "2026-01-01T00:00:05+00:00", "alive_at": "2026-01-01T00:00:05+00:00",
        "start_event_at": null, "finalized_by": null, "timeout_ms": null,
        "reported_tokens_input": null, "reported_tokens_output": null,
    });
    kind!(step_started, StepStarted, |e| "agent_steps", step_id, {
        "id": uuid(&e.step_id), "run_id": uuid(&e.run_id), "step_type": "llm_call", "name": "name", "kind": "kind",
        "parent_step_id": uuid(&e.details.as_ref().unwrap().parent_step_id), "model": "model", "input": [1, "in"],
        "metadata": {"of": "step"}, "output": null, "error": null, "status": "running", "duration_ms": null,
        "created_at": "2026-01-01T00:00:05+00:00", "started_at": "2026-01-01T00:00:05+00:00", "ended_at": null,
        "closed_with_run": null, "duration_reported": null, "details_rank": 1,
        "details_at": "2026-01-01T00:00:05+00:00",
    });
    kind!(step_ended, StepEnded, |e| "agent_steps", step_id, {
        "id": uuid(&e.step_id), "run_id": uuid(&e.run_id), "step_type": "llm_call", "name": "name", "kind": "kind",
        "parent_step_id": uuid(&e.details.as_ref().unwrap().parent_step_id), "model": "model", "input": [1, "in"],
        "metadata": {"of": "step"}, "output": {"out": [true, null]}, "error": "error", "status": "failed",
        "duration_ms": 998, "created_at": "2026-01-01T00:00:04+00:00", "started_at": "2026-01-01T00:00:04+00:00",
        "ended_at": "2026-01-01T00:00:05+00:00", "closed_with_run": null, "duration_reported": true,
        "details_rank": null, "details_at": null,
    });
    kind!(message, MessageAppended, |e| "agent_messages", message_id, {
        "id": uuid(&e.message_id), "session_id": uuid(&e.session_id), "run_id": uuid(&e.run_id),
        "step_id": uuid(&e.step_id), "role": "assistant", "content": "content", "thinking": "thinking",
        "tool_calls": [{"tool": "t"}], "metadata": {"of": "message"}, "created_at": "2026-01-01T00:00:05+00:00",
        "seq": 7,
    });
    kind!(token_count, TokenCount, |e| "agent_token_counts", token_count_id, {
        "id": uuid(&e.token_count_id), "run_id": uuid(&e.run_id), "step_id": uuid(&e.step_id), "model": "model",
        "input": 100, "output": 50, "cache_read": 40, "cache_write": 30, "reasoning": 20, "rollup": true,
        "created_at": "2026-01-01T00:00:05+00:00",
    });
    kind!(score_added, ScoreAdded, |e| "agent_scores", score_id, {
        "id": uuid(&e.score_id), "run_id": uuid(&e.run_id), "step_id": uuid(&e.step_id), "name": "correctness",
        "value": -0.25, "label": "wrong", "comment": "comment", "source": "judge", "metadata": {"of": "score"},
        "created_at": "2026-01-01T00:00:05+00:00",
    });
    kind!(approval_requested, ApprovalRequested, |e| "approvals", approval_id, {
        "id": uuid(&e.approval_id), "session_id": uuid(&e.session_id), "run_id": uuid(&e.run_id),
        "step_id": uuid(&e.step_id), "action_type": "send_email", "action_description": "description",
        "action_data": {"to": "x"}, "status": "pending", "decided_by": null, "decided_at": null, "notes": null,
        "metadata": null, "created_at": "2026-01-01T00:00:05+00:00", "expires_at": "2126-01-02T00:00:00+00:00",
        "requested_event_at": "2026-01-01T00:00:05+00:00", "decided_event_at": null,
    });
    kind!(approval_decided, ApprovalDecided, |e| "approvals", approval_id, {
        "id": uuid(&e.approval_id), "session_id": uuid(&e.session_id), "run_id": uuid(&e.run_id), "step_id": null,
        "action_type": "unknown", "action_description": null, "action_data": null, "status": "approved",
        "decided_by": null, "decided_at": "2026-01-01T00:00:05+00:00", "notes": "notes",
        "metadata": {"unresolved_decided_by": uuid(&e.decided_by)}, "created_at": null, "expires_at": null,
        "requested_event_at": null, "decided_event_at": "2026-01-01T00:00:05+00:00",
    });
    kind!(run_observed, RunObserved, |e| "agent_runs", run_id, {
        "id": uuid(&e.run_id), "session_id": uuid(&e.session_id), "parent_run_id": null, "customer_id": null,
        "agent_id": "agent", "agent_type": "type", "name": "name", "status": "running", "input": "input",
        "output": "output", "error": null, "total_tokens_input": null, "total_tokens_output": null,
        "metadata": {"of": "a part", "user": "user", "tags": ["a", "b"], "unresolved_customer_id": "customer"},
        "end_metadata": null, "started_at": null, "ended_at": null, "duration_ms": null, "last_event_at": null, "alive_at": null, "start_event_at": null, "finalized_by": null,
        "timeout_ms": null, "reported_tokens_input": null, "reported_tokens_output": null,
        "output_observed": true, "observed": {
            "session_id": [-1, 820_540_805_000_000_i64, uuid(&e.session_id)],
            "agent_id": [-1, 820_540_805_000_000_i64, "agent"], "agent_type": [-1, 820_540_805_000_000_i64, "type"],
            "name": [-1, 820_540_805_000_000_i64, "name"], "input": [-1, 820_540_805_000_000_i64, "input"],
            "output": [-1, 820_540_805_000_000_i64, "output"],
            "metadata": [-1, 820_540_805_000_000_i64, "{\"of\": \"a part\"}"],
            "outcome": [-1, 820_540_805_000_000_i64, "failed: error"],
            "customer": [-1, 820_540_805_000_000_i64, "customer"], "user": [-1, 820_540_805_000_000_i64, "user"],
            "tags": [-1, 820_540_805_000_000_i64, "[\"a\", \"b\"]"],
        },
    });
    kind!(step_aliased, StepAliased, |e| "agent_step_aliases", alias_id, {
        "id": uuid(&e.alias_id), "run_id": uuid(&e.run_id), "step_id": uuid(&e.step_id),
        "parent_step_id": uuid(&e.parent_step_id), "root_started_at": "2026-01-01T00:00:01+00:00",
        "root_ended_at": "2026-01-01T00:00:02+00:00", "root_status": "failed", "root_error": "error",
        "root_name": "name", "run_pending": true,
    });
    pairs
}

/// Each kind with nothing set that may be absent, at the ends of time.
fn bare() -> Vec<(Event, Want)> {
    let mut pairs = Vec::new();
    for (time, text) in [(FIRST, FIRST_TEXT), (LAST, LAST_TEXT)] {
        let [run, step, note, count, ask, score] = std::array::from_fn(|_| new_id());
        let add = &mut |body: Body, want| {
            let (time, event) = (Some(time), Some(body));
            pairs.push((Event { time, event }, want));
        };
        let body = Body::StepEnded(proto::StepEnded {
            step_id: id(step),
            run_id: id(run),
            status: 1,
            ..Default::default()
        });
        let want = json!({
            "id": step, "run_id": run, "step_type": null, "name": null, "kind": null, "parent_step_id": null,
            "model": null, "input": null, "metadata": null, "output": null, "error": null, "status": "completed",
            "duration_ms": null, "created_at": text, "started_at": null, "ended_at": text,
            "closed_with_run": null, "duration_reported": null, "details_rank": 0, "details_at": null,
        });
        add(body, Want("agent_steps", step, want));
        let body = Body::MessageAppended(proto::MessageAppended {
            message_id: id(note),
            run_id: id(run),
            role: 4,
            ..Default::default()
        });
        let want = json!({
            "id": note, "session_id": null, "run_id": run, "step_id": null, "role": "tool", "content": null,
            "thinking": null, "tool_calls": null, "metadata": null, "created_at": text, "seq": null,
        });
        add(body, Want("agent_messages", note, want));
        let body = Body::TokenCount(proto::TokenCount {
            token_count_id: id(count),
            run_id: id(run),
            ..Default::default()
        });
        let want = json!({
            "id": count, "run_id": run, "step_id": null, "model": null, "input": null, "output": null,
            "cache_read": null, "cache_write": null, "reasoning": null, "rollup": false, "created_at": text,
        });
        add(body, Want("agent_token_counts", count, want));
        let body = Body::ScoreAdded(proto::ScoreAdded {
            score_id: id(score),
            run_id: id(run),
            name: "n".into(),
            ..Default::default()
        });
        let want = json!({
            "id": score, "run_id": run, "step_id": null, "name": "n", "value": null, "label": null, "comment": null,
            "source": null, "metadata": null, "created_at": text,
        });
        add(body, Want("agent_scores", score, want));
        let body = Body::ApprovalRequested(proto::ApprovalRequested {
            approval_id: id(ask),
            run_id: id(run),
            ..Default::default()
        });
        let want = json!({
            "id": ask, "session_id": null, "run_id": run, "step_id": null, "action_type": "unknown",
            "action_description": null, "action_data": null, "status": "pending", "decided_by": null,
            "decided_at": null, "notes": null, "metadata": null, "created_at": text, "expires_at": null,
            "requested_event_at": text, "decided_event_at": null,
        });
        add(body, Want("approvals", ask, want));
    }
    pairs
}

/// Numbers at their limits, texts and JSON of every kind.
fn extreme() -> Vec<Event> {
    let texts = [
        String::new(),
        " ".into(),
        "\u{1}\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{fffd}\u{ffff}\u{10000}\u{1f600}\u{10ffff}".into(),
        "\\N\t\n\r\\.\"'".into(),
        "\u{e9}".repeat(1 << 19),
    ];
    let json = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1.50",
        "1e300",
        "1E-300",
        "123456789012345678901234567890.123456789",
        "\"\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\u{10ffff}\"",
        "[]",
        "{}",
        "[[],{},null]",
        " { \"b\" : 1 , \"a\" : [ 1 , 2 ] , \"b\" : 3 } ",
        "{\"\":{\"\":\"\"}}",
    ];
    let objects = [
        "{}",
        "{\"a\":null}",
        " {\"\u{10ffff}\": [1, {\"b\": -0.0}]}",
    ];
    let numbers = [0, 1, i64::from(i32::MAX)];
    let mut events = Vec::new();
    for text in texts {
        let text = || Some(text.clone());
        events.push(valid::message(|e| {
            (e.content, e.thinking) = (text(), text())
        }));
        events.push(valid::token_count(|e| e.model = text()));
        events.push(valid::step_ended(|e| {
            e.error = text();
            let details = e.details.as_mut().unwrap();
            (details.name, details.kind, details.model) = (text(), text(), text());
        }));
    }
    for json in json {
        let json = || Some(json.to_owned());
        events.push(valid::message(|e| e.tool_calls_json = json()));
        events.push(valid::step_ended(|e| {
            e.output_json = json();
            e.details.as_mut().unwrap().input_json = json();
        }));
    }
    for json in objects {
        events.push(valid::message(|e| e.metadata_json = Some(json.into())));
        events.push(valid::step_started(|e| {
            e.details.as_mut().unwrap().metadata_json = Some(json.into())
        }));
    }
    for n in numbers {
        events.push(valid::token_count(|e| {
            (e.input, e.output, e.rollup) = (Some(n), Some(n), false);
            (e.cache_read, e.cache_write, e.reasoning) = (Some(n), Some(n), Some(n));
        }));
        events.push(valid::step_ended(|e| e.duration_ms = Some(n)));
    }
    for value in [0.0, -0.0, f64::MIN, f64::MAX, 5e-324, 0.1 + 0.2] {
        events.push(valid::score_added(|e| e.value = Some(value)));
    }
    for seq in [i64::MIN, -1, 0, i64::MAX] {
        events.push(valid::message(|e| e.seq = Some(seq)));
    }
    for started in [FIRST, LAST, at(0)] {
        for time in [FIRST, LAST, at(0)] {
            let mut event =
                valid::step_ended(|e| (e.started_at, e.duration_ms) = (Some(started), None));
            event.time = Some(time);
            events.push(event);
        }
    }
    for step_type in 1..=6 {
        events.push(valid::step_started(|e| {
            e.details.as_mut().unwrap().step_type = step_type
        }));
    }
    for role in 1..=4 {
        events.push(valid::message(|e| e.role = role));
    }
    events
}

/// Scenario: each kind with every field set, and with none, at the first and
/// the last microsecond that Postgres knows.
/// Guarantees: every column of its row is as sent.
#[tokio::test(flavor = "multi_thread")]
async fn every_field_reads_back_column_by_column() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    for (event, want) in full().into_iter().chain(bare()) {
        let (table, id, want) = (want.0, want.1, want.whole());
        let outcome = daemon.submit(vec![event.clone()]).await;
        assert_eq!(
            (outcome.committed, &*outcome.refused),
            (1, &[][..]),
            "{event:?}"
        );
        assert_eq!(whole_row(&mut conn, table, id).await, want, "{event:?}");
    }
    daemon.finish().await;
}

/// What a step is stored as, taken from what was sent.
async fn check_extreme(conn: &mut PgConnection, event: &Event) {
    let parse = |json: &Option<String>| -> Value {
        let text = json.as_deref().unwrap_or("null");
        serde_json::from_str(text).unwrap()
    };
    // JSON null and no JSON at all look the same once they are in a row.
    match event.event.as_ref().unwrap() {
        Body::MessageAppended(e) => {
            let row = whole_row(conn, "agent_messages", uuid(&e.message_id)).await;
            assert_eq!(row["content"], json!(e.content));
            assert_eq!(row["thinking"], json!(e.thinking));
            assert_eq!(row["seq"], json!(e.seq));
            assert_eq!(
                row["role"],
                json!(["", "user", "assistant", "system", "tool"][e.role as usize])
            );
            same_json(&row["tool_calls"], &parse(&e.tool_calls_json));
            same_json(&row["metadata"], &parse(&e.metadata_json));
        }
        Body::TokenCount(e) => {
            let row = whole_row(conn, "agent_token_counts", uuid(&e.token_count_id)).await;
            assert_eq!(row["model"], json!(e.model));
            let got = ["input", "output", "cache_read", "cache_write", "reasoning"]
                .map(|name| row[name].clone());
            let want =
                [e.input, e.output, e.cache_read, e.cache_write, e.reasoning].map(|n| json!(n));
            assert_eq!(got, want);
        }
        Body::ScoreAdded(e) => {
            let query = "SELECT value FROM agent_scores WHERE id = $1";
            let query = sqlx::query_scalar(query).bind(uuid(&e.score_id));
            let value: f64 = query.fetch_one(conn).await.unwrap();
            assert_eq!(value.to_bits(), (e.value.unwrap() + 0.0).to_bits());
        }
        Body::StepEnded(e) => {
            let row = whole_row(conn, "agent_steps", uuid(&e.step_id)).await;
            let details = e.details.as_ref().unwrap();
            assert_eq!(row["error"], json!(e.error));
            assert_eq!(row["name"], json!(details.name));
            assert_eq!(row["kind"], json!(details.kind));
            assert_eq!(row["model"], json!(details.model));
            same_json(&row["input"], &parse(&details.input_json));
            same_json(&row["output"], &parse(&e.output_json));
            let (start, end) = (e.started_at.unwrap(), event.time.unwrap());
            let millis = (i128::from(end.seconds) - i128::from(start.seconds)) * 1_000
                + i128::from((end.nanos - start.nanos) / 1_000_000);
            let computed = i64::try_from(millis.clamp(0, i128::from(i32::MAX))).unwrap();
            assert_eq!(row["duration_ms"], json!(e.duration_ms.unwrap_or(computed)));
        }
        Body::StepStarted(e) => {
            let row = whole_row(conn, "agent_steps", uuid(&e.step_id)).await;
            let details = e.details.as_ref().unwrap();
            same_json(&row["metadata"], &parse(&details.metadata_json));
            let types = [
                "",
                "thinking",
                "tool_call",
                "tool_result",
                "llm_call",
                "handoff",
                "other",
            ];
            assert_eq!(row["step_type"], json!(types[details.step_type as usize]));
        }
        other => panic!("{other:?}"),
    }
}

/// Equal but for the form of numbers: jsonb has -0 as 0 and 1e300 in full.
fn same_json(got: &Value, want: &Value) {
    match (got, want) {
        (Value::Number(got), Value::Number(want)) => assert_eq!(got.as_f64(), want.as_f64()),
        (Value::Array(got), Value::Array(want)) => {
            assert_eq!(got.len(), want.len());
            got.iter()
                .zip(want)
                .for_each(|(got, want)| same_json(got, want));
        }
        (Value::Object(got), Value::Object(want)) => {
            assert_eq!(
                got.keys().collect::<Vec<_>>(),
                want.keys().collect::<Vec<_>>()
            );
            got.iter().for_each(|(key, got)| same_json(got, &want[key]));
        }
        _ => assert_eq!(got, want),
    }
}

/// Scenario: the same events of every kind and edge value into two databases:
/// each appended by itself, and all in batches that hold a repeated step,
/// message and count, so that they are merged. Then again in the other way.
/// Guarantees: each value reads back; the rows are the same to the last
/// column; the second delivery is all duplicates.
#[tokio::test(flavor = "multi_thread")]
async fn appended_and_merged_rows_are_the_same() {
    let (appended, merged) = (pg::database().await, pg::database().await);
    // One writer, so that what is merged does not depend on the runs' shards.
    let one = Daemon::with_args(appended.url(), &["--writers", "1"]).await;
    let two = Daemon::with_args(merged.url(), &["--writers", "1"]).await;
    let mut conns = [appended.connect().await, merged.connect().await];
    let mut events: Vec<Event> = full()
        .into_iter()
        .chain(bare())
        .map(|pair| pair.0)
        .collect();
    let edges = extreme();
    events.extend(edges.clone());
    events.push(valid::bridged_step());
    events.push(valid::message(|e| e.sighting = true));
    let run = new_id();
    let primer = vec![
        step(1, 2, run, new_id()),
        message(3, Some(run), None, new_id()),
        tokens(4, run, new_id(), 1, 2),
        step_started(5, run, new_id()),
    ];
    let count = events.len() as u64;
    for daemon in [&one, &two] {
        assert_eq!(daemon.submit(primer.clone()).await.committed, 4);
    }
    let whole = [primer, events.clone()].concat();
    let merging = two.submit(whole.clone()).await;
    assert_eq!(
        (merging.committed, merging.duplicate),
        (count, 4),
        "{:?}",
        merging.refused
    );
    for event in events.clone() {
        let outcome = one.submit(vec![event.clone()]).await;
        assert_eq!(outcome.committed, 1, "{event:?} {outcome:?}");
    }
    for conn in &mut conns {
        for event in &edges {
            check_extreme(conn, event).await;
        }
    }
    let mut tables = [Vec::new(), Vec::new()];
    for round in 0..2 {
        for (conn, table) in conns.iter_mut().zip(&mut tables) {
            let all = |query: &'static str| sqlx::query_scalar::<_, Uuid>(query);
            let runs = all("SELECT id FROM agent_runs")
                .fetch_all(&mut *conn)
                .await
                .unwrap();
            let sessions = all("SELECT id FROM agent_sessions")
                .fetch_all(&mut *conn)
                .await
                .unwrap();
            *table = content(conn, &runs, &sessions).await;
        }
        assert!(tables[0].len() > events.len());
        for (got, want) in tables[1].iter().zip(&tables[0]) {
            assert!(got == want, "round {round}:\n{got:.2000}\n{want:.2000}");
        }
        assert_eq!(tables[0].len(), tables[1].len());
        if round == 0 {
            let again = one.submit(whole.clone()).await;
            assert_eq!(
                (again.committed, again.duplicate),
                (0, count + 4),
                "{:?}",
                again.refused
            );
            for event in events.clone() {
                let outcome = two.submit(vec![event]).await;
                assert_eq!(outcome.duplicate, 1, "{outcome:?}");
            }
        }
    }
    one.finish().await;
    two.finish().await;
}

/// Scenario: runs and steps that begin at the first and end at the last time
/// that Postgres holds, started and ended in batches of their own; an
/// abandoned run with such a step beside an ordinary one.
/// Guarantees: stored, with a duration as large as fits; the views can be read;
/// the sweeper closes both runs.
#[tokio::test(flavor = "multi_thread")]
async fn spans_of_all_time_are_stored_shown_and_swept() {
    let database = pg::database().await;
    let args = ["--run-timeout", "1", "--sweep-interval", "0.1"];
    let daemon = Daemon::with_args(database.url(), &args).await;
    let mut conn = database.connect().await;
    let (run, one, two) = (new_id(), new_id(), new_id());
    let (silent, ordinary) = (new_id(), new_id());
    let ended = |time, step| {
        let mut event = crate::support::events::step_ended(0, run, step);
        event.time = Some(time);
        event
    };
    let mut started = crate::support::events::run_started(0, run);
    started.time = Some(FIRST);
    let mut start = step_started(0, run, one);
    start.time = Some(FIRST);
    let mut run_ended = crate::support::events::run_ended(0, run, proto::EndStatus::Completed);
    run_ended.time = Some(LAST);
    let mut early = step_started(0, silent, new_id());
    early.time = Some(FIRST);
    let mut late = message(0, Some(silent), None, new_id());
    late.time = Some(LAST);
    let mut only_end = ended(FIRST, two);
    if let Some(Body::StepEnded(e)) = &mut only_end.event {
        e.duration_ms = Some(i64::from(i32::MAX));
    }
    for event in [
        started,
        start,
        ended(LAST, one),
        only_end,
        run_ended,
        early,
        late,
        step_started(0, ordinary, new_id()),
    ] {
        let outcome = daemon.submit(vec![event.clone()]).await;
        assert_eq!(outcome.committed, 1, "{event:?} {outcome:?}");
    }
    for query in [
        "SELECT to_jsonb(t) FROM run_summary t",
        "SELECT to_jsonb(t) FROM run_timeline t",
    ] {
        let shown = sqlx::query(query).fetch_all(&mut conn).await;
        assert!(shown.is_ok(), "{query}: {}", shown.unwrap_err());
    }
    let durations: (Option<i64>, Option<i32>) = sqlx::query_as(
        "SELECT r.duration_ms, s.duration_ms FROM agent_runs r JOIN agent_steps s ON s.id = $2 WHERE r.id = $1",
    )
    .bind(run)
    .bind(one)
    .fetch_one(&mut conn)
    .await
    .unwrap();
    println!("{durations:?}");
    assert!(
        durations.0 > Some(0) && durations.1 == Some(i32::MAX),
        "{durations:?}"
    );
    for _ in 0..100 {
        let abandoned = "agent_runs WHERE finalized_by = 'abandoned'";
        if crate::support::tables::count(&mut conn, abandoned).await == 2 {
            return daemon.finish().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the sweeper is stuck");
}
