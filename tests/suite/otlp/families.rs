//! Random traces whose spans need each other: views of one call, announcements, spans
//! without an end, ids that come again.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use uuid::Uuid;

use super::corpus::Export;
use super::deliver::{Endpoints, Way};
use crate::support::daemon::Daemon;
use crate::support::otlp::{BASE_NANOS, attribute, text};
use crate::support::pg;
use crate::support::random::from_env;
use crate::support::tables::content;

const SCOPES: [&str; 3] = [
    "framework",
    "openinference.instrumentation.client",
    "server",
];

/// A span with its service and scope.
#[derive(Clone)]
struct Sent {
    service: &'static str,
    scope: &'static str,
    span: Span,
}

/// The spans of a random trace.
fn trace(random: &mut StdRng, trace: Uuid) -> Vec<Sent> {
    let count = random.random_range(2..10_u64);
    let mut all = Vec::new();
    for number in 1..=count {
        let parent = match number {
            1 => Vec::new(),
            _ => random.random_range(1..number).to_be_bytes().to_vec(),
        };
        let started = BASE_NANOS + random.random_range(0..20_u64) * 1_000_000;
        let ended = started + random.random_range(1..20_u64) * 1_000_000;
        let scope = SCOPES[random.random_range(0..SCOPES.len())];
        let (name, attributes) = work(random, scope);
        let code = [0, 0, 0, 1, 2][random.random_range(0..5)];
        let span = Span {
            trace_id: trace.as_bytes().to_vec(),
            span_id: number.to_be_bytes().to_vec(),
            parent_span_id: parent,
            name,
            kind: random.random_range(1..4),
            start_time_unix_nano: started,
            end_time_unix_nano: ended,
            status: Some(Status {
                code,
                message: if code == 2 { "ValueError: no" } else { "" }.into(),
            }),
            attributes,
            ..Default::default()
        };
        let service = ["caller", "callee"][usize::from(number > count / 2)];
        let sent = Sent {
            service,
            scope,
            span,
        };
        if random.random_bool(0.2) {
            let mut open = sent.clone();
            open.span.end_time_unix_nano = 0;
            all.push(open);
        }
        if random.random_bool(0.9) {
            all.push(sent);
        }
    }
    all
}

/// The name and the attributes of a span of random work.
fn work(
    random: &mut StdRng,
    scope: &str,
) -> (
    String,
    Vec<opentelemetry_proto::tonic::common::v1::KeyValue>,
) {
    let one_of =
        |random: &mut StdRng, words: &[&'static str]| words[random.random_range(0..words.len())];
    let is_open_inference = scope.starts_with("openinference");
    let kind = |open_inference: &str, operation: &str| {
        if is_open_inference {
            text("openinference.span.kind", open_inference)
        } else {
            text("gen_ai.operation.name", operation)
        }
    };
    match random.random_range(0..10) {
        0..4 => {
            let mut attributes = vec![kind("LLM", "chat")];
            if random.random_bool(0.5) {
                attributes.push(text("gen_ai.request.model", "m"));
            }
            for key in ["input_tokens", "output_tokens", "cache_read.input_tokens"] {
                if random.random_bool(0.6) {
                    let tokens = Value::IntValue(random.random_range(1..50));
                    attributes.push(attribute(&format!("gen_ai.usage.{key}"), tokens));
                }
            }
            if random.random_bool(0.5) {
                let id = one_of(
                    random,
                    &[
                        "chatcmpl-aaaaaaaaaaaaaaaaaaaaaaaa",
                        "chatcmpl-bbbbbbbbbbbbbbbbbbbbbbbb",
                    ],
                );
                attributes.push(text("gen_ai.response.id", id));
            }
            if random.random_bool(0.5) {
                let said = one_of(random, &["yes", "no"]);
                let message = format!(
                    "[{{\"role\":\"assistant\",\"parts\":[{{\"type\":\"text\",\"content\":\"{said}\"}}]}}]"
                );
                attributes.push(text("gen_ai.output.messages", &message));
            }
            ("chat".into(), attributes)
        }
        4..7 => {
            let name = one_of(random, &["search", "execute_tool search", "find"]);
            let mut attributes = vec![kind("TOOL", "execute_tool"), text("gen_ai.tool.name", name)];
            if random.random_bool(0.6) {
                attributes.push(text(
                    "gen_ai.tool.call.id",
                    one_of(random, &["shell:0", "shell:1"]),
                ));
            }
            if random.random_bool(0.5) {
                attributes.push(text(
                    "gen_ai.tool.call.result",
                    one_of(random, &["18 C", "{\"isError\":true}"]),
                ));
            }
            (name.into(), attributes)
        }
        7 => (
            "invoke_agent a".into(),
            vec![
                kind("AGENT", "invoke_agent"),
                text("gen_ai.agent.name", one_of(random, &["a", "b"])),
            ],
        ),
        8 => (
            "step".into(),
            match random.random_range(0..3) {
                0 => vec![text("http.request.method", "POST")],
                1 => vec![text("gen_ai.operation.name", "create_agent")],
                _ => vec![text("openinference.span.kind", "CHAIN")],
            },
        ),
        _ => (
            "tools/list".into(),
            vec![text("mcp.method.name", "tools/list")],
        ),
    }
}

fn export(spans: &[Sent]) -> Export {
    let resource_spans = spans.iter().map(|sent| ResourceSpans {
        resource: Some(Resource {
            attributes: vec![text("service.name", sent.service)],
            ..Default::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: sent.scope.into(),
                ..Default::default()
            }),
            spans: vec![sent.span.clone()],
            ..Default::default()
        }],
        ..Default::default()
    });
    Export::Traces(ExportTraceServiceRequest {
        resource_spans: resource_spans.collect(),
    })
}

/// Scenario: random traces arrive whole; and again shuffled, partly twice, cut into
/// requests to two daemons at once.
/// Guarantees: every column of every row is the same.
/// `RUNTRACED_TEST_SEED` replays, `RUNTRACED_TEST_CASES` asks for more.
#[tokio::test(flavor = "multi_thread")]
async fn spans_that_need_each_other_end_in_the_same_rows_in_any_order() {
    let (canonical, shuffled) = (pg::database().await, pg::database().await);
    let reference = Daemon::start(canonical.url()).await;
    let daemons = [
        Daemon::start(shuffled.url()).await,
        Daemon::start(shuffled.url()).await,
    ];
    let one = Endpoints::of(&reference).await;
    let two = [
        Endpoints::of(&daemons[0]).await,
        Endpoints::of(&daemons[1]).await,
    ];
    let mut conns = [canonical.connect().await, shuffled.connect().await];
    let first = from_env("RUNTRACED_TEST_SEED", rand::random::<u32>().into());
    let cases = from_env("RUNTRACED_TEST_CASES", 150);
    for seed in first..first + cases {
        let mut random = StdRng::seed_from_u64(seed);
        let run = Uuid::from_u128(random.random());
        let spans = trace(&mut random, run);
        one.send(&export(&spans), Way::Grpc).await;
        let mut again: Vec<Sent> = spans.clone();
        again.extend(spans.iter().filter(|_| random.random_bool(0.3)).cloned());
        again.shuffle(&mut random);
        let size = random.random_range(1..=again.len().max(1));
        let mut lanes = vec![Vec::new(); 4];
        for (number, part) in again.chunks(size).enumerate() {
            lanes[number % 4].push(export(part));
        }
        let sends = lanes.into_iter().enumerate().map(|(number, lane)| {
            let endpoints = two[number % 2].clone();
            tokio::spawn(async move {
                for export in lane {
                    endpoints.send(&export, Way::Grpc).await;
                }
            })
        });
        for send in sends.collect::<Vec<_>>() {
            send.await.unwrap();
        }
        let [a, b] = &mut conns;
        let want = content(a, &[run], &[]).await;
        let got = content(b, &[run], &[]).await;
        assert_eq!(
            got, want,
            "replay with RUNTRACED_TEST_SEED={seed} RUNTRACED_TEST_CASES=1"
        );
    }
    for daemon in daemons {
        daemon.finish().await;
    }
    reference.finish().await;
}
