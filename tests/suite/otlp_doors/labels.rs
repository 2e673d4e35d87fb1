//! The customer, the user and the tags that spans and resources name.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value as Json, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::otlp::{PROTOBUF, attribute, post, request, span, text};
use crate::support::pg;
use crate::support::tables::row;

async fn send(daemon: &Daemon, request: ExportTraceServiceRequest, headers: &[&str]) {
    let kind = format!("Content-Type: {PROTOBUF}");
    let headers = [&[kind.as_str()], headers].concat();
    let answer = post(daemon, "/v1/traces", &headers, &request.encode_to_vec()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn customer(conn: &mut PgConnection) -> Uuid {
    let query = "INSERT INTO customers (name, arr) VALUES ('Acme', 1) RETURNING id";
    sqlx::query_scalar(query).fetch_one(conn).await.unwrap()
}

/// The root of a trace, an agent, and a tool call below it.
fn trace(trace: Uuid) -> Vec<Span> {
    let mut root = span(trace, 1);
    root.attributes[0] = text("openinference.span.kind", "AGENT");
    let mut tool = span(trace, 2);
    tool.parent_span_id = root.span_id.clone();
    vec![root, tool]
}

/// What a run and its session say of their customer.
async fn whose(conn: &mut PgConnection, run: Uuid) -> Json {
    let query = format!(
        "SELECT r.customer_id AS run, r.metadata ->> 'unresolved_customer_id' AS unresolved,
                s.customer_id AS session, s.metadata ->> 'unresolved_customer_id' AS session_unresolved
         FROM agent_runs r LEFT JOIN agent_sessions s ON s.id = r.session_id WHERE r.id = '{run}'"
    );
    row(conn, &query).await
}

/// Scenario: a customer is named by the root, by another span, and by the resource; by the id of a customer, in
/// capitals too, by one of nobody, and by a word; in a session and without one; the spans come in either order.
/// Guarantees: a known customer is that of the run and of its session; any other name is kept where natively it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_customer_reaches_run_and_session() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let known = customer(&mut conn).await;
    let (known, nobody) = (known.to_string(), new_id().to_string());
    for (key, place) in [
        ("customer.id", 0),
        ("runtraced.customer_id", 1),
        ("ai.telemetry.metadata.customerId", 1),
        ("customer.id", 2),
    ] {
        for (name, backwards) in [
            (known.clone(), false),
            (known.to_uppercase(), true),
            (nobody.clone(), true),
            ("acme".to_owned(), false),
        ] {
            for session in [None, Some(new_id())] {
                let run = new_id();
                let mut spans = trace(run);
                if let Some(session) = session {
                    for span in &mut spans {
                        span.attributes
                            .push(text("session.id", &session.to_string()));
                    }
                }
                if let Some(span) = spans.get_mut(place) {
                    span.attributes.push(text(key, &name));
                }
                if backwards {
                    spans.reverse();
                }
                for span in spans {
                    let mut request = request(vec![span]);
                    if place == 2 {
                        let resource = request.resource_spans[0].resource.as_mut().unwrap();
                        resource.attributes.push(text(key, &name));
                    }
                    send(&daemon, request, &[]).await;
                }
                let is_known = name.to_lowercase() == known;
                let is_id = is_known || name == nobody;
                let want = json!({
                    "run": is_known.then_some(&known), "unresolved": (!is_known).then_some(&name),
                    "session": (is_known && session.is_some()).then_some(&known),
                    "session_unresolved": (is_id && !is_known && session.is_some()).then_some(&name),
                });
                assert_eq!(whose(&mut conn, run).await, want, "{key} {place} {name}");
            }
        }
    }
    daemon.finish().await;
}

/// Scenario: the sender writes for one customer, by `runtraced-customer`, and its spans name another.
/// Guarantees: run and session belong to the customer that the request is for; nothing is unresolved.
#[tokio::test(flavor = "multi_thread")]
async fn the_customer_of_a_request_wins() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let (own, other) = (customer(&mut conn).await, customer(&mut conn).await);
    let run = new_id();
    let mut spans = trace(run);
    for span in &mut spans {
        span.attributes
            .push(text("customer.id", &other.to_string()));
        span.attributes
            .push(text("session.id", &new_id().to_string()));
    }
    spans[1].attributes.pop();
    let header = format!("runtraced-customer: {own}");
    send(&daemon, request(spans), &[&header]).await;
    let want = json!({"run": own, "unresolved": null, "session": own, "session_unresolved": null});
    assert_eq!(whose(&mut conn, run).await, want);
    let mut second = trace(run);
    second[0]
        .attributes
        .push(text("customer.id", &other.to_string()));
    send(&daemon, request(second), &[]).await;
    assert_eq!(whose(&mut conn, run).await, want);
    daemon.finish().await;
}

/// Scenario: spans name a user and tags: as an array, as JSON in a text, as words between commas; by a span and by
/// the root; a user who is a UUID.
/// Guarantees: `run_summary` has the user's name and the tags, those of the root before those of other spans.
#[tokio::test(flavor = "multi_thread")]
async fn users_and_tags_are_found_again() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let array = Value::ArrayValue(ArrayValue {
        values: ["a", "b", "a"]
            .map(|tag| AnyValue {
                value: Some(Value::StringValue(tag.into())),
            })
            .to_vec(),
    });
    for (label, want) in [
        (
            attribute("langfuse.trace.tags", array.clone()),
            json!(["a", "b"]),
        ),
        (attribute("tag.tags", array), json!(["a", "b"])),
        (
            text("ai.telemetry.metadata.tags", "[\"x\", 1]"),
            json!(["x", "1"]),
        ),
        (
            text("langsmith.span.tags", "one, two,,two"),
            json!(["one", "two"]),
        ),
        (text("metadata", "{\"tags\": [\"m\"]}"), json!(["m"])),
        (text("logfire.tags", ""), json!(null)),
    ] {
        let run = new_id();
        let mut spans = trace(run);
        spans[1].attributes.push(label.clone());
        spans[1].attributes.push(text("user.id", "ann@example.org"));
        send(&daemon, request(spans), &[]).await;
        let query = format!("SELECT user_name, tags FROM run_summary WHERE run_id = '{run}'");
        let found = row(&mut conn, &query).await;
        assert_eq!(
            found,
            json!({"user_name": "ann@example.org", "tags": want}),
            "{label:?}"
        );
    }
    let run = new_id();
    let mut spans = trace(run);
    spans[0].attributes.push(text("tag.tags", "[\"root\"]"));
    spans[0]
        .attributes
        .push(text("user.id", &new_id().to_string()));
    spans[1].attributes.push(text("tag.tags", "[\"tool\"]"));
    spans.reverse();
    send(&daemon, request(spans), &[]).await;
    let query = format!("SELECT user_name, tags FROM run_summary WHERE run_id = '{run}'");
    let want = json!({"user_name": null, "tags": ["root"]});
    assert_eq!(row(&mut conn, &query).await, want);
    daemon.finish().await;
}
