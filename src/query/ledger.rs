//! The ledger of all daemons.

use std::ops::AddAssign;

use sqlx::PgConnection;
use uuid::Uuid;

use super::InspectError;

/// The sums of `ingest_reconciliation`, which describes each column.
#[derive(Debug, Clone, Copy, Default)]
#[allow(missing_docs)]
pub struct LedgerSum {
    pub daemons: i64,
    pub received: i64,
    pub committed: i64,
    pub duplicate: i64,
    pub refused: i64,
    pub spooled: i64,
    pub dead_lettered: i64,
    pub ignored: i64,
    pub in_flight: i64,
    pub open_dead_letters: i64,
}

from_row!(LedgerSum {
    daemons,
    received,
    committed,
    duplicate,
    refused,
    spooled,
    dead_lettered,
    ignored,
    in_flight,
    open_dead_letters,
});

impl AddAssign for LedgerSum {
    fn add_assign(&mut self, other: Self) {
        self.daemons += other.daemons;
        self.received += other.received;
        self.committed += other.committed;
        self.duplicate += other.duplicate;
        self.refused += other.refused;
        self.spooled += other.spooled;
        self.dead_lettered += other.dead_lettered;
        self.ignored += other.ignored;
        self.in_flight += other.in_flight;
        self.open_dead_letters += other.open_dead_letters;
    }
}

/// Sums the ledger over all daemons.
///
/// # Errors
/// [`InspectError`] if the query fails.
pub async fn ledger_sum(connection: &mut PgConnection) -> Result<LedgerSum, InspectError> {
    Ok(sqlx::query_as(include_str!("sql/ledger_sum.sql"))
        .fetch_one(connection)
        .await?)
}

/// The starts of daemons in the ledger. Each server of a store has its own counts of a start.
///
/// # Errors
/// [`InspectError`] if the query fails.
pub async fn ledger_starts(connection: &mut PgConnection) -> Result<Vec<Uuid>, InspectError> {
    let starts = sqlx::query_scalar("SELECT instance FROM ingest_reconciliation");
    Ok(starts.fetch_all(connection).await?)
}
