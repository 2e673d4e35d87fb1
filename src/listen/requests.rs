//! How many requests and streams may be open, over all connections: each takes
//! some memory before its first event.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Shared by both endpoints.
#[derive(Clone, Debug)]
pub struct RequestLimit {
    places: Arc<Semaphore>,
    refuse: fn(&Request) -> Response,
}

impl RequestLimit {
    /// So many at a time; `refuse` answers those beyond.
    #[must_use]
    pub fn new(requests: usize, refuse: fn(&Request) -> Response) -> Self {
        let places = Arc::new(Semaphore::new(requests));
        Self { places, refuse }
    }

    /// A place until the answer's last byte is sent; without one the client is
    /// told to come again.
    pub async fn enter(self, request: Request, next: Next) -> Response {
        let Ok(place) = self.places.try_acquire_owned() else {
            return (self.refuse)(&request);
        };
        let response = next.run(request).await;
        response.map(|body| {
            Body::new(Placed {
                body,
                _place: place,
            })
        })
    }
}

/// A body that keeps its place for as long as there may be more of it. Its length
/// stays known, so that HTTP/1 answers are not in chunks.
struct Placed {
    body: Body,
    _place: OwnedSemaphorePermit,
}

impl HttpBody for Placed {
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
