//! The budget of HTTP/2 flow-control windows. Bytes that clients send before the daemon
//! reads them lie in memory. So few connections get large windows, and many
//! connections get small ones.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The largest window of a connection.
const MAX_CONNECTION_BYTES: usize = 4 << 20;
/// The largest window of a stream.
const MAX_STREAM_BYTES: u32 = 1 << 20;
/// The smallest window that a connection can have (RFC 9113, 6.9.2).
const MIN_WINDOW_BYTES: u32 = 65_535;
/// A connection takes at most this fraction of the free budget: one eighth.
const BUDGET_FRACTION: usize = 8;
/// The largest frame. A request then fits in one frame instead of many.
const MAX_FRAME_BYTES: u32 = 256 << 10;
/// The smallest frame limit that HTTP/2 allows, and its default (RFC 9113, 6.5.2).
const MIN_FRAME_BYTES: u32 = 16 << 10;

/// Bytes that clients may send unread over all connections. Minimum windows do not
/// count against it.
#[derive(Clone, Debug)]
pub struct WindowBudget(Arc<Semaphore>);

/// The windows of one connection.
#[derive(Debug)]
pub(super) struct Windows {
    pub(super) connection_bytes: u32,
    pub(super) stream_bytes: u32,
    pub(super) frame_bytes: u32,
    _share: Option<OwnedSemaphorePermit>,
}

impl WindowBudget {
    /// A budget of `bytes`.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// Takes the windows of a new connection; dropping them returns their bytes.
    pub(super) fn take(&self) -> Windows {
        let part = (self.0.available_permits() / BUDGET_FRACTION).min(MAX_CONNECTION_BYTES);
        let bytes = u32::try_from(part).unwrap_or(MIN_WINDOW_BYTES);
        let share = match bytes > MIN_WINDOW_BYTES {
            true => self.0.clone().try_acquire_many_owned(bytes).ok(),
            false => None,
        };
        let connection_bytes = match share {
            Some(_) => bytes,
            None => MIN_WINDOW_BYTES,
        };
        Windows {
            connection_bytes,
            stream_bytes: connection_bytes.min(MAX_STREAM_BYTES),
            frame_bytes: connection_bytes.clamp(MIN_FRAME_BYTES, MAX_FRAME_BYTES),
            _share: share,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_get_small_windows_and_the_budget_holds() {
        let budget = WindowBudget::new(64 << 20);
        let all: Vec<Windows> = (0..1_000).map(|_| budget.take()).collect();
        assert_eq!(all[0].connection_bytes, 4 << 20);
        assert_eq!(all[0].stream_bytes, 1 << 20);
        assert_eq!(all[999].connection_bytes, MIN_WINDOW_BYTES);
        assert_eq!(all[999].frame_bytes, MIN_WINDOW_BYTES);
        let wide = all.iter().filter(|w| w.connection_bytes > MIN_WINDOW_BYTES);
        let sum: usize = wide.map(|w| w.connection_bytes as usize).sum();
        assert!(sum <= 64 << 20, "{sum}");
        drop(all);
        assert_eq!(budget.take().connection_bytes, 4 << 20);
    }
}
