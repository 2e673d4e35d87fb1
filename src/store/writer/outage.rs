//! Retries while the database is away.

use std::time::Duration;

use rand::RngExt as _;
use tokio::time::sleep;

use crate::store::error::{is_timeout, is_unfit, reason};

const FIRST_BACKOFF: Duration = Duration::from_millis(20);
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// Each wait is a random part of the backoff, so that writers do not retry together.
const JITTER: std::ops::Range<f64> = 0.5..1.0;

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
            let hopeless = is_timeout(&error) || is_unfit(&error);
            let retry = !std::mem::replace(&mut self.retried, true) && !hopeless;
            return if retry { Ok(()) } else { Err(error) };
        }
        let backoff = match self.backoff {
            // The health check reports it.
            None if is_unfit(&error) => {
                tracing::info!("batches wait until the database can be written");
                FIRST_BACKOFF
            }
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
