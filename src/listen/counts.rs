//! Counts of connections per endpoint, for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The two endpoints, as logs and metrics name them.
pub const ENDPOINT_NAMES: [&str; 2] = ["grpc", "http"];

/// Why the daemon ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The maximum number of connections was open: this one was too many, or had
    /// presented no valid key and gave its place to another.
    Full,
    /// The TLS handshake failed, or the client certificate is missing or invalid.
    Tls,
    /// The first bytes or the headers were late, or a ping was not answered.
    Slow,
    /// No byte was sent or received for too long.
    Idle,
    /// The client violated HTTP or exceeded a limit of HTTP.
    Protocol,
}

impl EndReason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 5] = [
        Self::Full,
        Self::Tls,
        Self::Slow,
        Self::Idle,
        Self::Protocol,
    ];

    /// The name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Tls => "tls",
            Self::Slow => "slow",
            Self::Idle => "idle",
            Self::Protocol => "protocol",
        }
    }
}

/// Counts of one endpoint.
#[derive(Debug, Default)]
pub struct EndpointCounts {
    open: AtomicU64,
    accepted: AtomicU64,
    ended: [AtomicU64; EndReason::ALL.len()],
}

impl EndpointCounts {
    /// Open connections.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open.load(Relaxed)
    }

    /// Connections accepted within the limit.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Connections that the daemon ended for this reason.
    #[must_use]
    pub fn ended_for(&self, reason: EndReason) -> u64 {
        self.ended[reason as usize].load(Relaxed)
    }

    pub(super) fn count_end(&self, reason: EndReason) {
        self.ended[reason as usize].fetch_add(1, Relaxed);
    }

    /// Counts a connection as open until the guard is dropped.
    pub(super) fn count_open(self: &Arc<Self>) -> OpenConnection {
        self.accepted.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        OpenConnection(self.clone())
    }
}

pub(super) struct OpenConnection(Arc<EndpointCounts>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}
