//! The spans of requests are those of the documentation.

use std::fs;

use prost::Message as _;

use super::told::{Collector, ToldSpan, trees};
use super::traced::{Clients, FLAGS};
use crate::support::daemon::Daemon;
use crate::support::otlp::{PROTOBUF, post, request};
use crate::support::pg;

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
    let daemon = Daemon::with_args(database.url(), &collector.flags(&FLAGS)).await;
    let clients = Clients::send(&daemon).await;
    // The spans of the clients come to the collector, too.
    let content_type = format!("Content-Type: {PROTOBUF}");
    for client in clients.spans() {
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
    assert_eq!(submit.trace, clients.submitting);
    assert_eq!(submit.metadata["runtraced.events"], 2);
    assert_eq!(submit.metadata["runtraced.durability"], "committed");
    assert_eq!(submit.metadata["runtraced.refused"], 0);
    let export = named("OTLP/HTTP export")[0];
    assert_eq!(export.trace, clients.exporting);
    assert_eq!(export.metadata["runtraced.signal"], "span");
    assert_eq!(export.metadata["runtraced.bytes"], clients.exported_bytes);
    let batches = named("write batch");
    assert_eq!(batches.len(), 2);
    assert_eq!(batches[0].metadata["runtraced.requests"], 1);
    assert_eq!(batches[0].metadata["runtraced.events"], 2);
    assert!(spans.iter().all(|span| !span.failed), "{spans:#?}");
    collector.daemon.finish().await;
}

/// The tree of the page.
pub fn documented() -> String {
    let page = fs::read_to_string(PAGE).unwrap();
    let (_, rest) = page.split_once(BEGIN).unwrap();
    rest.split_once(END).unwrap().0.to_owned()
}

fn check_page(tree: &str) {
    let now = documented();
    if std::env::var_os("RUNTRACED_UPDATE_DOCS").is_some() {
        let page = fs::read_to_string(PAGE).unwrap();
        let (old, new) = (format!("{BEGIN}{now}{END}"), format!("{BEGIN}{tree}{END}"));
        fs::write(PAGE, page.replace(&old, &new)).unwrap();
        return;
    }
    assert_eq!(now, tree, "docs/OPERATIONS.md: the tree is out of date");
}
