//! The pages `/livez`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::metrics::Metrics;

/// The routes of the pages.
pub fn router(metrics: Arc<Metrics>) -> Router {
    let (readiness, sources) = (metrics.readiness.clone(), metrics.clone());
    let ready = move || async move {
        match readiness.get() {
            // Events can be made durable, so clients need not go elsewhere.
            Ok(()) => match sources.spool_problem() {
                None => (StatusCode::OK, "ready\n".to_owned()),
                Some(problem) => (StatusCode::OK, format!("ready, but {problem}\n")),
            },
            Err(reason) => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("not ready: {reason}\n"),
            ),
        }
    };
    let scrape = move || async move {
        match metrics.render() {
            Ok(text) => {
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                ([(header::CONTENT_TYPE, kind)], text).into_response()
            }
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    };
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
}
