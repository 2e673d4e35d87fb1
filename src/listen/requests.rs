//! How many requests and streams may be open, over all connections: each takes
//! some memory before its first event.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;

use crate::ingest::otlp::is_grpc;
use crate::ingest::settle::{RETRY_DELAY, Unsettled};

/// Shared by both doors.
#[derive(Clone, Debug)]
pub struct RequestLimit(Arc<Semaphore>);

impl RequestLimit {
    /// So many at a time.
    #[must_use]
    pub fn new(requests: usize) -> Self {
        Self(Arc::new(Semaphore::new(requests)))
    }

    /// A place until the answer's last byte is sent; without one the client is
    /// told to come again.
    pub async fn enter(self, request: Request, next: Next) -> Response {
        let Ok(place) = self.0.try_acquire_owned() else {
            return full(&request);
        };
        let response = next.run(request).await;
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                // Held for as long as there may be another.
                let _ = &place;
                frame
            }))
        })
    }
}

fn full(request: &Request) -> Response {
    if is_grpc(request.headers()) {
        return tonic::Status::from(Unsettled::Crowded).into_http();
    }
    let mut response = Response::new(Body::from(format!("{}\n", Unsettled::Crowded)));
    *response.status_mut() = Unsettled::Crowded.http_status();
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, RETRY_DELAY.as_secs().into());
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    response
}
