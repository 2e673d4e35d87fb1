//! The gRPC server: ingest of both protocols, health and reflection on one port.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic_reflection::server::Builder;

use crate::app::AppError;
use crate::ingest::native::NativeIngest;
use crate::ingest::otlp::{OtlpIngest, grpc_routes};
use crate::proto;
use crate::proto::trace_ingest_server::TraceIngestServer;
use crate::telemetry::Readiness;

/// HTTP/2 windows: how much a client may send before the daemon reads.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// HTTP/2 frames that clients may send: a request in one rather than in many of 16 KiB.
const FRAME_BYTES: u32 = 256 << 10;
/// A connection whose peer is gone is noticed after these.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Those whose health follows the daemon's readiness; the first is the whole.
const SERVICES: [&str; 5] = [
    "",
    "runtraced.v1.TraceIngest",
    "opentelemetry.proto.collector.trace.v1.TraceService",
    "opentelemetry.proto.collector.logs.v1.LogsService",
    "opentelemetry.proto.collector.metrics.v1.MetricsService",
];

/// Serves until draining; health follows the readiness.
///
/// # Errors
/// When reflection cannot be built, or later the transport fails.
pub async fn serve_grpc(
    listener: TcpListener,
    ingest: NativeIngest,
    otlp: &OtlpIngest,
    max_message_bytes: usize,
    readiness: Readiness,
    draining: CancellationToken,
) -> Result<impl Future<Output = Result<(), AppError>> + use<>, AppError> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let report = move |state: Result<(), &'static str>| {
        let reporter = reporter.clone();
        async move {
            let status = match state {
                Ok(()) => tonic_health::ServingStatus::Serving,
                Err(_) => tonic_health::ServingStatus::NotServing,
            };
            for service in SERVICES {
                reporter.set_service_status(service, status).await;
            }
        }
    };
    // tonic-health begins as SERVING.
    report(Err("starting")).await;
    let mut states = readiness.subscribe();
    let reflection = |version: &str| {
        let builder = Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(opentelemetry_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health")
            .with_service_name(format!("grpc.reflection.{version}.ServerReflection"));
        // Not all that the descriptors describe is served.
        let [_, services @ ..] = SERVICES;
        services
            .into_iter()
            .fold(builder, Builder::with_service_name)
    };
    let failed = |error| AppError::Task(format!("reflection: {error}"));
    // Many tools still ask in the older version.
    let reflection_v1 = reflection("v1").build_v1().map_err(failed)?;
    let reflection_v1alpha = reflection("v1alpha").build_v1alpha().map_err(failed)?;
    let ingest = TraceIngestServer::new(ingest)
        .max_decoding_message_size(max_message_bytes)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd);
    let server = tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(Some(FRAME_BYTES))
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        // Only to tell who comes by HTTP/1 that this is the wrong port.
        .accept_http1(true)
        .add_routes(Routes::from(grpc_routes(otlp)))
        .add_service(ingest)
        .add_service(health)
        .add_service(reflection_v1)
        .add_service(reflection_v1alpha)
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            draining.cancelled_owned(),
        );
    Ok(async move {
        let follow = async {
            loop {
                let state = *states.borrow_and_update();
                report(state).await;
                if states.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            served = server => served.map_err(|error| AppError::Task(format!("gRPC: {error}"))),
            () = follow => Ok(()),
        }
    })
}
