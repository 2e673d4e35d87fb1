//! The load over OTLP: requests that are encoded already, and their answers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

use super::load::{Ack, Delivery};
use super::workload::Request;
use crate::client::codec::EncodedCodec;

const EXPORT_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// Requests of one connection that wait for their answers: as many exporters.
const EXPORTERS: usize = 4;
const WINDOW_BYTES: u32 = 1 << 20;

/// So many connections, with room for a large request on its way.
///
/// # Errors
/// When the daemon does not answer.
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

/// Delivers each stream over a connection of its own, as fast as it is answered.
/// OTLP's answers do not tell rows that are new from others, so neither does
/// the delivery.
///
/// # Errors
/// When anything is refused or breaks: then there is nothing to measure.
pub async fn export(
    endpoint: &str,
    streams: &[Vec<Request>],
    progress: impl Fn(u64) + Clone + Send + 'static,
) -> anyhow::Result<Delivery> {
    let channels = connect(endpoint, streams.len()).await?;
    let begin = Instant::now();
    let mut exporters = JoinSet::new();
    for (channel, requests) in channels.into_iter().zip(streams) {
        let queue = Arc::new(Mutex::new(VecDeque::from(requests.clone())));
        for _ in 0..EXPORTERS {
            let exporter = one_exporter(channel.clone(), queue.clone(), progress.clone());
            exporters.spawn(exporter);
        }
    }
    let mut sum = Delivery::default();
    while let Some(done) = exporters.join_next().await {
        sum.acks.extend(done??);
    }
    let last = sum.acks.iter().map(|ack| ack.at).max();
    sum.took = last.context("nothing was sent")? - begin;
    Ok(sum)
}

async fn one_exporter(
    channel: Channel,
    queue: Arc<Mutex<VecDeque<Request>>>,
    progress: impl Fn(u64),
) -> anyhow::Result<Vec<Ack>> {
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
        let from = Instant::now();
        grpc.ready().await?;
        let path = PathAndQuery::from_static(EXPORT_PATH);
        let codec = EncodedCodec::<ExportTraceServiceResponse>::new();
        let response = grpc
            .unary(tonic::Request::new(request.encoded), path, codec)
            .await?;
        let partial = response.into_inner().partial_success;
        ensure!(partial.is_none(), "refused: {partial:?}");
        acks.push(Ack {
            from,
            at: Instant::now(),
            events: request.events,
        });
        progress(request.events);
    }
}
