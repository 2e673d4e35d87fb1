//! The gate, one for all shards. Open: events go to Postgres. Closed: events are spooled.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::store::is_not_migrated;

/// Closed while the database is away. Any writer closes it. Only the replayer, which
/// probes the database, opens it.
#[derive(Debug, Default)]
pub struct Gate {
    closed: AtomicBool,
}

impl Gate {
    /// Whether the gate is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Closes the gate, because the database does not answer.
    pub(super) fn close(&self, error: &sqlx::Error) {
        if self.closed.swap(true, Relaxed) {
            return;
        }
        if is_not_migrated(error) {
            // A new database; its migration is under way.
            tracing::info!("the schema does not exist yet; events are spooled");
            return;
        }
        // WARN: nothing is lost.
        let error = crate::store::reason(error);
        tracing::warn!(error, "the database is away; events are spooled");
    }

    /// Closes the gate because the ledger could not be written. A missing schema is no
    /// reason: the migration of a new database may be under way.
    pub(super) fn counts_failed(&self, error: &sqlx::Error) {
        if !is_not_migrated(error) {
            self.close(error);
        }
    }

    /// Opens the gate, because the database answers.
    pub(super) fn open(&self) {
        if self.closed.swap(false, Relaxed) {
            tracing::info!("the database is back");
        }
    }
}
