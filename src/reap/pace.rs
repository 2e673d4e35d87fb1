//! How fast rows are deleted.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::counts::ReapCounts;

/// How often to look while something more important is going on.
const BUSY: Duration = Duration::from_millis(100);
/// How long to give way to it. Then a little is deleted all the same: where there is always
/// something, nothing would ever go.
const LONGEST_BUSY: Duration = Duration::from_secs(10);

/// Keeps deletions to a share of the time, and out of the way of others.
pub struct ReapPace<'a> {
    share_percent: u32,
    is_busy: Box<dyn Fn() -> bool + Send + Sync + 'a>,
    counts: Option<&'a ReapCounts>,
    longest_busy: Duration,
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
            longest_busy: LONGEST_BUSY,
        }
    }

    /// The same, but it waits for a while if `is_busy`, and counts.
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
        let begun = Instant::now();
        while (self.is_busy)() && begun.elapsed() < self.longest_busy {
            sleep(BUSY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_gives_way_but_not_for_ever() {
        let counts = ReapCounts::default();
        let longest_busy = Duration::from_millis(300);
        let pace = ReapPace {
            longest_busy,
            ..ReapPace::of_share(50).yielding(|| true, &counts)
        };
        let begun = Instant::now();
        pace.rest(Instant::now()).await;
        assert!(begun.elapsed() >= longest_busy, "{:?}", begun.elapsed());
    }
}
