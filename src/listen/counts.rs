//! What happened at a door, for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why the daemon ended a connection that a client might have kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As many as allowed were open.
    Full,
    /// No TLS, no client certificate, or not a right one.
    Tls,
    /// Nothing, or too little, came in time.
    Slow,
    /// Nothing moved for too long, or pings were not answered.
    Idle,
    /// It broke HTTP, or a limit of HTTP.
    Protocol,
}

impl Ended {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 5] = [
        Self::Full,
        Self::Tls,
        Self::Slow,
        Self::Idle,
        Self::Protocol,
    ];

    /// For metrics.
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
    ended: [AtomicU64; Ended::ALL.len()],
}

impl EndpointCounts {
    /// Connections that are open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open.load(Relaxed)
    }

    /// Connections that got a place.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Connections ended for a reason.
    #[must_use]
    pub fn ended_for(&self, why: Ended) -> u64 {
        self.ended[why as usize].load(Relaxed)
    }

    pub(super) fn ended(&self, why: Ended) {
        self.ended[why as usize].fetch_add(1, Relaxed);
    }

    /// Counts a connection as open until the guard is dropped.
    pub(super) fn opened(self: &Arc<Self>) -> Open {
        self.accepted.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        Open(self.clone())
    }
}

pub(super) struct Open(Arc<EndpointCounts>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}
