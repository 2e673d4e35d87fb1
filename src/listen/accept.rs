//! The accept loop.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{self, Connection};
use super::counts::{EndReason, EndpointCounts};
use super::limits::ConnectionLimits;
use super::places::{ConnectionPlaces, Entry};
use super::tls::Tls;
use super::windows::WindowBudget;

/// The least time between two warnings of one endpoint.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);
/// The pause after a failed `accept`: a missing resource, such as a free file
/// descriptor, does not come back at once.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// One listening socket, and what its connections share.
#[derive(Debug)]
pub struct Endpoint {
    /// The name in logs, one of [`ENDPOINT_NAMES`](super::ENDPOINT_NAMES).
    pub name: &'static str,
    /// The listening socket.
    pub listener: TcpListener,
    /// The limits of each connection.
    pub limits: ConnectionLimits,
    /// Whether connections without a valid key give way when all are taken.
    pub displace_keyless: bool,
    /// TLS for all connections, or plain text.
    pub tls: Option<Tls>,
    /// The budget of bytes that clients may send unread.
    pub windows: WindowBudget,
    /// Counts for metrics.
    pub counts: Arc<EndpointCounts>,
}

/// Serves connections until `stop`. Then open connections take no new requests, and
/// this waits until they end. Dropping the future closes them.
pub async fn serve(endpoint: Endpoint, app: Router, stop: CancellationToken) {
    let places = ConnectionPlaces::new(endpoint.limits.connections, endpoint.displace_keyless);
    let mut connections = JoinSet::new();
    let mut warnings = LimitedWarnings::new(endpoint.name);
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(endpoint = endpoint.name, %error, "the task of a connection failed");
                }
                continue;
            }
            accepted = endpoint.listener.accept() => accepted,
        };
        let socket = match accepted {
            Ok((socket, _)) => socket,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                warnings.warn(&format!("cannot accept connections: {error}"));
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
                continue;
            }
        };
        let place = match places.enter() {
            Entry::Free(place) => place,
            Entry::Displaced(place) => {
                warnings.warn("--max-connections reached; closing connections without a key");
                place
            }
            Entry::Full => {
                // Closed at once, so that the client fails now instead of waiting.
                endpoint.counts.count_end(EndReason::Full);
                warnings.warn("--max-connections reached; closing new connections");
                continue;
            }
        };
        // Without this, Nagle's algorithm delays a response sent in two parts.
        let _ = socket.set_nodelay(true);
        let connection = Connection {
            limits: endpoint.limits,
            tls: endpoint.tls.clone(),
            windows: endpoint.windows.clone(),
            counts: endpoint.counts.clone(),
            stop: stop.clone(),
            client: place.connection.clone(),
        };
        let app = app.clone();
        let open = endpoint.counts.count_open();
        connections.spawn(async move {
            connection::serve(connection, socket, app).await;
            drop((place, open));
        });
    }
    drop(endpoint.listener);
    while connections.join_next().await.is_some() {}
}

/// Whether an error of `accept` is about one connection only, which is gone.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

/// Logs warnings, at most one per [`WARNING_INTERVAL`].
struct LimitedWarnings {
    endpoint: &'static str,
    last: Option<Instant>,
}

impl LimitedWarnings {
    fn new(endpoint: &'static str) -> Self {
        Self {
            endpoint,
            last: None,
        }
    }

    fn warn(&mut self, message: &str) {
        if self
            .last
            .is_none_or(|last| last.elapsed() > WARNING_INTERVAL)
        {
            self.last = Some(Instant::now());
            tracing::warn!(endpoint = self.endpoint, "{message}");
        }
    }
}
