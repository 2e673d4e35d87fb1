//! The HTTP server: OTLP, and the pages for health and metrics.

use std::net::SocketAddr;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};

use crate::auth::{Authenticator, HttpAuthenticator, authenticate_http};
use crate::ingest::otlp::{OtlpIngest, Signal, answer_denied, answer_http};
use crate::listen::RequestLimit;

/// The routes: OTLP over HTTP with keys and limits, and `pages` without both.
pub(super) fn http_routes(
    pages: Router,
    otlp: OtlpIngest,
    grpc: SocketAddr,
    requests: RequestLimit,
    authenticator: Authenticator,
) -> Router {
    let authenticator = HttpAuthenticator {
        authenticator,
        needs_key: |path| Signal::of_http_path(path).is_some(),
        refuse: answer_denied,
    };
    let otlp = Router::new()
        .fallback(move |request| answer_http(otlp.clone(), grpc, request))
        .layer(from_fn(move |request, next| {
            requests.clone().enter(request, next)
        }))
        // Outermost, so that rejected requests do not count against the limit.
        .layer(from_fn_with_state(authenticator, authenticate_http));
    pages.merge(otlp)
}
