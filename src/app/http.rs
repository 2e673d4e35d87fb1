//! The HTTP server: OTLP, the page and its API, and the pages for health and metrics.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;

use super::open::RequestLimits;
use crate::auth::{Authenticator, HttpAuthenticator, authenticate_http};
use crate::ingest::otlp::{OtlpIngest, Signal, answer_denied, answer_http};
use crate::listen::ClientEnds;
use crate::web::{WebEnds, use_cookie};

/// The routes: OTLP over HTTP, which may need keys; `pages`, which need none; and the `web`,
/// which checks who reads.
pub(super) fn http_routes(
    pages: Router,
    web: Router,
    otlp: OtlpIngest,
    grpc: SocketAddr,
    requests: RequestLimits,
    authenticator: Authenticator,
) -> Router {
    let authenticator = HttpAuthenticator {
        authenticator,
        needs_key: |path| Signal::of_http_path(path).is_some(),
        refuse: answer_denied,
    };
    let answer = move |request: Request| answer_http(otlp.clone(), grpc, request);
    // OTLP may come to any path, and then with POST.
    pages
        .merge(web.method_not_allowed_fallback(answer.clone()))
        .fallback(answer)
        .layer(from_fn(move |request, next| {
            requests.clone().enter(request, next)
        }))
        // Outside of it, so that rejected requests do not count against the limit.
        .layer(from_fn_with_state(authenticator, authenticate_http))
        .layer(from_fn(use_cookie))
        .layer(from_fn(note_ends))
}

/// Middleware: tells the web between which ends a request comes.
async fn note_ends(mut request: Request, next: Next) -> Response {
    if let Some(&ClientEnds { client, daemon }) = request.extensions().get() {
        let ends = WebEnds { client, daemon };
        request.extensions_mut().insert(ends);
    }
    next.run(request).await
}
