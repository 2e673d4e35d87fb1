//! Limits of one connection.

use std::time::Duration;

/// The memory and the time that a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Open connections of one endpoint.
    pub connections: usize,
    /// Open HTTP/2 streams of one connection.
    pub streams_per_connection: u32,
    /// Bytes of the headers of a request.
    pub header_bytes: u32,
    /// Streams that a client may reset before the daemon accepts them (CVE-2023-44487).
    pub pending_resets: usize,
    /// Time from the connection to the first bytes of a request, TLS included. In
    /// HTTP/1 also the time for the headers of each request.
    pub handshake_timeout: Duration,
    /// Time without a byte in either direction, after which the connection is closed.
    pub idle_timeout: Duration,
    /// Time between HTTP/2 pings.
    pub keepalive_interval: Duration,
    /// Time to wait for the answer to a ping.
    pub keepalive_timeout: Duration,
}
