//! Whether batches go to Postgres or to the spool; one answer for all shards.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::store::{is_not_migrated, is_unfit};

/// Closed while the database is away. Whoever finds it away closes it; only the
/// replayer, which asks it again and again, opens it.
#[derive(Debug, Default)]
pub struct Gate {
    closed: AtomicBool,
}

impl Gate {
    /// Whether the database is away.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// The database does not answer.
    pub(super) fn close(&self, error: &sqlx::Error) {
        if self.closed.swap(true, Relaxed) {
            return;
        }
        if is_not_migrated(error) {
            // A new database, which is being migrated.
            tracing::info!("the schema is not there yet; events are spooled");
            return;
        }
        if is_unfit(error) {
            // The health check says why.
            tracing::info!("events are spooled until the database can be written");
            return;
        }
        // WARN: nothing is lost, events are spooled.
        let error = crate::store::reason(error);
        tracing::warn!(error, "the database is away; events are spooled");
    }

    /// The counts could not be written. While a new database is being migrated
    /// that is no sign that it is away.
    pub(super) fn counts_failed(&self, error: &sqlx::Error) {
        if !is_not_migrated(error) {
            self.close(error);
        }
    }

    /// The database has committed something.
    pub(super) fn open(&self) {
        if self.closed.swap(false, Relaxed) {
            tracing::info!("the database is back");
        }
    }
}
