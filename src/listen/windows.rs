//! What clients may send before the daemon reads it lies in memory. So HTTP/2
//! windows are given out of a budget: wide ones to few connections, narrow ones
//! to many.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The widest, of a connection and of a stream.
const CONNECTION_BYTES: usize = 4 << 20;
const STREAM_BYTES: u32 = 1 << 20;
/// RFC 9113, 6.9.2: a connection cannot be given less.
const LEAST_BYTES: u32 = 65_535;
/// A connection takes no more than such a part of what is left.
const PART: usize = 8;
/// A request comes in one frame rather than in many of 16 KiB, the default.
const FRAME_BYTES: u32 = 256 << 10;
const LEAST_FRAME_BYTES: u32 = 16 << 10;

/// Bytes that clients may send unread, over all connections but for the least
/// windows.
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
    /// Of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// The windows of a new connection; given back when dropped.
    pub(super) fn take(&self) -> Windows {
        let part = (self.0.available_permits() / PART).min(CONNECTION_BYTES);
        let bytes = u32::try_from(part).unwrap_or(LEAST_BYTES);
        let share = match bytes > LEAST_BYTES {
            true => self.0.clone().try_acquire_many_owned(bytes).ok(),
            false => None,
        };
        let connection_bytes = match share {
            Some(_) => bytes,
            None => LEAST_BYTES,
        };
        Windows {
            connection_bytes,
            stream_bytes: connection_bytes.min(STREAM_BYTES),
            frame_bytes: connection_bytes.clamp(LEAST_FRAME_BYTES, FRAME_BYTES),
            _share: share,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_get_narrow_windows_and_the_budget_holds() {
        let budget = WindowBudget::new(64 << 20);
        let all: Vec<Windows> = (0..1_000).map(|_| budget.take()).collect();
        assert_eq!(all[0].connection_bytes, 4 << 20);
        assert_eq!(all[0].stream_bytes, 1 << 20);
        assert_eq!(all[999].connection_bytes, LEAST_BYTES);
        assert_eq!(all[999].frame_bytes, LEAST_BYTES);
        let wide = all.iter().filter(|w| w.connection_bytes > LEAST_BYTES);
        let sum: usize = wide.map(|w| w.connection_bytes as usize).sum();
        assert!(sum <= 64 << 20, "{sum}");
        drop(all);
        assert_eq!(budget.take().connection_bytes, 4 << 20);
    }
}
