//! The read side: runs and their timelines, from the documented views. Only
//! queries and their rows belong here; how they look is the business of `cli`.

mod dead_letters;
mod keys;
mod ledger;
mod run_id;
mod runs;
mod timeline;

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

pub use dead_letters::{DeadLetter, DeadLetterFilter, dead_letters};
pub use keys::{Key, keys};
pub use ledger::{LedgerSum, ledger_sum};
pub use run_id::{IdPrefix, Lookup, find_run};
pub use runs::{RunFilter, RunSummary, runs};
pub use timeline::{timeline_json, waterfall};

/// How long a database may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a reading command failed.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// Nothing answered.
    #[error("the database did not answer within {CONNECT_TIMEOUT:?}")]
    Silent,
    /// The connection could not be made.
    #[error("cannot connect to the database: {0}")]
    Connect(#[source] sqlx::Error),
    /// A query failed.
    #[error("{0}")]
    Query(#[from] sqlx::Error),
    /// A view has other columns than this version knows.
    #[error("the database's views are of another version: {0}")]
    Columns(#[from] serde_json::Error),
}

/// Connects to the database at `url`.
///
/// # Errors
/// [`InspectError::Silent`] and [`InspectError::Connect`].
pub async fn connect(url: &str) -> Result<PgConnection, InspectError> {
    match tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect(url)).await {
        Ok(connected) => connected.map_err(InspectError::Connect),
        Err(_) => Err(InspectError::Silent),
    }
}
