//! The OTLP endpoints: which requests they accept, how they answer, and what no
//! request may do. Other tests check the meaning of spans.

mod answers;
mod encodings;
mod exporters;
mod garbage;
mod labels;
mod properties;
mod random;
mod retries;
mod scores;
mod sizes;

use std::future::poll_fn;

use axum::http;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message as _;
use runtraced::ingest::otlp::Signal;
use tonic::body::Body;
use tonic::client::GrpcService as _;
use tonic::transport::Channel;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::otlp::{request, span};
use crate::support::wire::channel;

pub async fn traces(daemon: &Daemon) -> TraceServiceClient<Channel> {
    TraceServiceClient::new(channel(daemon.grpc_url()).await)
}

/// Sends one span, which must be accepted: the daemon still works normally.
async fn accepts_a_span(daemon: &Daemon) {
    let one = request(vec![span(new_trace(), 1)]);
    traces(daemon).await.export(one).await.unwrap();
}

/// The sum of a family's counters whose labels contain this text.
async fn counted(daemon: &Daemon, family: &str, labels: &str) -> u64 {
    let metrics = daemon.metrics().await;
    let of_family = |(name, _): &(&String, &u64)| name.starts_with(family) && name.contains(labels);
    metrics.iter().filter(of_family).map(|(_, n)| n).sum()
}

/// The run of a trace.
fn run_of(trace: Uuid) -> Uuid {
    trace
}

/// A random trace id, as SDKs make them.
fn new_trace() -> Uuid {
    Uuid::new_v4()
}

/// Calls `Export` with arbitrary bytes as the message. With an encoding, marks
/// them as compressed.
async fn export_bytes(
    daemon: &Daemon,
    message: &[u8],
    encoding: Option<&'static str>,
) -> Result<ExportTraceServiceResponse, Status> {
    let mut framed = vec![u8::from(encoding.is_some())];
    framed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend(message);
    let mut request = http::Request::post(Signal::Traces.grpc_path())
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(encoding) = encoding {
        request = request.header("grpc-encoding", encoding);
    }
    let mut channel = channel(daemon.grpc_url()).await;
    poll_fn(|cx| channel.poll_ready(cx)).await.unwrap();
    let body = Body::new(Full::new(Bytes::from(framed)));
    let response = channel.call(request.body(body).unwrap()).await.unwrap();
    let trailers_only = Status::from_header_map(response.headers());
    if let Some(status) = trailers_only {
        return Err(status);
    }
    let body = response.into_body().collect().await.unwrap();
    let status = Status::from_header_map(body.trailers().unwrap()).unwrap();
    assert_eq!(status.code(), Code::Ok, "{status}");
    Ok(ExportTraceServiceResponse::decode(&body.to_bytes()[5..]).unwrap())
}
