//! Limits of open requests and streams over all connections. Each of them takes
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
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::client::ClientConnection;

#[derive(Clone, Copy, Debug)]
enum RequestKind {
    /// Shutdown waits for it.
    Ingest,
    /// An open service with a key: it takes a place of ingest.
    Keyed,
    /// An open service without a key: it takes a place of its connection.
    Keyless,
}

/// One limit, shared by both endpoints.
#[derive(Clone, Debug)]
pub struct RequestLimit {
    /// `None`: as many as the connections allow.
    permits: Option<Arc<Semaphore>>,
    kind: RequestKind,
    refuse: fn(&Request) -> Response,
}

impl RequestLimit {
    /// Allows `requests` open requests. `refuse` answers all others.
    #[must_use]
    pub fn new(requests: usize, refuse: fn(&Request) -> Response) -> Self {
        Self {
            permits: Some(Arc::new(Semaphore::new(requests))),
            kind: RequestKind::Ingest,
            refuse,
        }
    }

    /// The same limit and the same places, for requests that need no key and have one.
    #[must_use]
    pub fn keyed(&self) -> Self {
        Self {
            kind: RequestKind::Keyed,
            ..self.clone()
        }
    }

    /// A limit for requests that need no key and have none: `requests` in all, and a fixed number per
    /// connection. With `None` only the latter.
    #[must_use]
    pub fn keyless(requests: Option<usize>, refuse: fn(&Request) -> Response) -> Self {
        Self {
            permits: requests.map(|requests| Arc::new(Semaphore::new(requests))),
            kind: RequestKind::Keyless,
            refuse,
        }
    }

    /// Middleware. The request counts as open until the last byte of its response is
    /// sent.
    pub async fn enter(self, request: Request, next: Next) -> Response {
        let Some(place) = self.place(request.extensions().get()) else {
            return (self.refuse)(&request);
        };
        let response = next.run(request).await;
        response.map(|body| {
            Body::new(CountedBody {
                body,
                _place: place,
            })
        })
    }

    fn place(&self, connection: Option<&ClientConnection>) -> Option<RequestPlace> {
        let in_connection = match (self.kind, connection) {
            (RequestKind::Keyless, Some(connection)) => Some(connection.try_keyless()?),
            _ => None,
        };
        let counted = connection.map(|connection| match self.kind {
            RequestKind::Ingest => connection.count_ingest(),
            RequestKind::Keyed | RequestKind::Keyless => connection.count_other(),
        });
        let in_all = match &self.permits {
            Some(permits) => Some(permits.clone().try_acquire_owned().ok()?),
            None => None,
        };
        Some(RequestPlace {
            _in_all: in_all,
            _in_connection: in_connection,
            _counted: counted,
        })
    }
}

/// The place of an open request.
struct RequestPlace {
    _in_all: Option<OwnedSemaphorePermit>,
    _in_connection: Option<OwnedSemaphorePermit>,
    _counted: Option<TaskTrackerToken>,
}

/// A response body that holds its place until it is sent. It passes the size hint on,
/// so that HTTP/1 responses are not chunked.
struct CountedBody {
    body: Body,
    _place: RequestPlace,
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
