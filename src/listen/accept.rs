//! The accept loop.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{self, Connection};
use super::{ConnectionLimits, Ended, EndpointCounts, Tls, WindowBudget};

/// Between two log lines about the same trouble.
const QUIET: Duration = Duration::from_secs(60);
/// The system has no more of something; it will not have it at once.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// One listening socket, and what its connections share.
#[derive(Debug)]
pub struct Endpoint {
    /// For logs: `gRPC` or `HTTP`.
    pub name: &'static str,
    /// Where it listens.
    pub listener: TcpListener,
    /// What a connection may take.
    pub limits: ConnectionLimits,
    /// If connections are to use it.
    pub tls: Option<Tls>,
    /// What clients may send before it is read.
    pub windows: WindowBudget,
    /// For metrics.
    pub counts: Arc<EndpointCounts>,
}

/// Serves connections until `stop`, then waits for the open ones, which take no
/// new requests. Dropping it cuts them.
pub async fn serve(endpoint: Endpoint, app: Router, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(endpoint.limits.connections));
    let mut connections = JoinSet::new();
    let mut trouble = Trouble::new(endpoint.name);
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(endpoint = endpoint.name, %error, "a connection's task failed");
                }
                continue;
            }
            accepted = endpoint.listener.accept() => accepted,
        };
        let socket = match accepted {
            Ok((socket, _)) => socket,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                trouble.tell(&format!("cannot accept connections: {error}"));
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            // Closed at once, so that the client learns of it rather than waits.
            endpoint.counts.ended(Ended::Full);
            trouble.tell("as many connections as --max-connections are open; more are closed");
            continue;
        };
        prepare(&socket);
        let connection = Connection {
            limits: endpoint.limits,
            tls: endpoint.tls.clone(),
            windows: endpoint.windows.clone(),
            counts: endpoint.counts.clone(),
            stop: stop.clone(),
        };
        let app = app.clone();
        let open = endpoint.counts.opened();
        connections.spawn(async move {
            connection::serve(connection, socket, app).await;
            drop((open, place));
        });
    }
    drop(endpoint.listener);
    while connections.join_next().await.is_some() {}
}

fn prepare(socket: &TcpStream) {
    // Without it an answer in two parts waits for the client's ack.
    let _ = socket.set_nodelay(true);
}

/// Errors of `accept` that speak of one connection only, which is gone.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

/// Tells of trouble, but not again and again.
struct Trouble {
    endpoint: &'static str,
    told: Option<Instant>,
}

impl Trouble {
    fn new(endpoint: &'static str) -> Self {
        Self {
            endpoint,
            told: None,
        }
    }

    fn tell(&mut self, what: &str) {
        if self.told.is_none_or(|told| told.elapsed() > QUIET) {
            self.told = Some(Instant::now());
            tracing::warn!(endpoint = self.endpoint, "{what}");
        }
    }
}
