//! The gate, one for all shards. Open: events go to Postgres. Closed: events are spooled.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::store::{is_not_migrated, is_unfit, needs_person};

/// How long the database is left alone after it refused a statement that only a person can mend.
pub(super) const REST: Duration = Duration::from_secs(10);
/// How often the log says so.
const TELL_INTERVAL: Duration = Duration::from_secs(600);

/// Closed while the database is away. Any writer closes it. Only the replayer, which
/// probes the database, opens it.
#[derive(Debug, Default)]
pub struct Gate {
    closed: AtomicBool,
    stalled: AtomicBool,
    other_database: AtomicBool,
    refusal: Mutex<StatementRefusal>,
}

/// The last time that the database refused a statement, whatever its rows were.
#[derive(Debug, Default)]
struct StatementRefusal {
    /// New events are spooled until then.
    rest_until: Option<Instant>,
    told_at: Option<Instant>,
}

impl Gate {
    /// Whether the gate is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_away() || self.rests()
    }

    /// Whether it is closed because the database is away.
    pub(super) fn is_away(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Whether it is closed for a while because the database refuses a statement. The replayer goes on meanwhile: events
    /// that need other statements may be written.
    fn rests(&self) -> bool {
        let until = self.refusal().rest_until;
        until.is_some_and(|until| Instant::now() < until)
    }

    fn refusal(&self) -> MutexGuard<'_, StatementRefusal> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner)
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
        } else if self.rests() {
            Some("Postgres refuses a statement, as the log says")
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

    /// Closes the gate, because the database does not answer; or for a while, because it needs a person.
    pub(super) fn close(&self, error: &sqlx::Error) {
        if needs_person(error) {
            self.refusal().rest_until = Some(Instant::now() + REST);
            self.tell_refusal(error);
            return;
        }
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

    /// Tells the log, once in a while, that the database refuses a statement.
    pub(super) fn tell_refusal(&self, error: &sqlx::Error) {
        let mut refusal = self.refusal();
        if refusal
            .told_at
            .is_some_and(|at| at.elapsed() < TELL_INTERVAL)
        {
            return;
        }
        refusal.told_at = Some(Instant::now());
        // ERROR: a person is needed. Nothing is lost while the spool has space.
        let error = crate::store::reason(error);
        tracing::error!(
            error,
            "Postgres refuses a statement of the daemon, so its events are spooled; \
             make the tables as `runtraced migrate` makes them, without rules and not distributed"
        );
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
