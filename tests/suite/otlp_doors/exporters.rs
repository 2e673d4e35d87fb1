//! The exporter of OpenTelemetry itself, instead of handmade bytes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry::trace::{
    Span as _, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{
    Compression, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
    WithTonicConfig as _,
};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter as Exporter};
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::pg;

/// An exporter that records the result of each export.
#[derive(Debug)]
struct Recorded {
    inner: SpanExporter,
    results: Arc<Mutex<Vec<Result<(), String>>>>,
}

impl Exporter for Recorded {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.inner.export(batch).await;
        let told = result.as_ref().copied().map_err(ToString::to_string);
        self.results.lock().unwrap().push(told);
        result
    }
}

fn build(daemon: &Daemon, protocol: Protocol, compressed: bool) -> SpanExporter {
    if protocol == Protocol::Grpc {
        let builder = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(daemon.grpc_url());
        return match compressed {
            true => builder.with_compression(Compression::Gzip).build().unwrap(),
            false => builder.build().unwrap(),
        };
    }
    let builder = SpanExporter::builder()
        .with_http()
        .with_protocol(protocol)
        .with_endpoint(format!("http://{}/v1/traces", daemon.http_address()));
    match compressed {
        true => builder.with_compression(Compression::Gzip).build().unwrap(),
        false => builder.build().unwrap(),
    }
}

/// Runs an instrumented agent whose tool call fails. Returns the trace and the
/// results of its exports.
async fn run_an_agent(exporter: SpanExporter) -> (Uuid, Vec<Result<(), String>>) {
    let results: Arc<Mutex<Vec<_>>> = Arc::default();
    let recorded = Recorded {
        inner: exporter,
        results: Arc::clone(&results),
    };
    // The export blocks the thread that ends a span, so use a separate thread.
    let trace = tokio::task::spawn_blocking(move || {
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(recorded)
            .build();
        let tracer = provider.tracer("openinference.instrumentation.tests");
        let mut root = tracer.start("researcher");
        root.set_attribute(KeyValue::new("openinference.span.kind", "AGENT"));
        let trace = Uuid::from_bytes(root.span_context().trace_id().to_bytes());
        let context = Context::new().with_span(root);
        let mut tool = tracer.start_with_context("search", &context);
        tool.set_attribute(KeyValue::new("openinference.span.kind", "TOOL"));
        tool.set_attribute(KeyValue::new("tool.name", "search"));
        tool.set_attribute(KeyValue::new("input.value", r#"{"q":"release date"}"#));
        tool.set_status(Status::error("nothing found"));
        tool.end();
        context.span().end();
        provider.shutdown().unwrap();
        trace
    });
    let trace = trace.await.unwrap();
    let results = std::mem::take(&mut *results.lock().unwrap());
    (trace, results)
}

/// Checks that the tool call is a failed step of the trace's run.
async fn check(conn: &mut sqlx::PgConnection, trace: Uuid) {
    let step: (String, String) = sqlx::query_as(
        "SELECT name, status FROM agent_steps WHERE run_id = $1 AND name = 'search'",
    )
    .bind(trace)
    .fetch_one(conn)
    .await
    .unwrap();
    assert_eq!(step, ("search".into(), "failed".into()));
}

const PROTOCOLS: [Protocol; 3] = [Protocol::Grpc, Protocol::HttpBinary, Protocol::HttpJson];

/// Scenario: a program exports to the daemon over each protocol, plain and
/// compressed.
/// Guarantees: each export succeeds, and the spans are stored.
#[tokio::test(flavor = "multi_thread")]
async fn the_exporter_delivers_over_each_protocol() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    for protocol in PROTOCOLS {
        for compressed in [false, true] {
            let (trace, results) = run_an_agent(build(&daemon, protocol, compressed)).await;
            assert!(results.len() == 2, "{protocol:?}: {results:?}");
            assert!(
                results.iter().all(Result::is_ok),
                "{protocol:?}: {results:?}"
            );
            check(&mut conn, trace).await;
        }
    }
    daemon.finish().await;
}

/// Scenario: the database does not answer while the exporter sends.
/// Guarantees: over each protocol, the exporter retries after the delay that the
/// daemon names, and its spans are stored in the end.
#[tokio::test(flavor = "multi_thread")]
async fn the_exporter_retries_after_the_delay() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--submit-timeout", "0.3"]).await;
    let mut conn = database.connect().await;
    for protocol in PROTOCOLS {
        sqlx::raw_sql("BEGIN; LOCK TABLE agent_runs IN ACCESS EXCLUSIVE MODE")
            .execute(&mut conn)
            .await
            .unwrap();
        let running = tokio::spawn(run_an_agent(build(&daemon, protocol, false)));
        let received = |metrics: std::collections::HashMap<String, u64>| {
            metrics["runtraced_events_received_total"]
                - metrics["runtraced_events_settled_total{outcome=\"committed\"}"]
                - metrics["runtraced_events_settled_total{outcome=\"duplicate\"}"]
        };
        // The first attempt arrived, and its exporter got the delay.
        while received(daemon.metrics().await) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        sqlx::raw_sql("COMMIT").execute(&mut conn).await.unwrap();
        let (trace, results) = running.await.unwrap();
        assert!(
            results.iter().all(Result::is_ok),
            "{protocol:?}: {results:?}"
        );
        check(&mut conn, trace).await;
    }
    let metrics = daemon.metrics().await;
    let again = metrics["runtraced_events_settled_total{outcome=\"duplicate\"}"];
    assert!(again >= 3, "no exporter retried: {metrics:?}");
    daemon.finish().await;
}
