//! Queries of the read commands: runs, timelines, keys, dead letters, the ledger.
//!
//! They use the documented views. How the results look is the business of `cli`.

mod dead_letters;
mod keys;
mod ledger;
mod run_id;
mod runs;
mod timeline;

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

use crate::config::database_address;

pub use dead_letters::{DeadLetterFilter, DeadLetterRow, dead_letters};
pub use keys::{KeyRow, keys};
pub use ledger::{LedgerSum, ledger_sum};
pub use run_id::{IdPrefix, RunLookup, find_run};
pub use runs::{RunFilter, RunSummary, runs};
pub use timeline::{RunText, TimelineItem, run_text, timeline_items, timeline_json, waterfall};

/// How long a database may take to accept a connection. A person waits for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a read command failed.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The server did not answer.
    #[error("the database at {0} did not answer within {CONNECT_TIMEOUT:?}")]
    Silent(String),
    /// The connection failed.
    #[error("cannot connect to the database at {address}")]
    Connect {
        /// Host and port, or the folder of the socket.
        address: String,
        /// The cause.
        source: sqlx::Error,
    },
    /// A query failed.
    #[error("cannot read the database")]
    Query(#[from] sqlx::Error),
    /// A view has other columns than this version reads.
    #[error("the views of the database belong to another version of runtraced: {0}")]
    Columns(#[from] serde_json::Error),
}

/// Connects to a database.
///
/// # Errors
/// [`InspectError::Silent`] and [`InspectError::Connect`].
pub async fn connect(options: &PgConnectOptions) -> Result<PgConnection, InspectError> {
    let connecting = PgConnection::connect_with(options);
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(connected) => connected.map_err(|source| InspectError::Connect {
            address: database_address(options),
            source,
        }),
        Err(_) => Err(InspectError::Silent(database_address(options))),
    }
}
