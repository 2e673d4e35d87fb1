//! The same over OTLP: spans and log records with a secret wherever a text may be.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{ArrayValue, InstrumentationScope, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use prost::Message as _;

use super::secrets::{Secret, secrets};
use super::{DataDir, SECRETS, check_counted, check_nothing_found, daemon};
use crate::support::events::new_id;
use crate::support::otlp::{JSON, PROTOBUF, attribute, post, request, span, text, value};
use crate::support::pg;
use crate::support::wire::channel;

/// Keys whose texts go to fields of their own.
const KEYS: [&str; 24] = [
    "input.value",
    "output.value",
    "llm.model_name",
    "tool.name",
    "tool.description",
    "session.id",
    "user.id",
    "agent.name",
    "metadata",
    "tag.tags",
    "llm.input_messages.0.message.content",
    "llm.invocation_parameters",
    "llm.output_messages.0.message.content",
    "gen_ai.prompt",
    "gen_ai.completion",
    "gen_ai.request.model",
    "gen_ai.input.messages",
    "gen_ai.system_instructions",
    "gen_ai.agent.name",
    "gen_ai.conversation.id",
    "exception.message",
    "exception.stacktrace",
    "error.type",
    "traceloop.entity.input",
];

fn span_with(secret: &Secret, number: u64) -> Span {
    let secret_text = secret.text.as_str();
    let mut span = span(new_id(), number);
    span.name = secret.text.clone();
    span.trace_state = secret.text.clone();
    let kind = ["TOOL", "LLM", "AGENT", "CHAIN"][usize::try_from(number % 4).unwrap()];
    span.attributes = vec![text("openinference.span.kind", kind)];
    span.attributes
        .extend(KEYS.iter().map(|key| text(key, secret_text)));
    let list = Value::KvlistValue(KeyValueList {
        values: vec![text("deep", secret_text), text(secret_text, "v")],
    });
    span.attributes.extend([
        text(secret_text, secret_text),
        text("password", &secret.needle),
        attribute("list", list.clone()),
        attribute(
            "array",
            Value::ArrayValue(ArrayValue {
                values: vec![value(list)],
            }),
        ),
    ]);
    span.events = vec![Event {
        name: secret.text.clone(),
        time_unix_nano: span.start_time_unix_nano,
        attributes: vec![
            text("exception.message", secret_text),
            text("gen_ai.event.content", secret_text),
        ],
        ..Event::default()
    }];
    span.links = vec![Link {
        trace_state: secret.text.clone(),
        attributes: vec![text("a", secret_text)],
        ..Link::default()
    }];
    span.status = Some(Status {
        code: 2,
        message: secret.text.clone(),
    });
    span
}

fn traces(secrets: &[Secret]) -> ExportTraceServiceRequest {
    let spans = secrets
        .iter()
        .zip(1..)
        .map(|(secret, number)| span_with(secret, number));
    let mut request = request(spans.collect());
    let first = &secrets[0];
    let resource = &mut request.resource_spans[0];
    resource.schema_url = first.text.clone();
    resource
        .resource
        .as_mut()
        .unwrap()
        .attributes
        .extend([text("service.name", &first.text), text("a", &first.text)]);
    // A scope that is not understood is named in the log and in the metrics.
    let mut unknown = resource.scope_spans[0].clone();
    unknown.scope = Some(InstrumentationScope {
        name: format!("{} agent", first.text),
        ..Default::default()
    });
    unknown.spans.truncate(1);
    for span in &mut unknown.spans {
        span.trace_id = new_id().as_bytes().to_vec();
        span.attributes = vec![
            text("acme.llm.prompt", &first.text),
            text("acme.agent.tool", &first.text),
        ];
    }
    resource.scope_spans.push(unknown);
    request
}

fn logs(secrets: &[Secret]) -> ExportLogsServiceRequest {
    let record = |secret: &Secret| {
        let span = span(new_id(), 7);
        LogRecord {
            time_unix_nano: span.start_time_unix_nano,
            event_name: "gen_ai.user.message".into(),
            trace_id: span.trace_id,
            span_id: span.span_id,
            severity_text: secret.text.clone(),
            attributes: vec![
                text("gen_ai.system", &secret.text),
                text("event.name", "gen_ai.user.message"),
            ],
            body: Some(value(Value::KvlistValue(KeyValueList {
                values: vec![text("role", "user"), text("content", &secret.text)],
            }))),
            ..LogRecord::default()
        }
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: secrets.iter().map(record).collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

/// Scenario: secrets of every kind wherever OTLP carries text, by gRPC, and over HTTP as
/// protobuf and JSON.
/// Guarantees: none is stored, logged or in the metrics; each is counted.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_passes_over_otlp() {
    let database = pg::database().await;
    let data = DataDir::new();
    let mut daemon = daemon(database.url(), &data.flags(&["--keep-foreign-spans"])).await;
    daemon.expect_warnings("spans of this scope");
    let secrets = secrets(SECRETS, 13);
    for (number, part) in secrets.chunks(30).enumerate() {
        let request = traces(part);
        match number % 3 {
            0 => {
                let mut client = TraceServiceClient::new(channel(daemon.grpc_url()).await);
                client.export(request).await.unwrap();
            }
            1 => {
                let header = format!("Content-Type: {PROTOBUF}");
                let answer =
                    post(&daemon, "/v1/traces", &[&header], &request.encode_to_vec()).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
            _ => {
                let header = format!("Content-Type: {JSON}");
                let body = serde_json::to_vec(&request).unwrap();
                let answer = post(&daemon, "/v1/traces", &[&header], &body).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
        }
        let header = format!("Content-Type: {PROTOBUF}");
        let answer = post(&daemon, "/v1/logs", &[&header], &logs(part).encode_to_vec()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let mut conn = database.connect().await;
    let metrics = daemon.get("/metrics").await.1;
    assert!(
        metrics.contains("runtraced_otlp_not_understood_total{scope=\"use [masked:"),
        "{metrics}"
    );
    check_nothing_found(&daemon, &mut conn, &secrets).await;
    check_counted(&daemon, 20 * SECRETS as u64).await;
    daemon.finish().await;
}
