//! The gate, one for all shards. Open: events go to Postgres. Closed: events are spooled.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::store::{is_not_migrated, is_unfit};

/// Closed while the database is away. Any writer closes it. Only the replayer, which
/// probes the database, opens it.
#[derive(Debug, Default)]
pub struct Gate {
    closed: AtomicBool,
    stalled: AtomicBool,
    other_database: AtomicBool,
}

impl Gate {
    /// Whether the gate is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Whether the spool has not moved for a minute although the gate is open.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.stalled.load(Relaxed)
    }

    /// Whether the spool holds events of another database, so that it is not replayed.
    #[must_use]
    pub fn is_other_database(&self) -> bool {
        self.other_database.load(Relaxed)
    }

    /// Why the spool is not replayed although the database is there.
    #[must_use]
    pub fn spool_problem(&self) -> Option<&'static str> {
        if self.is_other_database() {
            Some("the spool belongs to another database and is not replayed")
        } else if self.is_stalled() {
            Some("the spool is stalled")
        } else {
            None
        }
    }

    /// Says whether the spool holds events of another database.
    pub(super) fn set_other_database(&self, other: bool) {
        self.other_database.store(other, Relaxed);
    }

    /// Says whether the spool is stalled.
    pub(super) fn set_stalled(&self, stalled: bool) {
        self.stalled.store(stalled, Relaxed);
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
        if is_unfit(error) {
            // The health check says why.
            tracing::info!("events are spooled until the database can be written");
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
