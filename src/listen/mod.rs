//! Where connections come in: one accept loop for both doors, with what must
//! hold before a request is one: a place, TLS, a first byte in time.
//!
//! What the requests mean belongs to `ingest/` and `telemetry/`.

mod accept;
mod activity;
mod connection;
mod counts;
mod files;
mod io;
mod requests;
mod tls;
mod windows;

use std::time::Duration;

pub use accept::{Endpoint, serve};
pub use counts::{Ended, EndpointCounts};
pub use files::raise_file_limit;
pub use requests::RequestLimit;
pub use tls::{Tls, TlsError, TlsFiles, TlsReloader};
pub use windows::WindowBudget;

/// The two endpoints, as logs and metrics name them.
pub const ENDPOINT_NAMES: [&str; 2] = ["grpc", "http"];

/// What a connection may take, of memory and of time.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections of one door at a time.
    pub connections: usize,
    /// HTTP/2 streams of one connection at a time.
    pub streams_per_connection: u32,
    /// Bytes of a request's head.
    pub header_bytes: u32,
    /// Streams that a client may reset before they are looked at (CVE-2023-44487).
    pub pending_resets: usize,
    /// From the connection to the first bytes of a request, TLS included; in
    /// HTTP/1 also for each request's head.
    pub handshake_timeout: Duration,
    /// Without a byte in either direction.
    pub idle_timeout: Duration,
    /// Between HTTP/2 pings.
    pub keepalive_interval: Duration,
    /// For the answer to one.
    pub keepalive_timeout: Duration,
}
