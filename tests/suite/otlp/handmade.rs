//! Sends bodies that are made by hand from the public sources of SDKs
//! (`tests/data/dialects`). The rows say what `expected.json` says of each body.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::support::daemon::Daemon;
use crate::support::otlp::{JSON, post};
use crate::support::{pg, tables};

const BODIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/dialects");

/// Scenario: SDKs of which no capture is here, each with the words of its source,
/// to one daemon.
/// Guarantees: each body becomes one run with the agent, session, calls, model,
/// tools and tokens that it says, and what only announces something becomes none.
#[tokio::test]
async fn the_words_of_each_sdk_are_understood() {
    let expected = fs::read_to_string(Path::new(BODIES).join("expected.json")).unwrap();
    let expected: BTreeMap<String, Map<String, Value>> = serde_json::from_str(&expected).unwrap();
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    for name in expected.keys() {
        send(&daemon, "/v1/traces", &format!("{name}.json")).await;
        send(&daemon, "/v1/logs", &format!("{name}.logs.json")).await;
    }
    let mut conn = database.connect().await;
    let mut wrong = Vec::new();
    for (name, expected) in &expected {
        let run = expected["run"].as_str().unwrap();
        let found = tables::value(&mut conn, &what_is_known(run)).await;
        for (key, want) in expected {
            let got = &found[key];
            if !agrees(got, want) {
                wrong.push(format!("{name}: {key} is {got}, should be {want}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let runs = tables::value(&mut conn, "SELECT count(*) FROM agent_runs").await;
    assert_eq!(runs, json!(expected.len()), "what announces makes no run");
    daemon.finish().await;
}

/// Every body in the folder is expected to become something.
#[test]
fn each_body_has_expectations() {
    let expected = fs::read_to_string(Path::new(BODIES).join("expected.json")).unwrap();
    let expected: BTreeMap<String, Value> = serde_json::from_str(&expected).unwrap();
    for entry in fs::read_dir(BODIES).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let name = file.split('.').next().unwrap();
        assert!(name == "expected" || expected.contains_key(name), "{file}");
    }
}

/// Sends a file. Log records are in a file of their own, if there are any.
async fn send(daemon: &Daemon, path: &str, file: &str) {
    let Ok(body) = fs::read(Path::new(BODIES).join(file)) else {
        assert!(file.ends_with(".logs.json"), "{file} is missing");
        return;
    };
    let content_type = format!("Content-Type: {JSON}");
    let answer = post(daemon, path, &[&content_type], &body).await;
    assert_eq!(answer.status, 200, "{file}: {}", answer.text());
    assert!(
        !answer.text().contains("rejected"),
        "{file}: {}",
        answer.text()
    );
}

/// Whether a value has everything that is expected. An object may have more.
fn agrees(got: &Value, want: &Value) -> bool {
    match (got, want) {
        (Value::Array(got), Value::Array(want)) => {
            let mut pairs = got.iter().zip(want);
            got.len() == want.len() && pairs.all(|(got, want)| agrees(got, want))
        }
        (Value::Object(got), Value::Object(want)) => want
            .iter()
            .all(|(key, want)| got.get(key).is_some_and(|got| agrees(got, want))),
        _ => got == want,
    }
}

fn what_is_known(run: &str) -> String {
    format!(
        "SELECT jsonb_build_object(
             'run', r.id, 'agent', r.agent_id, 'status', r.status, 'session', s.external_id,
             'question', r.input, 'answer', r.output,
             'input', coalesce(r.total_tokens_input, 0),
             'output', coalesce(r.total_tokens_output, 0),
             'cached', (SELECT sum(cache_read) FROM agent_token_counts
                        WHERE run_id = r.id AND NOT rollup),
             'reasoning', (SELECT sum(reasoning) FROM agent_token_counts
                           WHERE run_id = r.id AND NOT rollup),
             'calls', (SELECT count(*) FROM agent_steps WHERE run_id = r.id
                       AND step_type = 'llm_call' AND kind IS DISTINCT FROM 'embedding'),
             'models', (SELECT jsonb_agg(DISTINCT model) FROM agent_steps
                        WHERE run_id = r.id AND step_type = 'llm_call'
                        AND model IS NOT NULL),
             'said', (SELECT jsonb_agg(content ORDER BY content) FROM agent_messages
                      WHERE session_id = r.session_id AND role = 'assistant'
                        AND content <> ''),
             'tools', coalesce((
                 SELECT jsonb_agg(jsonb_build_object(
                     'name', name, 'arguments', input, 'result', output,
                     'status', status) ORDER BY started_at)
                 FROM agent_steps WHERE run_id = r.id AND step_type = 'tool_call'), '[]'))
         FROM agent_runs r LEFT JOIN agent_sessions s ON s.id = r.session_id
         WHERE r.id = '{run}'"
    )
}
