//! The task of a live topic: it looks at the database again and again, and tells the topic what it has seen.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::error::WebError;
use super::live::{LiveOf, Topic};
use super::live_source::LiveSource;
use crate::query::{ReadAs, ReadPools};

/// The least time between two looks at the database.
const MIN_INTERVAL: Duration = Duration::from_millis(500);
/// A topic takes one part of this many of one connection's time.
const SHARE: u32 = 10;
/// The time until the next look after an error.
const RETRY: Duration = Duration::from_secs(2);
/// A topic that has seen nothing for this long sends its clients away, so that nobody takes for live what is not.
const BLIND: Duration = Duration::from_secs(10);

/// What the task of a topic needs.
pub(super) struct Follower {
    pub(super) topic: Weak<Topic>,
    pub(super) pools: ReadPools,
    pub(super) looks: Arc<Semaphore>,
    pub(super) name: (LiveOf, ReadAs),
}

impl Follower {
    /// Looks at the database until nobody listens.
    pub(super) async fn follow(self) {
        let mut wait = MIN_INTERVAL;
        let mut seen = Instant::now();
        loop {
            sleep(wait).await;
            if self.topic.strong_count() == 0 {
                return;
            }
            let Ok(_turn) = self.looks.acquire().await else {
                return;
            };
            let Some(topic) = self.topic.upgrade() else {
                return;
            };
            let begun = Instant::now();
            let found = LiveSource::read(&self.pools, &self.name.0, &self.name.1).await;
            wait = pause(begun.elapsed(), found.is_err());
            match found {
                Ok(source) => {
                    seen = Instant::now();
                    if topic.update(source) {
                        return;
                    }
                }
                // It is gone, or the reader may not see it any more.
                Err(WebError::NotFound(_)) => {
                    return topic.end();
                }
                Err(_) if seen.elapsed() >= BLIND => return topic.leave(),
                Err(_) => {}
            }
        }
    }
}

/// The time until the next look: a topic that is slow, or fails slowly, looks less often.
fn pause(took: Duration, failed: bool) -> Duration {
    let least = if failed { RETRY } else { MIN_INTERVAL };
    least.max(took * SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_takes_at_most_its_share_also_when_it_fails() {
        for failed in [false, true] {
            let pause = pause(Duration::from_secs(15), failed);
            assert_eq!(pause, Duration::from_secs(150), "{failed}");
        }
        assert_eq!(pause(Duration::ZERO, true), RETRY);
        assert_eq!(pause(Duration::ZERO, false), MIN_INTERVAL);
    }
}
