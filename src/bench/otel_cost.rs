//! `runtraced bench --otel-cost`: what the daemon's own spans cost. Two daemons write to one
//! database in turn, one with spans and one without.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, header};
use axum::routing::post;
use http_body_util::{BodyExt as _, Full};
use tokio::net::TcpListener;

use super::database::ScratchDatabase;
use super::figures::Spread;
use super::measure::BenchHarness;
use super::progress::BenchProgress;
use super::workload::{Workload, WorkloadKind, WorkloadSpec};
use super::{BenchArgs, start_harness, stop_daemon, workload_spec, write_file};
use crate::console::output;

const EXPORT_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// The answer of a collector that took all spans: an empty message.
const EMPTY_MESSAGE: [u8; 5] = [0; 5];
const MICROS_PER_SECOND: f64 = 1e6;

/// The cost of spans with one workload.
#[derive(Debug, serde::Serialize)]
struct OtelCost {
    workload: WorkloadKind,
    events: u64,
    /// CPU time of the daemon per event without spans, in microseconds.
    without_micros: Spread,
    /// The same with spans.
    with_micros: Spread,
    /// How much more CPU time spans take, in percent, by pairs of rounds.
    more_percent: Spread,
    /// Rates with spans, relative to those without, by pairs of rounds.
    relative_rate: Spread,
    /// Requests with spans that the collector got.
    exports: u64,
}

/// One delivery.
#[derive(Clone, Copy, Debug)]
struct DeliveryCost {
    cpu_micros: f64,
    seconds: f64,
}

/// Measures, prints and writes the figures.
///
/// # Errors
/// When any part fails.
pub async fn run(args: &BenchArgs, url: &str) -> anyhow::Result<()> {
    let scratch = ScratchDatabase::for_this_process(url)?;
    scratch.create(None).await?;
    let progress = BenchProgress::new();
    let exports = Arc::<AtomicU64>::default();
    let flag = format!("--otel-endpoint={}", start_collector(&exports).await?);
    let mut all = Vec::new();
    for kind in args.workloads() {
        let harness =
            |flags| start_harness(args, &scratch, args.connections, flags, progress.clone());
        let (without, quiet) = harness(&[]).await?;
        let (with, telling) = harness(&[&flag]).await?;
        let before = exports.load(Relaxed);
        let spec = workload_spec(args, kind);
        let mut cost = measure(&spec, args.round_count(kind), &without, &with).await?;
        stop_daemon(quiet).await?;
        stop_daemon(telling).await?;
        cost.exports = exports.load(Relaxed) - before;
        all.push(cost);
    }
    progress.clear();
    output::print(&all.iter().map(text).collect::<String>())?;
    write_file(args.json.as_deref(), &serde_json::to_string_pretty(&all)?)
}

async fn measure(
    spec: &WorkloadSpec,
    rounds: usize,
    without: &BenchHarness,
    with: &BenchHarness,
) -> anyhow::Result<OtelCost> {
    let workload = Workload::new(spec);
    let mut pairs = Vec::new();
    for round in 0..=rounds {
        let stage = format!("{}: round {round}", spec.kind.name());
        let pair = if round.is_multiple_of(2) {
            let first = deliver(without, &workload, &stage).await?;
            (first, deliver(with, &workload, &stage).await?)
        } else {
            let first = deliver(with, &workload, &stage).await?;
            (deliver(without, &workload, &stage).await?, first)
        };
        // The first round warms up.
        if round > 0 {
            pairs.push(pair);
        }
    }
    let spread = |of: fn(&(DeliveryCost, DeliveryCost)) -> f64| Spread::of(pairs.iter().map(of));
    Ok(OtelCost {
        workload: spec.kind,
        events: workload.events(),
        without_micros: spread(|(without, _)| without.cpu_micros),
        with_micros: spread(|(_, with)| with.cpu_micros),
        more_percent: spread(|(without, with)| {
            (with.cpu_micros / without.cpu_micros - 1.0) * 100.0
        }),
        relative_rate: spread(|(without, with)| without.seconds / with.seconds),
        exports: 0,
    })
}

/// Delivers a workload into empty tables.
async fn deliver(
    bench: &BenchHarness,
    workload: &Workload,
    stage: &str,
) -> anyhow::Result<DeliveryCost> {
    bench.scratch.truncate().await?;
    let events = workload.events();
    let (_, measured) = bench.deliver_measured(workload, stage, events).await?;
    Ok(DeliveryCost {
        cpu_micros: measured.cpu.daemon * MICROS_PER_SECOND / events as f64,
        seconds: measured.seconds,
    })
}

fn text(cost: &OtelCost) -> String {
    format!(
        "{}: {} events a round\n\
         \x20 daemon CPU without spans, µs/event: {}\n\
         \x20 daemon CPU with spans, µs/event: {}\n\
         \x20 more CPU with spans, %: {}\n\
         \x20 rate with spans, relative: {}\n\
         \x20 requests to the collector: {}\n",
        cost.workload.name(),
        cost.events,
        cost.without_micros.text(2),
        cost.with_micros.text(2),
        cost.more_percent.text(1),
        cost.relative_rate.text(3),
        cost.exports,
    )
}

/// Starts a collector that counts requests and keeps nothing. Returns its URL.
async fn start_collector(exports: &Arc<AtomicU64>) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let exports = exports.clone();
    let take = move |_: Bytes| {
        exports.fetch_add(1, Relaxed);
        ready(taken())
    };
    let routes = Router::new().route(EXPORT_PATH, post(take));
    // It ends with this process.
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(url)
}

fn taken() -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from_static(&EMPTY_MESSAGE));
    let mut response = Response::new(Body::new(body.with_trailers(ready(Some(Ok(trailers))))));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, grpc);
    response
}
