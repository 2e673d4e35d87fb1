//! The limit of open requests and streams over all connections. Each of them takes
//! memory before its first event.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The limit, shared by both endpoints.
#[derive(Clone, Debug)]
pub struct RequestLimit {
    permits: Arc<Semaphore>,
    refuse: fn(&Request) -> Response,
}

impl RequestLimit {
    /// Allows `requests` open requests. `refuse` answers all others.
    #[must_use]
    pub fn new(requests: usize, refuse: fn(&Request) -> Response) -> Self {
        let permits = Arc::new(Semaphore::new(requests));
        Self { permits, refuse }
    }

    /// Middleware. The request counts as open until the last byte of its response is
    /// sent.
    pub async fn enter(self, request: Request, next: Next) -> Response {
        let Ok(permit) = self.permits.try_acquire_owned() else {
            return (self.refuse)(&request);
        };
        let response = next.run(request).await;
        response.map(|body| {
            Body::new(CountedBody {
                body,
                _permit: permit,
            })
        })
    }
}

/// A response body that holds its permit until it is sent. It passes the size hint on,
/// so that HTTP/1 responses are not chunked.
struct CountedBody {
    body: Body,
    _permit: OwnedSemaphorePermit,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
