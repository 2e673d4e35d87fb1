//! The response to a request beyond `--max-streams`, before its body is read.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use tonic::Status;

use super::events::{answer_unread_events, is_events_path};
use super::otlp::is_grpc;
use super::settle::{RETRY_DELAY, Unsettled};

/// Refuses a request in the format of its protocol.
pub fn refuse_excess_request(request: &Request) -> Response {
    if is_grpc(request.headers()) {
        return Status::from(Unsettled::TooManyRequests).into_http();
    }
    if is_events_path(request.uri().path()) {
        return answer_unread_events(Unsettled::TooManyRequests);
    }
    let mut response = Response::new(Body::from(format!("{}\n", Unsettled::TooManyRequests)));
    *response.status_mut() = Unsettled::TooManyRequests.http_status();
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, RETRY_DELAY.as_secs().into());
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    response
}
