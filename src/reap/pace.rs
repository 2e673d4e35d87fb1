//! How fast rows are deleted.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::counts::ReapCounts;

/// How long to wait while something more important is going on.
const BUSY: Duration = Duration::from_millis(100);

/// Keeps deletions to a share of the time, and out of the way of others.
pub struct ReapPace<'a> {
    share_percent: u32,
    is_busy: Box<dyn Fn() -> bool + Send + Sync + 'a>,
    counts: Option<&'a ReapCounts>,
}

impl std::fmt::Debug for ReapPace<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReapPace")
            .field("share_percent", &self.share_percent)
            .finish_non_exhaustive()
    }
}

impl<'a> ReapPace<'a> {
    /// A pace that takes a share of the time.
    #[must_use]
    pub fn of_share(share_percent: u32) -> Self {
        Self {
            share_percent: share_percent.clamp(1, 100),
            is_busy: Box::new(|| false),
            counts: None,
        }
    }

    /// The same, but it waits while `is_busy`, and counts.
    #[must_use]
    pub fn yielding(
        self,
        is_busy: impl Fn() -> bool + Send + Sync + 'a,
        counts: &'a ReapCounts,
    ) -> Self {
        Self {
            is_busy: Box::new(is_busy),
            counts: Some(counts),
            ..self
        }
    }

    /// Rests after work that began at `since`.
    pub(super) async fn rest(&self, since: Instant) {
        let worked = since.elapsed();
        if let Some(counts) = self.counts {
            counts.add_busy(worked);
        }
        sleep(worked * (100 - self.share_percent) / self.share_percent).await;
        while (self.is_busy)() {
            sleep(BUSY).await;
        }
    }
}
