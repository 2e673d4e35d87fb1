//! The gRPC server: ingest of both protocols, health and reflection on one port.

use axum::middleware::{from_fn, from_fn_with_state};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_reflection::server::Builder;

use super::error::AppError;
use super::open::{MAX_OPEN_MESSAGE_BYTES, RequestLimits};
use crate::auth::{Authenticator, authenticate_grpc};
use crate::ingest::native::{self, NativeIngest};
use crate::ingest::otlp::{OtlpIngest, grpc_routes};
use crate::listen::{self, Endpoint};
use crate::proto;
use crate::telemetry::Readiness;

/// Services whose health follows the daemon's readiness. The empty name is the whole server.
const SERVICES: [&str; 5] = [
    "",
    "runtraced.v1.TraceIngest",
    "opentelemetry.proto.collector.trace.v1.TraceService",
    "opentelemetry.proto.collector.logs.v1.LogsService",
    "opentelemetry.proto.collector.metrics.v1.MetricsService",
];

/// The server before it starts to serve.
pub(super) struct GrpcServer {
    pub endpoint: Endpoint,
    pub requests: RequestLimits,
    pub native: NativeIngest,
    pub otlp: OtlpIngest,
    pub authenticator: Authenticator,
}

impl GrpcServer {
    /// Serves until draining. The health service follows the readiness.
    ///
    /// # Errors
    /// When reflection cannot be built.
    pub async fn start(
        self,
        readiness: Readiness,
        draining: CancellationToken,
    ) -> Result<impl Future<Output = Result<(), AppError>>, AppError> {
        let (reporter, health) = tonic_health::server::health_reporter();
        // tonic-health starts as SERVING.
        report_health(&reporter, Err("starting")).await;
        let failed = |error| AppError::Task(format!("reflection: {error}"));
        // Many tools still use v1alpha.
        let reflection_v1 = reflection("v1").build_v1().map_err(failed)?;
        let reflection_v1alpha = reflection("v1alpha").build_v1alpha().map_err(failed)?;
        let ingest = grpc_routes(&self.otlp).merge(native::routes(&self.native));
        let requests = self.requests;
        let app = Routes::from(ingest)
            .add_service(health.max_decoding_message_size(MAX_OPEN_MESSAGE_BYTES))
            .add_service(reflection_v1.max_decoding_message_size(MAX_OPEN_MESSAGE_BYTES))
            .add_service(reflection_v1alpha.max_decoding_message_size(MAX_OPEN_MESSAGE_BYTES))
            .prepare()
            .into_axum_router()
            .layer(from_fn(move |request, next| {
                requests.clone().enter(request, next)
            }))
            // Outside of it, so that rejected requests do not count against the limit.
            .layer(from_fn_with_state(self.authenticator, authenticate_grpc));
        // The endpoint also serves HTTP/1, only to answer that this is the wrong port.
        let server = listen::serve(self.endpoint, app, draining);
        let follow = follow_readiness(reporter, readiness.subscribe());
        Ok(async move {
            tokio::select! {
                () = server => Ok(()),
                () = follow => Ok(()),
            }
        })
    }
}

/// Reports each change of the readiness to the health service. Never returns.
async fn follow_readiness(
    reporter: HealthReporter,
    mut states: watch::Receiver<Result<(), &'static str>>,
) {
    loop {
        let state = *states.borrow_and_update();
        report_health(&reporter, state).await;
        if states.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn report_health(reporter: &HealthReporter, state: Result<(), &'static str>) {
    let status = match state {
        Ok(()) => ServingStatus::Serving,
        Err(_) => ServingStatus::NotServing,
    };
    for service in SERVICES {
        reporter.set_service_status(service, status).await;
    }
}

/// Reflection that lists only the served services. The descriptors contain more.
fn reflection(version: &str) -> Builder<'static> {
    let builder = Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(opentelemetry_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name("grpc.health.v1.Health")
        .with_service_name(format!("grpc.reflection.{version}.ServerReflection"));
    let [_, services @ ..] = SERVICES;
    services
        .into_iter()
        .fold(builder, Builder::with_service_name)
}
