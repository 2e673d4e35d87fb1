//! The spans of requests are those of the documentation.

use std::fs;

use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use runtraced::proto::SubmitRequest;
use runtraced::proto::trace_ingest_client::TraceIngestClient;
use tonic::Request;
use uuid::Uuid;

use super::told::{Collector, ToldSpan, trees};
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_ended, run_started};
use crate::support::otlp::{PROTOBUF, post, request, span};
use crate::support::pg;
use crate::support::wire::channel;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATIONS.md");
const BEGIN: &str = "<!-- spans: begin (RUNTRACED_UPDATE_DOCS=1 cargo test --test suite telemetry:: rewrites this tree) -->\n```text\n";
const END: &str = "```\n<!-- spans: end -->";

/// Scenario: a client with a trace of its own calls `Submit`, another one sends spans over HTTP.
/// Guarantees: both traces go on in the daemon; the trees of spans are those of the page; write
/// batches are linked to their requests; facts are numbers and words, never content.
#[tokio::test(flavor = "multi_thread")]
async fn the_spans_of_a_submit_and_an_export_are_as_documented() {
    let collector = Collector::start().await;
    let database = pg::database().await;
    let flags = [
        "--otel-sample",
        "1",
        "--writers",
        "1",
        "--sweep-interval",
        "1h",
    ];
    let daemon = Daemon::with_args(database.url(), &collector.flags(&flags)).await;
    let (submitting, exporting) = (Uuid::new_v4(), Uuid::new_v4());

    let run = new_id();
    let mut submit = Request::new(SubmitRequest {
        events: vec![
            run_started(0, run),
            run_ended(1, run, runtraced::proto::EndStatus::Completed),
        ],
        ..Default::default()
    });
    let parent = traceparent(submitting).parse().unwrap();
    submit.metadata_mut().insert("traceparent", parent);
    let mut client = TraceIngestClient::new(channel(daemon.grpc_url()).await);
    client.submit(submit).await.unwrap();

    let body = request(vec![span(new_id(), 1)]).encode_to_vec();
    let content_type = format!("Content-Type: {PROTOBUF}");
    let parent = format!("traceparent: {}", traceparent(exporting));
    let answer = post(&daemon, "/v1/traces", &[&content_type, &parent], &body).await;
    assert_eq!(answer.status, 200);
    // The spans of the clients come to the collector, too.
    for trace in [submitting, exporting] {
        let client = Span {
            name: "client".into(),
            span_id: CLIENT_SPAN.to_be_bytes().to_vec(),
            ..span(trace, 1)
        };
        let body = request(vec![client]).encode_to_vec();
        let answer = post(&collector.daemon, "/v1/traces", &[&content_type], &body).await;
        assert_eq!(answer.status, 200);
    }
    daemon.finish().await;

    let spans = collector.spans().await;
    check_page(&trees(&spans));
    let named =
        |name: &str| -> Vec<&ToldSpan> { spans.iter().filter(|span| span.name == name).collect() };
    let submit = named("runtraced.v1.TraceIngest/Submit")[0];
    assert_eq!(submit.trace, submitting);
    assert_eq!(submit.metadata["runtraced.events"], 2);
    assert_eq!(submit.metadata["runtraced.durability"], "committed");
    assert_eq!(submit.metadata["runtraced.refused"], 0);
    let export = named("OTLP/HTTP export")[0];
    assert_eq!(export.trace, exporting);
    assert_eq!(export.metadata["runtraced.signal"], "span");
    assert_eq!(export.metadata["runtraced.bytes"], body.len());
    let batches = named("write batch");
    assert_eq!(batches.len(), 2);
    assert_eq!(batches[0].metadata["runtraced.requests"], 1);
    assert_eq!(batches[0].metadata["runtraced.events"], 2);
    assert!(spans.iter().all(|span| !span.failed), "{spans:#?}");
    collector.daemon.finish().await;
}

const CLIENT_SPAN: u64 = 0x00f0_67aa_0ba9_02b7;

fn traceparent(trace: Uuid) -> String {
    format!("00-{}-{CLIENT_SPAN:016x}-01", trace.simple())
}

fn check_page(tree: &str) {
    let page = fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (now, after) = rest.split_once(END).unwrap();
    if std::env::var_os("RUNTRACED_UPDATE_DOCS").is_some() {
        fs::write(PAGE, format!("{before}{BEGIN}{tree}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(now, tree, "docs/OPERATIONS.md: the tree is out of date");
}
