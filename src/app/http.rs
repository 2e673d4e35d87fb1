//! The HTTP server: events and OTLP, the page and its API, and the pages for health and metrics.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;

use super::open::RequestLimits;
use crate::auth::{Authenticator, HttpAuthenticator, authenticate_http};
use crate::ingest::events::{EventsIngest, answer_denied_events, answer_events, is_events_path};
use crate::ingest::otlp::{OtlpIngest, Signal, answer_denied, answer_http};
use crate::listen::ClientEnds;
use crate::web::{WebEnds, WebSessions, is_web, no_route, use_session};

/// The handlers of requests that send.
pub(super) struct HttpIngest {
    pub otlp: OtlpIngest,
    pub events: EventsIngest,
}

/// The routes: `ingest`, which may need keys; `pages`, which need none; and the `web`,
/// which checks who reads.
pub(super) fn http_routes(
    pages: Router,
    web: Router,
    ingest: HttpIngest,
    grpc: SocketAddr,
    requests: RequestLimits,
    authenticator: Authenticator,
    sessions: WebSessions,
) -> Router {
    let authenticator = HttpAuthenticator {
        authenticator,
        needs_key: |path| is_events_path(path) || Signal::of_http_path(path).is_some(),
        refuse: |denied, request| match is_events_path(request.uri().path()) {
            true => answer_denied_events(denied),
            false => answer_denied(denied, request.headers()),
        },
    };
    let HttpIngest { otlp, events } = ingest;
    // `is_method`: the path has a route, but not for this method. Exporters without a path in their URL send to `/`, others
    // to a path of another backend, and read protobuf only.
    let answer = move |request: Request, is_method: bool| async move {
        let path = request.uri().path();
        let is_of_exporter = path == "/" || is_protobuf(&request);
        match (is_events_path(path), Signal::of_http_path(path)) {
            (true, _) => answer_events(events, request).await,
            (false, None) if is_web(path) && !is_of_exporter => no_route(is_method),
            _ => answer_http(otlp, grpc, request).await,
        }
    };
    let (wrong_path, wrong_method) = (answer.clone(), answer);
    // OTLP may come to any path, and then with POST.
    pages
        .merge(web.method_not_allowed_fallback(move |request| wrong_method(request, true)))
        .fallback(move |request| wrong_path(request, false))
        .layer(from_fn(move |request, next| {
            requests.clone().enter(request, next)
        }))
        // Outside of it, so that rejected requests do not count against the limit.
        .layer(from_fn_with_state(authenticator, authenticate_http))
        .layer(from_fn_with_state(sessions, use_session))
        .layer(from_fn(note_ends))
}

/// Whether a request brings protobuf, as exporters do.
fn is_protobuf(request: &Request) -> bool {
    let kind = request.headers().get(CONTENT_TYPE);
    kind.and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.to_ascii_lowercase().contains("protobuf"))
}

/// Middleware: tells the web between which ends a request comes.
async fn note_ends(mut request: Request, next: Next) -> Response {
    if let Some(&ClientEnds { client, daemon }) = request.extensions().get() {
        let ends = WebEnds { client, daemon };
        request.extensions_mut().insert(ends);
    }
    next.run(request).await
}
