//! When a connection last moved a byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// Shared by a connection's transport and its watchdog.
#[derive(Clone, Debug)]
pub(super) struct Activity {
    since: Instant,
    /// Milliseconds after `since`.
    last_ms: Arc<AtomicU64>,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            last_ms: Arc::default(),
        }
    }

    /// A byte moved.
    pub(super) fn note(&self) {
        let ms = self.since.elapsed().as_millis();
        self.last_ms
            .store(u64::try_from(ms).unwrap_or(u64::MAX), Relaxed);
    }

    /// Returns when nothing has moved for so long.
    pub(super) async fn idle(&self, timeout: Duration) {
        loop {
            let last = self.since + Duration::from_millis(self.last_ms.load(Relaxed));
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
    async fn each_byte_puts_the_end_off() {
        let activity = Activity::new();
        let started = Instant::now();
        let watch = activity.clone();
        let watchdog = tokio::spawn(async move { watch.idle(Duration::from_millis(500)).await });
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            activity.note();
        }
        watchdog.await.unwrap();
        // From the last byte, and not from the first.
        assert!(started.elapsed() >= Duration::from_millis(995));
    }
}
