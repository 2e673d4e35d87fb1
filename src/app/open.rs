//! Limits for requests that need no key. They take no place of ingest.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tonic::Status;

use crate::auth::{Denied, Identity};
use crate::ingest::otlp::{Signal, answer_denied, is_grpc};
use crate::listen::RequestLimit;
use crate::web::{is_web, web_needs_right};

/// Where the names of gRPC services begin that need no key.
const OPEN_SERVICES: &str = "/grpc.";
/// Open `Watch` streams of the health service.
const WATCHES: usize = 1_024;
/// Open reflection streams: an answer is a hundred times as large as its request.
const REFLECTIONS: usize = 32;
/// Open responses of `/metrics`. Each holds the page until the client has read it.
const METRICS_PAGES: usize = 64;
/// Open requests to the API, streams among them: with a key, and without one.
const WEB_REQUESTS: usize = 1_024;
/// Open requests to what nobody needs a right for: the files of the page, and logging in.
const OPEN_PAGES: usize = 128;
/// The largest message of a request to the health service or to reflection.
pub(super) const MAX_OPEN_MESSAGE_BYTES: usize = 4 << 10;

/// The limits of all requests, shared by both endpoints.
#[derive(Clone, Debug)]
pub(super) struct RequestLimits {
    ingest: RequestLimit,
    /// Open services with a key.
    keyed: RequestLimit,
    watches: RequestLimit,
    reflections: RequestLimit,
    metrics_pages: RequestLimit,
    /// Who reads takes no place of who writes, and who has no key none of who has one.
    web_keyed: RequestLimit,
    /// With the right of the operator, with a token, or refused at once.
    web: RequestLimit,
    open_pages: RequestLimit,
    /// Answered at once, and always small: limited by connection only, so that nobody
    /// can take the places of another's probes.
    probes: RequestLimit,
}

impl RequestLimits {
    pub(super) fn new(ingest: RequestLimit) -> Self {
        Self {
            keyed: ingest.keyed(),
            ingest,
            watches: RequestLimit::keyless(Some(WATCHES), refuse),
            reflections: RequestLimit::keyless(Some(REFLECTIONS), refuse),
            metrics_pages: RequestLimit::keyless(Some(METRICS_PAGES), refuse),
            web_keyed: RequestLimit::keyless(Some(WEB_REQUESTS), refuse),
            web: RequestLimit::keyless(Some(WEB_REQUESTS), refuse),
            open_pages: RequestLimit::keyless(Some(OPEN_PAGES), refuse),
            probes: RequestLimit::keyless(None, refuse),
        }
    }

    /// Middleware behind the check of keys. Requests with an identity are ingest, or
    /// present a key to an open service.
    pub(super) async fn enter(self, request: Request, next: Next) -> Response {
        let path = request.uri().path();
        let identified = request.extensions().get::<Identity>().is_some();
        // SDKs of other products send OTLP to paths below /api.
        let limit = if is_web(path) && Signal::of_http_path(path).is_none() {
            match identified {
                true => self.web_keyed,
                false if web_needs_right(path) => self.web,
                false => self.open_pages,
            }
        } else if identified && path.starts_with(OPEN_SERVICES) {
            self.keyed
        } else if identified {
            self.ingest
        } else if path == "/grpc.health.v1.Health/Watch" {
            self.watches
        } else if path.starts_with("/grpc.reflection.") {
            self.reflections
        } else if path == "/metrics" {
            self.metrics_pages
        } else {
            self.probes
        };
        limit.enter(request, next).await
    }
}

fn refuse(request: &Request) -> Response {
    match is_grpc(request.headers()) {
        true => Status::from(Denied::Crowded).into_http(),
        false => answer_denied(Denied::Crowded, request.headers()),
    }
}
