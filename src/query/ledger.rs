//! The ledger of all daemons.

use sqlx::PgConnection;

use super::InspectError;

/// The sums of `ingest_reconciliation`, which describes each column.
#[derive(Debug, Clone, Copy)]
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

/// Sums the ledger over all daemons.
///
/// # Errors
/// [`InspectError`] if the query fails.
pub async fn ledger_sum(connection: &mut PgConnection) -> Result<LedgerSum, InspectError> {
    Ok(sqlx::query_as(include_str!("sql/ledger_sum.sql"))
        .fetch_one(connection)
        .await?)
}
