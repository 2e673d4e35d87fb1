//! One connection, from its first byte to its last.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::client::{ClientConnection, ClientEnds};
use super::counts::{EndReason, EndpointCounts};
use super::io::{ClientIo, HttpVersion};
use super::limits::ConnectionLimits;
use super::tls::Tls;
use super::windows::{WindowBudget, Windows};

/// Bytes of responses of one stream that may wait for a client that does not read.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// The least size of the HTTP/1 read buffer.
const READ_BUFFER_BYTES: usize = 128 << 10;
/// Headers of one HTTP/1 request. This is hyper's default, made explicit.
const MAX_HEADERS: usize = 100;
/// After `stop`, the time that all other requests may still take when those of ingest
/// have ended: a `Watch` of the health service never ends by itself.
const OTHERS_GRACE: Duration = Duration::from_secs(1);

/// The settings and budgets of one connection.
pub(super) struct Connection {
    pub(super) limits: ConnectionLimits,
    pub(super) tls: Option<Tls>,
    pub(super) windows: WindowBudget,
    pub(super) counts: Arc<EndpointCounts>,
    pub(super) stop: CancellationToken,
    pub(super) client: ClientConnection,
}

/// Why a connection never got to a request.
enum NoRequest {
    /// The client closed it.
    ClientGone,
    Ended(EndReason),
}

/// Serves a connection until the client or the daemon ends it. After `stop` the
/// connection takes no new requests.
pub(super) async fn serve(connection: Connection, socket: TcpStream, app: Router) {
    let limits = connection.limits;
    let activity = Activity::new();
    let ends = socket.peer_addr().ok().zip(socket.local_addr().ok());
    let ends = ends.map(|(client, daemon)| ClientEnds { client, daemon });
    let opened = timeout(
        limits.handshake_timeout,
        open(socket, &connection, &activity),
    );
    let opened = tokio::select! {
        biased;
        () = connection.stop.cancelled() => return,
        () = connection.client.displaced() => Err(NoRequest::Ended(EndReason::Full)),
        opened = opened => opened.unwrap_or(Err(NoRequest::Ended(EndReason::Slow))),
    };
    let (io, version) = match opened {
        Ok(opened) => opened,
        Err(NoRequest::ClientGone) => return,
        Err(NoRequest::Ended(reason)) => return connection.counts.count_end(reason),
    };
    let (io, app) = (TokioIo::new(io), TowerToHyperService::new(app));
    let client = connection.client.clone();
    let app = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(client.clone());
        if let Some(ends) = ends {
            request.extensions_mut().insert(ends);
        }
        app.call(request)
    });
    let served = async {
        match version {
            HttpVersion::Http1 => {
                let http = http1(&limits).serve_connection(io, app);
                until_done(http, &connection.stop).await
            }
            HttpVersion::Http2 => {
                let windows = connection.windows.take();
                let http = http2(&limits, &windows).serve_connection(io, app);
                until_done(http, &connection.stop).await
            }
        }
    };
    let ended = tokio::select! {
        served = served => served.err().and_then(|error| end_reason(&error)),
        () = activity.idle(limits.idle_timeout) => Some(EndReason::Idle),
        () = connection.client.displaced() => Some(EndReason::Full),
        () = stopped(&connection) => None,
    };
    if let Some(reason) = ended {
        connection.counts.count_end(reason);
    }
}

/// Does the TLS handshake and detects the HTTP version from the first bytes.
async fn open(
    socket: TcpStream,
    connection: &Connection,
    activity: &Activity,
) -> Result<(ClientIo, HttpVersion), NoRequest> {
    let mut io = match &connection.tls {
        None => ClientIo::plain(socket, activity.clone()),
        Some(tls) => match tls.acceptor().accept(socket).await {
            Ok(stream) => ClientIo::tls(stream, activity.clone()),
            Err(error) => {
                tracing::debug!(%error, "the TLS handshake failed");
                return Err(NoRequest::Ended(EndReason::Tls));
            }
        },
    };
    match io.version().await {
        Ok(Some(version)) => Ok((io, version)),
        Ok(None) | Err(_) => Err(NoRequest::ClientGone),
    }
}

/// Returns when the endpoint has stopped and only requests are open that it does not
/// wait for.
async fn stopped(connection: &Connection) {
    connection.stop.cancelled().await;
    connection.client.ingest_ended(OTHERS_GRACE).await;
}

async fn until_done<C>(http: C, stop: &CancellationToken) -> Result<(), hyper::Error>
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let mut http = pin!(http);
    tokio::select! {
        done = http.as_mut() => return done.map(|_| ()),
        () = stop.cancelled() => {}
    }
    http.as_mut().graceful_shutdown();
    http.await.map(|_| ())
}

/// The reason to count if the daemon ended the connection because of the client.
fn end_reason(error: &hyper::Error) -> Option<EndReason> {
    if error.is_timeout() {
        // The headers in HTTP/1, or the answer to a ping in HTTP/2.
        Some(EndReason::Slow)
    } else if error.is_parse() || is_http2_error(error) {
        Some(EndReason::Protocol)
    } else {
        None
    }
}

fn is_http2_error(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    source
        .and_then(|source| source.downcast_ref::<h2::Error>())
        .is_some_and(|error| error.is_library() || error.is_go_away() && !error.is_remote())
}

fn http1(limits: &ConnectionLimits) -> http1::Builder {
    let mut http = http1::Builder::new();
    let header_bytes = limits.header_bytes as usize;
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.handshake_timeout)
        .max_headers(MAX_HEADERS)
        .max_header_size(header_bytes)
        .max_buf_size(header_bytes.max(READ_BUFFER_BYTES));
    http
}

fn http2(limits: &ConnectionLimits, windows: &Windows) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .initial_connection_window_size(windows.connection_bytes)
        .initial_stream_window_size(windows.stream_bytes)
        .max_frame_size(windows.frame_bytes)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_concurrent_streams(limits.streams_per_connection)
        .max_header_list_size(limits.header_bytes)
        .max_pending_accept_reset_streams(limits.pending_resets)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout);
    http
}
