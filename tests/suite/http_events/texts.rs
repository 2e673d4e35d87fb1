//! Strings in JSON fields, and repairs.

use serde_json::json;

use super::{lines, refusal, refusals, send, started, stepped};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::process::runtraced;
use crate::support::{pg, tables};

/// Scenario: tools answer text, JSON, and text that looks like JSON; `runtraced export` writes the run, and
/// `runtraced send` reads it in another database.
/// Guarantees: text is stored as the string that it is, and so it comes out of an export.
#[tokio::test(flavor = "multi_thread")]
async fn text_is_text_and_survives_an_export() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let run = new_id();
    let answers = [
        (json!("The weather is fine"), json!("The weather is fine")),
        (json!("42"), json!("42")),
        (json!(42), json!(42)),
        (json!("true"), json!("true")),
        (json!(""), json!("")),
        (json!("{\"t\":21}"), json!({ "t": 21 })),
        (json!({ "t": "21" }), json!({ "t": "21" })),
        (json!("\"{}\""), json!("{}")),
        (json!("null"), json!(null)),
        (json!("{not json"), json!("{not json")),
    ];
    let mut events = vec![started(run)];
    let mut expected = Vec::new();
    for (written, stored) in answers {
        events.push(stepped(run, new_id(), written));
        expected.push(stored);
    }
    let answer = send(&daemon, &lines(&events)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let query =
        format!("SELECT jsonb_agg(output ORDER BY id) FROM agent_steps WHERE run_id = '{run}'");
    let mut conn = database.connect().await;
    assert_eq!(tables::value(&mut conn, &query).await, json!(expected));

    let (code, exported) = runtraced(&["export", &run.to_string()], database.url()).await;
    assert_eq!(code, 0, "{exported}");
    let second = pg::database().await;
    let restored = Daemon::start(second.url()).await;
    let answer = send(&restored, &exported).await;
    assert_eq!(answer.json()["refused"], json!([]), "{}", answer.text());
    let mut conn = second.connect().await;
    assert_eq!(tables::value(&mut conn, &query).await, json!(expected));
    for daemon in [daemon, restored] {
        daemon.finish().await;
    }
}

/// Scenario: NUL and lone surrogates in text, in plain JSON and in text for a JSON field; metadata that is
/// text.
/// Guarantees: they become U+FFFD and are counted in the answer and in metrics; metadata must be an object.
#[tokio::test(flavor = "multi_thread")]
async fn repairs_are_counted() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let run = new_id();
    let body = format!(
        r#"{{"time":"2026-01-01T00:00:00Z","runStarted":{{"runId":"{run}","agentId":"a\u0000b","name":"\ud800","metadataJson":{{"a":"\u0000\udc00"}}}}}}
{{"time":"2026-01-01T00:00:00Z","runStarted":{{"runId":"{run}","metadataJson":"some text"}}}}"#
    );
    let answer = send(&daemon, &body).await;
    let said = answer.json();
    assert_eq!(
        said["repaired"],
        json!({ "nuls": 2, "surrogates": 2 }),
        "{said}"
    );
    assert_eq!(refusals(&answer), [refusal(2, "INVALID_JSON")]);
    let mut conn = database.connect().await;
    let query = "SELECT jsonb_build_array(agent_id, name, metadata ->> 'a') FROM agent_runs";
    let row = tables::value(&mut conn, query).await;
    assert_eq!(row, json!(["a\u{fffd}b", "\u{fffd}", "\u{fffd}\u{fffd}"]));
    let metrics = daemon.metrics().await;
    let repaired: u64 = metrics
        .iter()
        .filter(|(name, _)| name.starts_with("runtraced_repair"))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(repaired, 4, "{metrics:#?}");
    daemon.finish().await;
}
