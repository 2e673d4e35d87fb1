//! Finds the events of a spool that cannot be written, while the database can commit others.
//!
//! A batch that fails is halved until one event is left. That event is set aside, and the
//! events behind it go on. It is tried again, and given up soon if other events have
//! committed since the batch failed: then the fault is in the event, not in the database. If
//! nothing else commits, the fault may be anywhere, so the event is given up only after many
//! failures. An event that waits for a lock is never given up: whoever holds the lock is to
//! blame. Nor is one whose statement the database refuses for good: a person is needed.

use std::time::{Duration, Instant};

use crate::store::{is_lock_timeout, is_timeout, needs_person};

/// The number of failures after which an event may be given up, if others commit.
const MIN_FAILURES: u32 = 3;
/// The same if no others commit, and for how long it must have failed then.
const MIN_FAILURES_ALONE: u32 = 10;
const MIN_TIME_ALONE: Duration = Duration::from_secs(30);
/// While other events commit, an event may take so many times `--spool-after`.
const PATIENCE: u32 = 5;

/// When a failure was first seen, and how many events the daemon had committed then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    at: Instant,
    committed: u64,
}

impl Seen {
    pub fn now(committed: u64) -> Self {
        Self {
            at: Instant::now(),
            committed,
        }
    }
}

/// What is known of an event that failed on its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trouble {
    failures: u32,
    /// The first failure of the event, or of a batch with it.
    first: Seen,
    /// The deadline of the last attempt.
    deadline: Duration,
}

impl Trouble {
    /// No failure of the event itself yet.
    pub fn new(first: Seen) -> Self {
        Self {
            failures: 0,
            first,
            deadline: Duration::ZERO,
        }
    }

    /// Adds a failure.
    pub fn failed(self, deadline: Duration) -> Self {
        Self {
            failures: self.failures + 1,
            deadline,
            ..self
        }
    }

    /// The deadline of the next attempt, at most `longest`. `committed` is how many events
    /// the daemon has committed.
    pub fn next_deadline(self, after: Duration, longest: Duration, committed: u64) -> Duration {
        let next = after.max(self.deadline * 2);
        next.min(self.longest(after, longest, committed))
    }

    /// Whether the event is to be given up after this error.
    pub fn is_hopeless(
        self,
        error: &sqlx::Error,
        after: Duration,
        longest: Duration,
        committed: u64,
    ) -> bool {
        let waited = self.deadline >= self.longest(after, longest, committed);
        let failed_enough = if committed > self.first.committed {
            self.failures >= MIN_FAILURES
        } else {
            self.failures >= MIN_FAILURES_ALONE && self.first.at.elapsed() >= MIN_TIME_ALONE
        };
        let no_blame = is_lock_timeout(error) || needs_person(error);
        failed_enough && !no_blame && (waited || !is_timeout(error))
    }

    fn longest(self, after: Duration, longest: Duration, committed: u64) -> Duration {
        if committed > self.first.committed {
            longest.min(after * PATIENCE)
        } else {
            // Nothing else commits, so the database may just be slow.
            longest
        }
    }
}

/// How many events go into the next transaction, and how long it may take.
#[derive(Debug)]
pub(super) struct RetryPace {
    most: usize,
    limit: usize,
    /// The first so many events contain one that fails.
    suspects: usize,
    /// The number of events before the one that Postgres refuses, if it has named that.
    before: Option<usize>,
    /// The failure of the batch that is being halved.
    seen: Option<Seen>,
    after: Duration,
    timeout: Duration,
}

impl RetryPace {
    /// Starts with `start` events and grows up to `most`, while transactions take no longer
    /// than `after`.
    pub fn new(start: usize, most: usize, after: Duration) -> Self {
        Self {
            most,
            limit: start.min(most),
            suspects: 0,
            before: None,
            seen: None,
            after,
            timeout: after,
        }
    }

    /// The greatest number of events for the next transaction.
    pub fn events(&self) -> usize {
        match (self.before, self.suspects) {
            (Some(before), _) => before.max(1),
            (None, 0) => self.limit,
            (None, suspects) => self.limit.min((suspects / 2).max(1)),
        }
    }

    /// The deadline of the next transaction.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The first events were written, in this time.
    pub fn succeeded(&mut self, events: usize, took: Duration) {
        self.suspects = self.suspects.saturating_sub(events);
        self.before = None;
        if self.suspects == 0 {
            self.seen = None;
        }
        self.limit = self.limit.max(events).saturating_mul(2).min(self.most);
        self.took(took);
    }

    /// A transaction took this long.
    pub fn took(&mut self, took: Duration) {
        self.timeout = self.after.max(took * 2);
    }

    /// Postgres refuses one of the first events, perhaps at a known position. The events
    /// before it come next, or else that one alone.
    pub fn refused(&mut self, events: usize, at: Option<usize>, now: Seen) {
        self.failed(events, now);
        if let Some(at) = at.filter(|at| *at < events) {
            self.suspects = at + 1;
            self.before = Some(at);
        }
    }

    /// The first events could not be written. Returns the first failure of the batch that
    /// they were in.
    pub fn failed(&mut self, events: usize, now: Seen) -> Seen {
        let seen = *self.seen.get_or_insert(now);
        self.before = None;
        if events > 1 {
            self.suspects = events;
        } else {
            (self.suspects, self.seen) = (0, None);
        }
        self.limit = (events / 2).max(1);
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(2);
    const LONGEST: Duration = Duration::from_secs(60);

    fn late() -> sqlx::Error {
        sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
    }

    /// How many failures it takes to isolate the bad one of so many events.
    fn isolate(events: usize, bad: usize) -> usize {
        let mut pace = RetryPace::new(events, events, AFTER);
        let (mut first, mut failures) = (0, 0);
        loop {
            let count = pace.events().min(events - first);
            if (first..first + count).contains(&bad) {
                let seen = pace.failed(count, Seen::now(failures as u64));
                assert_eq!(seen.committed, 0, "the first failure counts");
                failures += 1;
                if count == 1 {
                    assert_eq!(first, bad);
                    return failures;
                }
            } else {
                pace.succeeded(count, Duration::ZERO);
                first += count;
            }
        }
    }

    #[test]
    fn one_bad_event_is_found_by_halving() {
        for bad in [0, 1, 499, 500, 777, 999] {
            let failures = isolate(1_000, bad);
            assert!(failures <= 11, "{failures} failures for {bad}");
        }
    }

    #[test]
    fn while_nothing_else_commits_an_event_is_given_up_only_after_long() {
        let mut trouble = Trouble::new(Seen::now(7)).failed(AFTER);
        for _ in 0..20 {
            assert!(!trouble.is_hopeless(&late(), AFTER, LONGEST, 7));
            trouble = trouble.failed(trouble.next_deadline(AFTER, LONGEST, 7));
        }
        assert_eq!(trouble.next_deadline(AFTER, LONGEST, 7), LONGEST);
        assert!(trouble.is_hopeless(&late(), AFTER, LONGEST, 8));
        trouble.first.at = Instant::now().checked_sub(MIN_TIME_ALONE).unwrap();
        assert!(trouble.is_hopeless(&late(), AFTER, LONGEST, 7));
    }

    #[test]
    fn a_late_event_gets_more_time_before_it_is_given_up() {
        let mut trouble = Trouble::new(Seen::now(7)).failed(AFTER);
        let mut waited = Vec::new();
        while !trouble.is_hopeless(&late(), AFTER, LONGEST, 8) {
            let deadline = trouble.next_deadline(AFTER, LONGEST, 8);
            waited.push(deadline.as_secs());
            trouble = trouble.failed(deadline);
        }
        assert_eq!(waited, [4, 8, 10]);
    }
}
