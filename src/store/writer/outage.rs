//! Retries while the database is away, and after conflicts with other writers.

use std::time::Duration;

use rand::RngExt as _;
use tokio::time::{Instant, sleep};

use crate::store::error::{is_timeout, is_unfit, needs_person, reason};

const FIRST_BACKOFF: Duration = Duration::from_millis(20);
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// The pause while only a person can help.
const PERSON_PAUSE: Duration = Duration::from_secs(10);
/// Each wait is a random part of the backoff, so that writers do not retry together.
const JITTER: std::ops::Range<f64> = 0.5..1.0;

/// The first pause after a conflict. It doubles each time, up to [`MAX_CONFLICT_PAUSE`].
const FIRST_CONFLICT_PAUSE: Duration = Duration::from_millis(1);
const MAX_CONFLICT_PAUSE: Duration = Duration::from_millis(50);
/// Attempts with a single event: about a quarter of a second of pauses.
const MAX_ATTEMPTS: u32 = 10;
/// Attempts with several events. Smaller parts are in the way of fewer writers.
const MAX_ATTEMPTS_TOGETHER: u32 = 5;
/// Attempts with a single event soon after [`MAX_ATTEMPTS`] did not help another one.
const MAX_ATTEMPTS_IN_VAIN: u32 = 2;
/// How soon that is: conflicts that never end must not hold up the shard.
const IN_VAIN: Duration = Duration::from_secs(10);

/// What a writer does when the database is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAway {
    /// Tries again until the database is back.
    Wait,
    /// Tries once more if a connection broke, then returns the error and the events that
    /// are not written.
    ReturnError,
}

/// A time in which the database is away. Its begin and its end are logged once.
#[derive(Default)]
pub(super) struct Outage {
    backoff: Option<Duration>,
    retried: bool,
}

impl Outage {
    /// Waits before the next attempt. The wait doubles each time, up to [`MAX_BACKOFF`].
    ///
    /// # Errors
    /// Returns `error` if the writer must not wait. The first broken connection returns
    /// no error, because it may not be an outage: the next attempt follows at once.
    pub async fn wait(
        &mut self,
        error: sqlx::Error,
        when_away: WhenAway,
    ) -> Result<(), sqlx::Error> {
        if when_away == WhenAway::ReturnError {
            let hopeless = is_timeout(&error) || is_unfit(&error) || needs_person(&error);
            let retry = !std::mem::replace(&mut self.retried, true) && !hopeless;
            return if retry { Ok(()) } else { Err(error) };
        }
        let backoff = match self.backoff {
            // The health check reports it.
            None if is_unfit(&error) => {
                tracing::info!("batches wait until the database can be written");
                FIRST_BACKOFF
            }
            None if needs_person(&error) => {
                // ERROR: a person is needed. Nothing is lost, the batch waits.
                tracing::error!(
                    error = %reason(&error),
                    "Postgres refuses a statement of the daemon, so batches wait; \
                     make the tables as `runtraced migrate` makes them, without rules and not distributed"
                );
                PERSON_PAUSE
            }
            Some(_) if needs_person(&error) => PERSON_PAUSE,
            None => {
                // WARN: nothing is lost, the batch waits.
                tracing::warn!(error = %reason(&error), "the database is away; batches wait");
                FIRST_BACKOFF
            }
            Some(last) => (last * 2).min(MAX_BACKOFF),
        };
        self.backoff = Some(backoff);
        let jitter = rand::rng().random_range(JITTER);
        sleep(backoff.mul_f64(jitter)).await;
        Ok(())
    }

    /// Reports the end of the outage, if there was one.
    pub fn end(&self) {
        if self.backoff.is_some() {
            tracing::info!("the database is back");
        }
    }
}

/// How conflicts of single events ended lately.
#[derive(Debug, Default)]
pub(super) struct ConflictHistory {
    in_vain_until: Option<Instant>,
}

impl ConflictHistory {
    /// The attempts for so many events.
    pub fn attempts(&self, events: usize) -> ConflictRetries {
        let in_vain = self.in_vain_until.is_some_and(|end| Instant::now() < end);
        ConflictRetries {
            limit: match events {
                ..=1 if in_vain => MAX_ATTEMPTS_IN_VAIN,
                ..=1 => MAX_ATTEMPTS,
                _ => MAX_ATTEMPTS_TOGETHER,
            },
            done: 1,
            pause: FIRST_CONFLICT_PAUSE,
        }
    }

    /// Attempts succeeded.
    pub fn succeeded(&mut self, attempts: &ConflictRetries) {
        if attempts.done > 1 {
            self.in_vain_until = None;
        }
    }

    /// Attempts with so many events did not succeed.
    pub fn failed(&mut self, events: usize) {
        if events <= 1 {
            self.in_vain_until = Some(Instant::now() + IN_VAIN);
        }
    }
}

/// The attempts to write some events in spite of conflicts.
#[derive(Debug)]
pub(super) struct ConflictRetries {
    limit: u32,
    done: u32,
    pause: Duration,
}

impl ConflictRetries {
    /// Waits before the next attempt. Returns false if none is left.
    pub async fn wait(&mut self) -> bool {
        if self.done >= self.limit {
            return false;
        }
        self.done += 1;
        let jitter = rand::rng().random_range(JITTER);
        sleep(self.pause.mul_f64(jitter)).await;
        self.pause = (self.pause * 2).min(MAX_CONFLICT_PAUSE);
        true
    }
}
