//! The answers that OTLP specifies, in both protocols.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric,
};
use prost::Message as _;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{counted, new_trace, run_of, traces};
use crate::support::daemon::Daemon;
use crate::support::otlp::{Answer, JSON, PROTOBUF, call, exchange, post, request, span};
use crate::support::pg;
use crate::support::tables::count;
use crate::support::wire::channel;

pub(super) const PB: &[&str] = &["Content-Type: application/x-protobuf"];
pub(super) const JS: &[&str] = &["Content-Type: application/json"];

/// The code and message of a `google.rpc.Status` in the encoding of the answer.
pub(super) fn status_of(answer: &Answer) -> (i32, String) {
    match answer.header("content-type") {
        PROTOBUF => {
            let status = tonic_types::Status::decode(&*answer.body).unwrap();
            (status.code, status.message)
        }
        JSON => {
            let status = answer.json();
            let code = i32::try_from(status["code"].as_i64().unwrap()).unwrap();
            (code, status["message"].as_str().unwrap().to_owned())
        }
        other => panic!("{other:?}: {}", answer.text()),
    }
}

/// Scenario: empty requests of every signal, in every protocol and encoding.
/// Guarantees: success, without a partial success.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_request_succeeds() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let empty = ExportTraceServiceRequest::default();
    let answer = traces(&daemon).await.export(empty).await.unwrap();
    assert_eq!(answer.into_inner(), ExportTraceServiceResponse::default());
    for path in ["/v1/traces", "/v1/logs", "/v1/metrics"] {
        let answer = post(&daemon, path, PB, b"").await;
        assert_eq!((answer.status, &*answer.body), (200, &b""[..]));
        assert_eq!(answer.header("content-type"), PROTOBUF);
        let answer = post(&daemon, path, JS, b" {} ").await;
        assert_eq!((answer.status, &*answer.body), (200, &b"{}"[..]));
        assert_eq!(answer.header("content-type"), JSON);
    }
    daemon.finish().await;
}

/// Scenario: spans with invalid ids among valid ones.
/// Guarantees: a partial success counts and explains the refusals, in each
/// encoding. The valid spans are stored. Metrics count refusals by reason.
#[tokio::test(flavor = "multi_thread")]
async fn refused_spans_give_a_partial_success() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let trace = new_trace();
    let mut spans: Vec<_> = (1..=6).map(|number| span(trace, number)).collect();
    spans[1].trace_id = vec![0; 16];
    spans[3].trace_id.pop();
    spans[4].span_id = vec![0; 8];
    let message = request(spans);
    let answer = traces(&daemon).await.export(message.clone()).await.unwrap();
    let partial = answer.into_inner().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 3);
    for part in [
        "3 of 6 spans refused",
        "2 invalid_trace_id",
        "first at position 1",
        "1 invalid_span_id",
        "first at position 4",
    ] {
        assert!(partial.error_message.contains(part), "{partial:?}");
    }
    let answer = post(&daemon, "/v1/traces", PB, &message.encode_to_vec()).await;
    assert_eq!(answer.status, 200);
    let decoded = ExportTraceServiceResponse::decode(&*answer.body).unwrap();
    assert_eq!(decoded.partial_success.unwrap(), partial);
    let body = serde_json::to_vec(&message).unwrap();
    let answer = post(&daemon, "/v1/traces", JS, &body).await;
    assert_eq!(answer.status, 200);
    let want = json!({"partialSuccess":
        {"rejectedSpans": "3", "errorMessage": partial.error_message}});
    assert_eq!(answer.json(), want);
    let steps: i64 = sqlx::query_scalar("SELECT count(*) FROM agent_steps WHERE run_id = $1")
        .bind(run_of(trace))
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(steps, 3);
    for (reason, count) in [("invalid_trace_id", 6), ("invalid_span_id", 3)] {
        let labels = format!("outcome=\"refused\",reason=\"{reason}\"");
        let refused = counted(&daemon, "runtraced_otlp_spans_total", &labels).await;
        assert_eq!(refused, count, "{reason}");
    }
    daemon.finish().await;
}

/// Scenario: texts with NUL and lone surrogates, as protobuf and as JSON.
/// Guarantees: everything is stored, and the answer tells what was replaced.
#[tokio::test(flavor = "multi_thread")]
async fn repairs_are_told_to_the_client() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let named = |name: &str| {
        let mut span = span(new_trace(), 1);
        span.name = name.into();
        request(vec![span])
    };
    let nul = named("a\0b");
    let surrogate = serde_json::to_string(&named("S3CRET")).unwrap();
    let surrogate = surrogate.replace("S3CRET", "a\\ud83d");
    for (headers, body, want) in [
        (PB, nul.encode_to_vec(), "NUL"),
        (JS, serde_json::to_vec(&nul).unwrap(), "NUL"),
        (JS, surrogate.into_bytes(), "1 lone surrogates"),
    ] {
        let answer = post(&daemon, "/v1/traces", headers, &body).await;
        assert_eq!(answer.status, 200, "{want}");
        let partial = if headers == PB {
            let decoded = ExportTraceServiceResponse::decode(&*answer.body).unwrap();
            let partial = decoded.partial_success.unwrap();
            assert_eq!(partial.rejected_spans, 0);
            partial.error_message
        } else {
            let partial = &answer.json()["partialSuccess"];
            assert_eq!(partial["rejectedSpans"], "0");
            partial["errorMessage"].as_str().unwrap().to_owned()
        };
        assert!(
            partial.contains(want) && partial.contains("U+FFFD"),
            "{partial}"
        );
    }
    daemon.finish().await;
}

/// Scenario: metrics, and log records that are not about agents.
/// Guarantees: success. They are counted as ignored and make no events.
#[tokio::test(flavor = "multi_thread")]
async fn other_signals_are_accepted_and_counted() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let gauge = Gauge {
        data_points: vec![NumberDataPoint::default(); 7],
    };
    let metrics = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![Metric {
                    data: Some(metric::Data::Gauge(gauge)),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    let logs = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![LogRecord::default(); 3],
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    let channel = channel(daemon.grpc_url()).await;
    let mut client = MetricsServiceClient::new(channel.clone());
    let answer = client.export(metrics.clone()).await.unwrap();
    assert_eq!(answer.into_inner().partial_success, None);
    let mut client = LogsServiceClient::new(channel);
    let answer = client.export(logs.clone()).await.unwrap();
    assert_eq!(answer.into_inner().partial_success, None);
    for (path, headers, body) in [
        ("/v1/metrics", PB, metrics.encode_to_vec()),
        ("/v1/metrics", JS, serde_json::to_vec(&metrics).unwrap()),
        ("/v1/logs", PB, logs.encode_to_vec()),
        ("/v1/logs", JS, serde_json::to_vec(&logs).unwrap()),
    ] {
        let answer = post(&daemon, path, headers, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    for (family, count) in [
        ("runtraced_otlp_data_points_total", 21),
        ("runtraced_otlp_log_records_total", 9),
    ] {
        let ignored = counted(&daemon, family, "outcome=\"ignored\"").await;
        assert_eq!(ignored, count, "{family}");
    }
    let metrics = daemon.metrics().await;
    assert_eq!(metrics["runtraced_events_received_total"], 0);
    daemon.finish().await;
}

/// Scenario: requests that can never be accepted: an unknown path, method,
/// content type or content encoding; bytes that are not a message, are cut off,
/// or have fields of the wrong type.
/// Guarantees: each has its own answer in the encoding of the request. No answer
/// repeats content of the request, and none makes exporters retry.
#[tokio::test(flavor = "multi_thread")]
async fn permanent_errors_have_distinct_answers() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let good = request(vec![span(new_trace(), 1)]).encode_to_vec();

    for path in ["/", "/v1/trace", "/api/public/ingestion"] {
        let answer = post(&daemon, path, PB, &good).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.header("content-type"), PROTOBUF);
        let (code, message) = status_of(&answer);
        assert_eq!(Code::from(code), Code::Unimplemented);
        assert!(message.contains("/v1/traces"), "{message}");
    }
    for headers in [PB, JS, &[][..]] {
        let want = if headers == PB { PROTOBUF } else { JSON };
        for method in ["GET", "PUT", "OPTIONS"] {
            let answer = call(&daemon, method, "/v1/traces", headers, &good).await;
            assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
            assert_eq!(answer.header("content-type"), want);
            assert!(status_of(&answer).1.contains("POST"));
        }
        let answer = call(&daemon, "GET", "/favicon.ico", headers, b"").await;
        assert_eq!((answer.status, answer.header("content-type")), (404, want));
    }
    for headers in [
        &[][..],
        &["Content-Type: text/plain"],
        &["Content-Type: application/jsonp"],
    ] {
        let answer = post(&daemon, "/v1/traces", headers, &good).await;
        assert_eq!(answer.status, 415, "{headers:?}");
        assert!(status_of(&answer).1.contains("application/x-protobuf"));
    }
    for headers in [PB, JS] {
        let headers = [headers[0], "Content-Encoding: br"];
        let answer = post(&daemon, "/v1/traces", &headers, &good).await;
        assert_eq!(answer.status, 415, "{headers:?}");
        assert_eq!(
            answer.header("accept-encoding"),
            "gzip, deflate, zstd, identity"
        );
        assert_eq!(
            headers[0],
            format!("Content-Type: {}", answer.header("content-type"))
        );
    }
    let text_for_number = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":"S3CRET","startTimeUnixNano":"S3CRET"}]}]}]}"#;
    for (headers, body) in [
        (PB, &good[..good.len() - 1]),
        (PB, b"S3CRET\xff\xff"),
        // A span whose name is a number.
        (PB, b"\x0a\x08\x12\x06\x12\x04\x28\x01\x28\x01"),
        (JS, b""),
        (JS, b"[]"),
        (JS, b"{\"resourceSpans\":[{]}"),
        (JS, b"{} {}"),
        (JS, b"{\"resourceSpans\": \"S3CRET\"}"),
        // Nothing that OTLP has, at the top or below.
        (PB, b"\x12\x00"),
        (JS, b"{\"S3CRET\": 1}"),
        (JS, b"{\"resourceLogs\": [{}]}"),
        (
            JS,
            b"{\"resourceSpans\": [{\"S3CRET\": [{\"spans\": [{}]}]}]}",
        ),
        (JS, text_for_number),
    ] {
        let answer = post(&daemon, "/v1/traces", headers, body).await;
        let (code, message) = status_of(&answer);
        assert_eq!(
            (answer.status, code),
            (400, Code::InvalidArgument.into()),
            "{message}"
        );
        assert_eq!(
            headers[0],
            format!("Content-Type: {}", answer.header("content-type"))
        );
        assert!(
            !message.is_empty() && !message.contains("S3CRET"),
            "{message}"
        );
        assert_eq!(answer.header("retry-after"), "");
        if headers == JS {
            let detail = &answer.json()["details"][0];
            assert_eq!(detail["@type"], "type.googleapis.com/google.rpc.BadRequest");
        }
    }
    for body in [&good[..good.len() - 1], b"S3CRET\xff\xff"] {
        let status = super::export_bytes(&daemon, body, None).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.get_details_bad_request().is_some());
        assert!(!status.message().contains("S3CRET"), "{status}");
    }
    let status = super::export_bytes(&daemon, &good, Some("br"))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
    let accepted = status.metadata().get("grpc-accept-encoding").unwrap();
    assert_eq!(accepted, "gzip, deflate, zstd, identity");
    assert!(!daemon.logs().contains("S3CRET"));
    daemon.finish().await;
}

/// Scenario: a client uses the wrong port of the daemon.
/// Guarantees: the answer names the right port, in a form that the client can show.
#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_port_names_the_right_one() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let url = format!("http://{}", daemon.http_address());
    let mut client =
        opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient::new(
            channel(&url).await,
        );
    let status = client.export(request(vec![])).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
    let grpc = daemon.grpc_url().strip_prefix("http://").unwrap();
    assert!(status.message().contains(grpc), "{status}");

    let request = "POST /v1/traces HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
                   Content-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
    let answer = exchange(grpc, request.as_bytes()).await;
    assert_eq!(answer.status, 415);
    assert!(answer.text().contains("4318"), "{}", answer.text());
    daemon.finish().await;
}

/// Scenario: requests to the OTLP paths of vendors, with their headers for keys.
/// Guarantees: all are accepted, and no log contains the content of a header.
#[tokio::test(flavor = "multi_thread")]
async fn paths_and_headers_of_vendors_are_accepted() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &[]).await;
    let mut conn = database.connect().await;
    for (number, (path, header)) in [
        ("/v1/traces", "api_key: S3CRET"),
        (
            "/api/public/otel/v1/traces",
            "Authorization: Basic UzNDUkVUOlMzQ1JFVA==",
        ),
        ("/otel/v1/traces", "x-api-key: S3CRET"),
        ("/api/v1/otel/v1/traces", "Authorization: Bearer S3CRET"),
        ("/api/v1/private/otel/v1/traces", "Authorization: S3CRET"),
        (
            "/opik/api/v1/private/otel/v1/traces/",
            "Comet-Workspace: S3CRET",
        ),
        ("/traces/otel/v1/traces", "wandb-api-key: S3CRET"),
        ("//v1/traces?token=S3CRET", "x-langsmith-project: S3CRET"),
    ]
    .into_iter()
    .enumerate()
    {
        let body = request(vec![span(new_trace(), 1)]).encode_to_vec();
        let answer = post(&daemon, path, &[PB[0], header], &body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let runs = i64::try_from(number).unwrap() + 1;
        assert_eq!(count(&mut conn, "agent_runs").await, runs, "{path}");
    }
    let logs = daemon.logs();
    assert!(
        !logs.contains("S3CRET") && !logs.contains("UzNDUkVU"),
        "{logs}"
    );
    daemon.finish().await;
}

/// Scenario: bodies above `--max-message-bytes`, plain and compressed.
/// Guarantees: 413, and over gRPC a code that exporters do not retry. The next
/// request is accepted.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_above_the_limit_is_not_retried() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--max-message-bytes", "1048576"]).await;
    let mut large = span(new_trace(), 1);
    large.name = "x".repeat(3 << 20);
    let message = request(vec![large]);
    let plain = message.encode_to_vec();
    let small = zstd::encode_all(&*plain, 3).unwrap();
    for (body, encoding) in [(&plain, "identity"), (&small, "zstd")] {
        let encoding = format!("Content-Encoding: {encoding}");
        let answer = post(&daemon, "/v1/traces", &[PB[0], &encoding], body).await;
        assert_eq!(answer.status, 413, "{encoding}");
        let (_, told) = status_of(&answer);
        assert!(told.contains("1048576 bytes"), "{told}");
    }
    let told = |status: Status| {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert!(status.get_details_retry_info().is_none(), "{status}");
        assert!(status.message().contains("1048576 bytes"), "{status}");
    };
    told(
        super::export_bytes(&daemon, &plain, None)
            .await
            .unwrap_err(),
    );
    told(
        super::export_bytes(&daemon, &small, Some("zstd"))
            .await
            .unwrap_err(),
    );
    let good = request(vec![span(new_trace(), 1)]);
    traces(&daemon).await.export(good).await.unwrap();
    daemon.finish().await;
}

/// Scenario: a health check of each OTLP service.
/// Guarantees: each is known and serving.
#[tokio::test(flavor = "multi_thread")]
async fn health_knows_the_services() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;

    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let channel = channel(daemon.grpc_url()).await;
    for service in [
        "trace.v1.TraceService",
        "logs.v1.LogsService",
        "metrics.v1.MetricsService",
    ] {
        let check = HealthCheckRequest {
            service: format!("opentelemetry.proto.collector.{service}"),
        };
        let health = HealthClient::new(channel.clone()).check(check).await;
        assert_eq!(health.unwrap().into_inner().status, 1, "{service}");
    }
    daemon.finish().await;
}
