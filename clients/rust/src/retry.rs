//! When to retry, and when to give up.

use std::{fmt, sync::Arc, time::Duration};

use rand::RngExt as _;
use tokio::time::Instant;

use super::ClientError;

/// Exponential back-off with jitter and a deadline.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Delay before the first retry; each later delay is twice as long.
    pub first_delay: Duration,
    /// Longest delay, unless the daemon asks for a longer one.
    pub max_delay: Duration,
    /// Time without success after which the client gives up. Each success restarts it.
    pub give_up_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first_delay: Duration::from_millis(50),
            max_delay: Duration::from_secs(5),
            give_up_after: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// Starts the clock.
    pub(super) fn start(self) -> RetryAttempts {
        RetryAttempts {
            policy: self,
            delay: self.first_delay,
            deadline: Instant::now() + self.give_up_after,
            reported: false,
        }
    }
}

/// The attempts since the last success.
#[derive(Debug)]
pub(super) struct RetryAttempts {
    policy: RetryPolicy,
    delay: Duration,
    deadline: Instant,
    /// Whether the observer knows of the outage.
    reported: bool,
}

impl RetryAttempts {
    /// When the client gives up.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Notes a success: the policy starts anew.
    pub(super) fn succeeded(&mut self) {
        *self = self.policy.start();
    }

    /// How long to wait before the next attempt, at least `asked`; `None` if that would
    /// pass the deadline.
    pub(super) fn next_delay(&mut self, asked: Option<Duration>) -> Option<Duration> {
        // Between half of the delay and all of it, so that many clients spread out.
        let delay = self.delay.mul_f64(rand::rng().random_range(0.5..=1.0));
        self.delay = (self.delay * 2).min(self.policy.max_delay);
        let delay = delay + asked.unwrap_or_default();
        (Instant::now() + delay < self.deadline).then_some(delay)
    }
}

type ObserveOutage = dyn Fn(&ClientError) + Send + Sync;

/// Called when an outage begins, with the error that the client retries after.
#[derive(Clone, Default)]
pub(super) struct OutageObserver(Option<Arc<ObserveOutage>>);

impl OutageObserver {
    pub(super) fn new(observe: impl Fn(&ClientError) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(observe)))
    }

    /// Reports an error, once until the next success.
    pub(super) fn report(&self, attempts: &mut RetryAttempts, error: impl FnOnce() -> ClientError) {
        if let Some(observe) = &self.0
            && !attempts.reported
        {
            attempts.reported = true;
            observe(&error());
        }
    }
}

impl fmt::Debug for OutageObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutageObserver({})", self.0.is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    const POLICY: RetryPolicy = RetryPolicy {
        first_delay: ms(100),
        max_delay: ms(500),
        give_up_after: Duration::from_secs(60),
    };

    #[test]
    fn a_delay_is_between_half_and_all_of_the_full_one() {
        let first = |_| POLICY.start().next_delay(None).unwrap();
        let delays: BTreeSet<_> = (0..1_000).map(first).collect();
        let (least, most) = (delays.first().unwrap(), delays.last().unwrap());
        assert!(*least >= ms(50) && *most <= ms(100), "{least:?} {most:?}");
        assert!(*least < ms(55) && *most > ms(95), "{least:?} {most:?}");
    }

    #[test]
    fn delays_double_up_to_the_longest_and_success_starts_anew() {
        for _ in 0..100 {
            let mut attempts = POLICY.start();
            for full in [100, 200, 400, 500, 500, 500] {
                let delay = attempts.next_delay(None).unwrap();
                assert!((ms(full / 2)..=ms(full)).contains(&delay), "{delay:?}");
            }
            attempts.succeeded();
            assert!(attempts.next_delay(None).unwrap() <= ms(100));
        }
    }

    #[test]
    fn what_the_daemon_asks_for_comes_on_top_and_the_deadline_stands() {
        for _ in 0..100 {
            let delay = POLICY.start().next_delay(Some(ms(2_000))).unwrap();
            assert!((ms(2_050)..=ms(2_100)).contains(&delay), "{delay:?}");
        }
        let mut attempts = POLICY.start();
        assert_eq!(attempts.next_delay(Some(POLICY.give_up_after)), None);
        assert!(attempts.next_delay(Some(ms(50_000))).is_some());
    }
}
