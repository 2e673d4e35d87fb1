//! Scores that come as span events, log records and attributes.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use prost::Message as _;
use serde_json::json;
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::otlp::{BASE_NANOS, PROTOBUF, attribute, post, request, span, text};
use crate::support::pg;
use crate::support::tables::{count, row, value};

/// An evaluation as the conventions have it.
fn evaluation(name: &str, number: f64) -> Event {
    Event {
        name: "gen_ai.evaluation.result".into(),
        time_unix_nano: BASE_NANOS + 3_600_000_000_000,
        attributes: vec![
            text("gen_ai.evaluation.name", name),
            attribute("gen_ai.evaluation.score.value", Value::DoubleValue(number)),
            text("gen_ai.evaluation.score.label", "pass"),
            text("gen_ai.evaluation.explanation", "fits"),
            text("test.case", "7"),
        ],
        ..Default::default()
    }
}

/// The same as a log record.
fn record(trace: Uuid, span_id: &[u8], event: &Event) -> ExportLogsServiceRequest {
    let record = LogRecord {
        trace_id: trace.as_bytes().to_vec(),
        span_id: span_id.to_vec(),
        time_unix_nano: event.time_unix_nano,
        event_name: event.name.clone(),
        attributes: event.attributes.clone(),
        ..Default::default()
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![record],
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
}

async fn send(daemon: &Daemon, path: &str, body: Vec<u8>) {
    let kind = format!("Content-Type: {PROTOBUF}");
    let answer = post(daemon, path, &[&kind], &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn send_spans(daemon: &Daemon, spans: Vec<Span>) {
    send(daemon, "/v1/traces", request(spans).encode_to_vec()).await;
}

/// Scenario: an evaluation of a step comes as a span event and as a log record, before the span and after it, each
/// twice; one of the run comes as a log record that names only the trace.
/// Guarantees: each is one row, of the step or of the run, with all that was said; the run's end and times do not
/// change.
#[tokio::test(flavor = "multi_thread")]
async fn an_evaluation_is_a_score_however_it_comes() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let trace = new_id();
    let mut tool = span(trace, 2);
    tool.parent_span_id = 1_u64.to_be_bytes().to_vec();
    let log = record(trace, &tool.span_id, &evaluation("relevance", 0.75));
    let of_run = record(trace, &[], &evaluation("overall", 1.0));
    tool.events.push(evaluation("relevance", 0.75));
    let mut root = span(trace, 1);
    root.attributes[0] = text("openinference.span.kind", "AGENT");
    for _ in 0..2 {
        send(&daemon, "/v1/logs", log.encode_to_vec()).await;
        send_spans(&daemon, vec![tool.clone()]).await;
        send_spans(&daemon, vec![root.clone()]).await;
        send(&daemon, "/v1/logs", of_run.encode_to_vec()).await;
    }
    assert_eq!(count(&mut conn, "agent_scores").await, 2);
    let of_step = "SELECT s.value, s.label, s.comment, s.metadata, t.name AS step
                   FROM agent_scores s JOIN agent_steps t ON t.id = s.step_id";
    let want = json!({
        "value": 0.75, "label": "pass", "comment": "fits", "metadata": {"test.case": "7"}, "step": "search",
    });
    assert_eq!(row(&mut conn, of_step).await, want);
    let run = "SELECT status, finalized_by, scores, score_values, last_event_at < ended_at + INTERVAL '1 minute' AS in_time FROM run_summary";
    let want = json!({
        "status": "completed", "finalized_by": "root_span", "scores": 2,
        "score_values": {"overall": 1, "relevance": 0.75}, "in_time": true,
    });
    assert_eq!(row(&mut conn, run).await, want);
    daemon.finish().await;
}

/// Scenario: spans state scores in the attributes of OpenInference, Arize, Braintrust and Langfuse; one states NaN.
/// Guarantees: each is a score of its step; what is no number is none.
#[tokio::test(flavor = "multi_thread")]
async fn scores_in_attributes_are_those_of_their_span() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let trace = new_id();
    let mut spans = Vec::new();
    for (number, attributes) in (1..).zip([
        vec![
            text("evaluation.name", "tone"),
            attribute("evaluation.score", Value::DoubleValue(0.5)),
            text("evaluation.annotator_kind", "HUMAN"),
        ],
        vec![
            attribute("eval.Correctness.score", Value::IntValue(1)),
            text("eval.Correctness.label", "correct"),
        ],
        vec![text("braintrust.scores", "{\"exact\": 0}")],
        vec![text("langfuse.score.helpful", "0.25")],
        vec![
            text("evaluation.name", "broken"),
            attribute("evaluation.score", Value::DoubleValue(f64::NAN)),
        ],
    ]) {
        let mut one = span(trace, number);
        one.parent_span_id = 9_u64.to_be_bytes().to_vec();
        one.attributes.extend(attributes);
        spans.push(one);
    }
    send_spans(&daemon, spans).await;
    let all = "SELECT jsonb_object_agg(s.name, jsonb_build_array(s.value, s.label, s.source))
               FROM agent_scores s JOIN agent_steps t ON t.id = s.step_id AND t.run_id = s.run_id";
    let want = json!({
        "tone": [0.5, null, "HUMAN"], "Correctness": [1, "correct", null], "exact": [0, null, null],
        "helpful": [0.25, null, null],
    });
    assert_eq!(value(&mut conn, all).await, want);
    daemon.finish().await;
}
