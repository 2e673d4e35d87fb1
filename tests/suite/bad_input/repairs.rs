//! What Postgres cannot store but can be repaired, and what looks bad and is not.

use bytes::Bytes;
use runtraced::proto::Event;
use runtraced::proto::event::Event as Body;
use serde_json::json;

use super::{Neighbours, body, count, finish, refused};
use crate::support::daemon::Daemon;
use crate::support::events::{id, message, new_id};
use crate::support::tables::row;
use crate::support::{pg, valid};

/// Scenario: NUL in text, `\u0000` and lone surrogates in keys and values of JSON.
/// Guarantees: each becomes U+FFFD, everything else stays, and each is counted.
#[tokio::test(flavor = "multi_thread")]
async fn nul_and_lone_surrogates_are_replaced_and_counted() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let text = || Some("a\0b\0\u{1f600}".to_owned());
    let broken = r#"{"k\u0000":"\ud83d\ude00 \ud83d x \ude00 \\u0000"}"#;
    let json = || Some(broken.to_owned());
    let bad = [
        valid::message(|e| {
            (e.content, e.thinking) = (text(), text());
            (e.tool_calls_json, e.metadata_json) = (json(), json());
        }),
        valid::run_started(|e| {
            (e.agent_id, e.agent_type) = ("\0".into(), "t\0".into());
            (e.name, e.input, e.metadata_json) = (text(), text(), json());
            e.customer_id = Bytes::new();
        }),
        valid::run_ended(|e| {
            (e.output, e.error, e.metadata_json) = (text(), text(), json());
        }),
        valid::session_upsert(|e| {
            (e.title, e.external_id, e.metadata_json) = (text(), text(), json());
            (e.customer_id, e.user_id) = (Bytes::new(), Bytes::new());
        }),
        valid::step_ended(|e| {
            (e.error, e.output_json) = (text(), json());
            let details = e.details.as_mut().unwrap();
            (details.name, details.kind, details.model) = (text(), text(), text());
            (details.input_json, details.metadata_json) = (json(), json());
        }),
        valid::token_count(|e| e.model = text()),
        valid::score_added(|e| {
            e.name = "\0".into();
            (e.label, e.comment, e.source) = (text(), text(), text());
            e.metadata_json = json();
        }),
        valid::approval_requested(|e| {
            e.action_type = "\0".into();
            (e.action_description, e.action_data_json) = (text(), json());
        }),
        valid::approval_decided(|e| (e.notes, e.decided_by) = (text(), Bytes::new())),
    ];
    let events = bad.len() as u64;
    let (neighbours, batch) = Neighbours::around(bad);
    let outcome = daemon.submit(batch).await;
    assert_eq!(refused(&outcome), []);
    assert_eq!(outcome.committed, 2 * events + 1);
    neighbours.check(&mut conn).await;

    let text = "a\u{fffd}b\u{fffd}\u{1f600}";
    let json = json!({"k\u{fffd}": "\u{1f600} \u{fffd} x \u{fffd} \\u0000"});
    for (query, want) in [
        (
            "SELECT content, thinking, tool_calls, metadata FROM agent_messages",
            json!({"content": text, "thinking": text, "tool_calls": json, "metadata": json}),
        ),
        (
            "SELECT agent_id, agent_type, name, input, metadata FROM agent_runs WHERE start_event_at IS NOT NULL",
            json!({"agent_id": "\u{fffd}", "agent_type": "t\u{fffd}", "name": text, "input": text, "metadata": json}),
        ),
        (
            "SELECT output, error, end_metadata FROM agent_runs WHERE ended_at IS NOT NULL",
            json!({"output": text, "error": text, "end_metadata": json}),
        ),
        (
            "SELECT title, external_id, metadata FROM agent_sessions WHERE merge_times IS NOT NULL",
            json!({"title": text, "external_id": text, "metadata": json}),
        ),
        (
            "SELECT error, output, name, kind, model, input, metadata FROM agent_steps WHERE kind IS NOT NULL",
            json!({"error": text, "output": json, "name": text, "kind": text, "model": text, "input": json, "metadata": json}),
        ),
        (
            "SELECT model FROM agent_token_counts",
            json!({"model": text}),
        ),
        (
            "SELECT name, label, comment, source, metadata FROM agent_scores",
            json!({"name": "\u{fffd}", "label": text, "comment": text, "source": text, "metadata": json}),
        ),
        (
            "SELECT action_type, action_description, action_data FROM approvals WHERE requested_event_at IS NOT NULL",
            json!({"action_type": "\u{fffd}", "action_description": text, "action_data": json}),
        ),
        (
            "SELECT notes FROM approvals WHERE decided_at IS NOT NULL",
            json!({"notes": text}),
        ),
    ] {
        assert_eq!(row(&mut conn, query).await, want, "{query}");
    }
    let metrics = daemon.metrics().await;
    // 18 texts of two each, four single ones, 10 JSON texts of one each.
    assert_eq!(metrics["runtraced_repaired_nuls_total"], 18 * 2 + 4 + 10);
    assert_eq!(metrics["runtraced_repaired_surrogates_total"], 10 * 2);
    finish(daemon).await;
}

/// Scenario: one message id as 16 bytes and in every accepted text form.
/// Guarantees: all of them are the same id; so are those of its run.
#[tokio::test(flavor = "multi_thread")]
async fn text_uuids_of_every_form_are_the_raw_ones() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (one, run, session) = (new_id(), new_id(), new_id());
    let raw = message(0, Some(run), Some(session), one);
    let forms = |id: uuid::Uuid| {
        [
            id.hyphenated().to_string(),
            id.hyphenated().to_string().to_uppercase(),
            id.simple().to_string(),
            id.simple().to_string().to_uppercase(),
            id.urn().to_string(),
            id.braced().to_string(),
        ]
    };
    let mut events = vec![raw.clone()];
    let texts = forms(one).into_iter().zip(forms(run)).zip(forms(session));
    for ((one, run), session) in texts {
        let mut event = raw.clone();
        if let Body::MessageAppended(message) = body(&mut event) {
            message.message_id = one.into();
            message.run_id = run.into();
            message.session_id = session.into();
        }
        events.push(event);
    }
    let copies = events.len() as u64 - 1;
    let outcome = daemon.submit(events.clone()).await;
    assert_eq!(
        (outcome.committed, outcome.duplicate),
        (1, copies),
        "{outcome:?}"
    );
    let again = daemon.submit(events.split_off(1)).await;
    assert_eq!((again.committed, again.duplicate), (0, copies));
    for table in ["agent_messages", "agent_runs", "agent_sessions"] {
        assert_eq!(count(&mut conn, table).await, 1, "{table}");
    }
    // Sixteen characters are sixteen bytes of an id, whatever they look like.
    let outcome = daemon
        .submit(vec![valid::heartbeat(|e| {
            e.run_id = Bytes::from_static(b"0123456789abcdef")
        })])
        .await;
    assert_eq!(outcome.committed, 1);
    finish(daemon).await;
}

/// Scenario: JSON of 100 levels, and of 512, in every column; ids of zeros.
/// Guarantees: taken, stored, and read back to the last level.
#[tokio::test(flavor = "multi_thread")]
async fn deep_json_up_to_the_limit_is_taken() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    for depth in [100, 512] {
        let nested = format!(
            "{}{}{}",
            "{\"a\":".repeat(depth - 1),
            "[]",
            "}".repeat(depth - 1)
        );
        let json = || Some(nested.clone());
        let message_id = new_id();
        let events: Vec<Event> = vec![
            valid::message(|e| {
                e.message_id = id(message_id);
                (e.tool_calls_json, e.metadata_json) = (json(), json());
            }),
            valid::step_ended(|e| {
                e.output_json = json();
                e.details.as_mut().unwrap().input_json = json();
            }),
            valid::run_started(|e| e.metadata_json = json()),
            valid::session_upsert(|e| e.metadata_json = json()),
            valid::approval_requested(|e| e.action_data_json = json()),
        ];
        let (neighbours, batch) = Neighbours::around(events);
        let outcome = daemon.submit(batch).await;
        assert_eq!((outcome.committed, refused(&outcome)), (11, vec![]));
        neighbours.check(&mut conn).await;
        let stored: String =
            sqlx::query_scalar("SELECT metadata::text FROM agent_messages WHERE id = $1")
                .bind(message_id)
                .fetch_one(&mut conn)
                .await
                .unwrap();
        assert_eq!(stored.replace(' ', ""), nested);
    }
    finish(daemon).await;
}
