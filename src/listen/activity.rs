//! When a connection last sent or received a byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// Shared by a connection's transport and its watchdog.
#[derive(Clone, Debug)]
pub(super) struct Activity {
    opened: Instant,
    /// Milliseconds after `opened`.
    last_ms: Arc<AtomicU64>,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            opened: Instant::now(),
            last_ms: Arc::default(),
        }
    }

    /// Notes that a byte was sent or received.
    pub(super) fn note(&self) {
        let ms = self.opened.elapsed().as_millis();
        self.last_ms
            .store(u64::try_from(ms).unwrap_or(u64::MAX), Relaxed);
    }

    /// Returns once no byte has been sent or received for `timeout`.
    pub(super) async fn idle(&self, timeout: Duration) {
        loop {
            let last = self.opened + Duration::from_millis(self.last_ms.load(Relaxed));
            let due = last + timeout;
            if due <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_byte_restarts_the_timeout() {
        let activity = Activity::new();
        let started = Instant::now();
        let watch = activity.clone();
        let watchdog = tokio::spawn(async move { watch.idle(Duration::from_millis(500)).await });
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            activity.note();
        }
        watchdog.await.unwrap();
        // 500 ms after the last byte, not after the first.
        assert!(started.elapsed() >= Duration::from_millis(995));
    }
}
