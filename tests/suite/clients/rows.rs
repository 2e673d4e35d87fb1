//! The conformance cases, as rows: a client that makes the calls of all cases must leave the
//! rows that the events of the cases make.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::{ClientStage, folder};
use crate::support::otlp::post;

/// The tables, with what brings the rows into the order of the calls.
const TABLES: [(&str, &str); 8] = [
    ("agent_runs", "started_at"),
    ("agent_steps", "started_at"),
    ("agent_messages", "created_at, seq"),
    ("agent_token_counts", "created_at"),
    ("approvals", "created_at"),
    ("agent_scores", "created_at"),
    ("agent_sessions", "external_id, id"),
    ("agent_step_aliases", "step_id NULLS LAST"),
];
/// Columns that depend on how long something took, and on who wrote it when.
const NOT_COMPARED: [&str; 6] = [
    "duration_ms",
    "abandon_at",
    "summed_by",
    "settle_at",
    "run_pending",
    "changed_at",
];

/// The folder of the cases.
pub fn cases() -> PathBuf {
    folder("conformance").join("cases")
}

/// The events of a case, and the customer for whom its client sends.
pub struct CaseEvents {
    pub customer: Option<Uuid>,
    /// In the JSON form, one a line. Their times go on from one case to the next.
    pub lines: String,
}

/// The events of all cases that have some, in the order of the cases.
pub fn events_of_all() -> Vec<CaseEvents> {
    let mut files: Vec<PathBuf> = fs::read_dir(cases())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut millis = 0;
    let of_file = |file: PathBuf| {
        let case: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let customer = case["configure"]["customer"].as_str();
        CaseEvents {
            customer: customer.map(|id| id.parse().unwrap()),
            lines: events(&case, &mut millis),
        }
    };
    let mut all: Vec<CaseEvents> = files.into_iter().map(of_file).collect();
    assert!(millis > 100, "the cases have only {millis} events");
    all.retain(|case| !case.lines.is_empty());
    all
}

/// The rows that the events of all cases make.
pub async fn expected() -> Vec<Value> {
    let stage = ClientStage::start().await;
    for case in events_of_all() {
        let header = case.customer.map(|id| format!("Runtraced-Customer: {id}"));
        let headers: Vec<&str> = header.iter().map(String::as_str).collect();
        let answer = post(&stage.daemon, "/v1/events", &headers, case.lines.as_bytes()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let rows = stored(&mut stage.database.connect().await).await;
    stage.daemon.finish().await;
    rows
}

/// All rows, without what differs from one execution to the next: times, and ids, which become
/// numbers in the order in which they occur.
pub async fn stored(connection: &mut PgConnection) -> Vec<Value> {
    let mut ids = HashMap::new();
    let mut rows = Vec::new();
    for (table, order) in TABLES {
        let query = format!("SELECT to_jsonb(t) FROM {table} AS t ORDER BY {order}");
        let found: Vec<Value> = sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        for row in found {
            rows.push(json!([table, comparable(row, &mut ids)]));
        }
    }
    rows
}

fn comparable(value: Value, ids: &mut HashMap<Uuid, usize>) -> Value {
    match value {
        Value::Object(members) => {
            let mut kept = Map::new();
            for (name, member) in members {
                if !NOT_COMPARED.contains(&name.as_str()) {
                    kept.insert(name, comparable(member, ids));
                }
            }
            kept.into()
        }
        Value::Array(items) => items
            .into_iter()
            .map(|item| comparable(item, ids))
            .collect(),
        Value::String(text) if is_time(&text) => "a time".into(),
        Value::String(text) => match Uuid::try_parse(&text) {
            Ok(id) => {
                let next = ids.len();
                format!("id {}", ids.entry(id).or_insert(next)).into()
            }
            Err(_) => text.into(),
        },
        other => other,
    }
}

fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 19 && bytes[4] == b'-' && bytes[10] == b'T' && bytes[13] == b':'
}

/// The events of a case, a line each, a millisecond apart.
fn events(case: &Value, millis: &mut usize) -> String {
    let mut lines = String::new();
    let mut labels = HashMap::new();
    for event in case["events"].as_array().unwrap() {
        let mut event = filled_in(event, &mut labels);
        let (seconds, rest) = (*millis / 1000, *millis % 1000);
        event["time"] = format!("2026-01-31T12:00:{seconds:02}.{rest:03}Z").into();
        *millis += 1;
        lines.push_str(&event.to_string());
        lines.push('\n');
    }
    lines
}

/// An event in the JSON form, with ids in the places of labels.
fn filled_in(value: &Value, labels: &mut HashMap<String, Uuid>) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| {
                let member = filled_in(member, labels);
                // In a field of JSON, the JSON text of a text always means the text.
                let is_text = name.ends_with("_json") && member.is_string();
                let member: Value = if is_text {
                    member.to_string().into()
                } else {
                    member
                };
                (name.clone(), member)
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(|item| filled_in(item, labels)).collect(),
        Value::String(text) if text == "$time" => "2999-01-01T00:00:00Z".into(),
        Value::String(text) if text.starts_with('$') => {
            let id = labels.entry(text.clone()).or_insert_with(Uuid::now_v7);
            id.to_string().into()
        }
        other => other.clone(),
    }
}

/// Compares the rows that a client left with those expected.
pub(super) async fn assert_as_expected(stage: &ClientStage) {
    let mut connection = stage.database.connect().await;
    let found = stored(&mut connection).await;
    let expected = expected().await;
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}
