//! The answer to a request beyond `--max-streams`, before anybody has looked at it.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use tonic::Status;

use super::otlp::is_grpc;
use super::settle::{RETRY_DELAY, Unsettled};

/// In the form of the protocol that the request is of.
pub fn refuse_crowded(request: &Request) -> Response {
    if is_grpc(request.headers()) {
        return Status::from(Unsettled::Crowded).into_http();
    }
    let mut response = Response::new(Body::from(format!("{}\n", Unsettled::Crowded)));
    *response.status_mut() = Unsettled::Crowded.http_status();
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, RETRY_DELAY.as_secs().into());
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    response
}
