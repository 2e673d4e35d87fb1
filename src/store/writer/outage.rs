//! Waiting for a database that is away.

use std::time::Duration;

use rand::RngExt as _;
use tokio::time::sleep;

use crate::store::error::{is_late, reason};

const FIRST_BACKOFF: Duration = Duration::from_millis(20);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// What a writer does when the database is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAway {
    /// Tries again until it is back.
    Wait,
    /// Tries once more, if a connection broke; then leaves the events to others.
    Say,
}

/// A time in which the database is away; told of once at its begin and end.
#[derive(Default)]
pub(super) struct Outage {
    backoff: Option<Duration>,
    retried: bool,
}

impl Outage {
    /// Waits before the next attempt, each time longer up to two seconds.
    ///
    /// # Errors
    /// With the error, if it is to be said. A broken connection may be only that,
    /// so the first time there is another attempt, at once.
    pub async fn wait(
        &mut self,
        error: sqlx::Error,
        when_away: WhenAway,
    ) -> Result<(), sqlx::Error> {
        if when_away == WhenAway::Say {
            let again = !std::mem::replace(&mut self.retried, true) && !is_late(&error);
            return if again { Ok(()) } else { Err(error) };
        }
        let backoff = match self.backoff {
            None => {
                // WARN: nothing is lost, the batch waits.
                tracing::warn!(error = %reason(&error), "the database is away; batches wait");
                FIRST_BACKOFF
            }
            Some(last) => (last * 2).min(MAX_BACKOFF),
        };
        self.backoff = Some(backoff);
        let jitter = rand::rng().random_range(0.5..1.0);
        sleep(backoff.mul_f64(jitter)).await;
        Ok(())
    }

    /// The database has answered.
    pub fn over(&self) {
        if self.backoff.is_some() {
            tracing::info!("the database is back");
        }
    }
}
