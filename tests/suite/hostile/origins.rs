//! Spans that share something long.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use super::MEGABYTE;
use crate::otlp_doors::traces;
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::otlp::{request, span, text};
use crate::support::pg;

/// How long a debug build may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
const SPANS: u64 = 3_000;

/// Puts a text into a request.
type SetText = fn(&mut ExportTraceServiceRequest, String);

/// Scenario: thousands of spans of one trace, of a scope, a service or a resource with two megabytes
/// of text.
/// Guarantees: each request is answered soon. If each span read that text, it would take minutes.
#[tokio::test(flavor = "multi_thread")]
async fn spans_of_a_long_origin_are_mapped_soon() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let long = || "a_b.".repeat(2 * MEGABYTE / 4);
    let origins: [(&str, SetText); 3] = [
        ("scope", |request, long| {
            let scope = &mut request.resource_spans[0].scope_spans[0].scope;
            scope.as_mut().unwrap().name = long;
        }),
        ("service", |request, long| {
            let resource = request.resource_spans[0].resource.as_mut().unwrap();
            resource.attributes = vec![text("service.name", &long)];
        }),
        ("resource", |request, long| {
            let resource = request.resource_spans[0].resource.as_mut().unwrap();
            resource.attributes.push(text("long", &long));
        }),
    ];
    for (what, lengthen) in origins {
        let trace = new_id();
        // The last first, so that each tells of an earlier time.
        let spans = (1..=SPANS).rev().map(|number| {
            let mut span = span(trace, number);
            span.parent_span_id = vec![9; 8];
            span.attributes = vec![text("openinference.span.kind", "CHAIN")];
            span
        });
        let mut request = request(spans.collect());
        lengthen(&mut request, long());
        let begin = Instant::now();
        let answer = traces(&daemon).await.export(request).await;
        let took = begin.elapsed();
        println!("{what}: {took:?}");
        assert!(answer.is_ok(), "{what}: {answer:?}");
        assert!(took < LIMIT, "{what}: {took:?}");
    }
    daemon.finish().await;
}

/// Scenario: calls with thousands of messages and a long id or recorded response, and one with
/// half a million beginnings of an address in one message.
/// Guarantees: each request is answered soon. If each of them read all that follows, it would take
/// minutes.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_call_are_read_once() {
    const MESSAGES: usize = 3_000;
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let long = "a".repeat(MEGABYTE);
    let messages = |role: &str| {
        let message = format!(r#"{{"role":"{role}","content":"Hi"}}"#);
        format!("[{}]", vec![message; MESSAGES].join(","))
    };
    let recorded = format!(r#"{{"id":"{long}"}}"#);
    let addresses = format!("{};base64,", "data:".repeat(MEGABYTE / 2));
    let calls = [
        vec![
            text("openinference.span.kind", "LLM"),
            text("gen_ai.system_instructions", &addresses),
        ],
        vec![
            text("gen_ai.response.id", &long),
            text("gen_ai.request.previous_response_id", "a_b"),
            text("gen_ai.input.messages", &messages("user")),
        ],
        vec![
            text("openinference.span.kind", "LLM"),
            text("output.value", &recorded),
            text("gen_ai.output.messages", &messages("assistant")),
        ],
    ];
    for attributes in calls {
        let key = format!("{}, {}", attributes[0].key, attributes[1].key);
        let mut call = span(new_id(), 1);
        call.attributes = attributes;
        let begin = Instant::now();
        let answer = traces(&daemon).await.export(request(vec![call])).await;
        let took = begin.elapsed();
        println!("{key}: {took:?}");
        assert!(answer.is_ok(), "{key}: {answer:?}");
        assert!(took < LIMIT, "{key}: {took:?}");
    }
    daemon.finish().await;
}
