//! Sends the `otlp` workload: requests encoded beforehand, over OTLP/gRPC.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use runtraced_client::EncodedCodec;
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

use super::load::{DeliveryResult, RequestAck};
use super::workload::{EncodedRequest, Workload, WorkloadKind};

const EXPORT_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// Requests in flight for each stream of the arguments. Each exporter waits for its response before
/// it sends the next request.
const EXPORTERS: usize = 4;
/// HTTP/2 flow-control window of each connection and stream.
const WINDOW_BYTES: u32 = 1 << 20;

/// Opens `count` connections.
///
/// # Errors
/// When the daemon does not accept a connection.
async fn connect(endpoint: &str, count: usize) -> anyhow::Result<Vec<Channel>> {
    let mut channels = Vec::new();
    for _ in 0..count {
        let endpoint = Endpoint::from_shared(endpoint.to_owned())?
            .tcp_nodelay(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        channels.push(endpoint.connect().await?);
    }
    Ok(channels)
}

/// How many connections share the requests in flight of one stream of the arguments. The turns of a
/// chat come one after the other: nobody goes on before the answer is there.
pub fn connections_per_stream(kind: WorkloadKind) -> usize {
    match kind {
        WorkloadKind::Chat => EXPORTERS,
        _ => 1,
    }
}

/// Sends each stream over its own connection, as fast as responses arrive. The result has no
/// counts of committed and duplicate events, because OTLP responses do not report them.
///
/// # Errors
/// When a request is refused or a connection fails; the figures would not be valid.
pub async fn deliver_otlp(
    endpoint: &str,
    workload: &Workload,
    progress: impl Fn(u64) + Clone + Send + 'static,
) -> anyhow::Result<DeliveryResult> {
    let streams = &workload.streams;
    let exporters_per_connection = EXPORTERS / connections_per_stream(workload.kind);
    let channels = connect(endpoint, streams.len()).await?;
    let begin = Instant::now();
    let mut exporters = JoinSet::new();
    for (channel, requests) in channels.into_iter().zip(streams) {
        let queue = Arc::new(Mutex::new(VecDeque::from(requests.clone())));
        for _ in 0..exporters_per_connection {
            let exporter = run_exporter(channel.clone(), queue.clone(), progress.clone());
            exporters.spawn(exporter);
        }
    }
    let mut result = DeliveryResult::default();
    while let Some(done) = exporters.join_next().await {
        result.acks.extend(done??);
    }
    let last = result.acks.iter().map(|ack| ack.acked_at).max();
    result.took = last.context("the workload has no requests")? - begin;
    Ok(result)
}

async fn run_exporter(
    channel: Channel,
    queue: Arc<Mutex<VecDeque<EncodedRequest>>>,
    progress: impl Fn(u64),
) -> anyhow::Result<Vec<RequestAck>> {
    let mut grpc = Grpc::new(channel);
    let mut acks = Vec::new();
    loop {
        let next = queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        let Some(request) = next else {
            return Ok(acks);
        };
        let waiting_since = Instant::now();
        grpc.ready().await?;
        let path = PathAndQuery::from_static(EXPORT_PATH);
        let codec = EncodedCodec::<ExportTraceServiceResponse>::default();
        let response = grpc
            .unary(tonic::Request::new(request.encoded), path, codec)
            .await?;
        let partial = response.into_inner().partial_success;
        ensure!(partial.is_none(), "the daemon refused spans: {partial:?}");
        acks.push(RequestAck {
            waiting_since,
            acked_at: Instant::now(),
            events: request.events,
        });
        progress(request.events);
    }
}
