//! The gRPC server: ingest of both protocols, health and reflection on one port.

use axum::middleware::{from_fn, from_fn_with_state};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_reflection::server::Builder;

use crate::app::AppError;
use crate::ingest::auth::{Authenticator, authenticate_grpc};
use crate::ingest::native::{self, NativeIngest};
use crate::ingest::otlp::{OtlpIngest, grpc_routes};
use crate::listen::{self, Door, RequestLimit};
use crate::proto;
use crate::telemetry::Readiness;

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
/// When reflection cannot be built.
pub async fn serve_grpc(
    door: Door,
    requests: RequestLimit,
    ingest: NativeIngest,
    otlp: &OtlpIngest,
    authenticator: Authenticator,
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
    let routes = Routes::from(grpc_routes(otlp).merge(native::routes(&ingest)))
        .add_service(health)
        .add_service(reflection_v1)
        .add_service(reflection_v1alpha);
    let app = routes
        .prepare()
        .into_axum_router()
        .layer(from_fn(move |request, next| {
            requests.clone().enter(request, next)
        }))
        // Who is not let in takes no place.
        .layer(from_fn_with_state(authenticator, authenticate_grpc));
    // HTTP/1 comes in too, only to be told that this is the wrong port.
    let server = listen::serve(door, app, draining);
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
            () = server => Ok(()),
            () = follow => Ok(()),
        }
    })
}
