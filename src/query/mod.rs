//! Queries of the read commands and of the web: runs, timelines, payloads, approvals,
//! statistics, keys, dead letters, the ledger.
//!
//! How the results look is the business of `cli` and `web`.

mod approval_queue;
mod conversation;
mod costs;
mod counted_runs;
mod counted_store;
mod customers;
mod dead_letters;
mod export;
mod facets;
mod key_order;
mod keys;
mod ledger;
mod merged_page;
mod merged_rows;
mod payload;
mod prices;
mod read_pool;
mod read_pools;
mod relatives;
mod run_id;
mod run_list;
mod run_pieces;
mod run_search;
mod runs;
mod skeleton;
mod sql_text;
mod stats;
mod sums;
mod timeline;

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

use crate::config::database_address;

pub use approval_queue::{
    ApprovalPlace, ApprovalsOf, approval_statement, approvals_order, approvals_statement,
    asked_statement, decided_statement, decision_counts_statement, pending_statement,
};
pub use conversation::{
    ConversationOf, MessagePlace, SESSION_RUNS, conversation_statement, session_runs_statement,
    session_statement,
};
pub use costs::{
    COST_ROWS, CostBy, CostTable, UNPRICED_ROWS, cost_statement, plan_sums, unpriced_statement,
};
pub use counted_runs::CountedRuns;
pub use counted_store::{CountedStore, Counting, OtherServers, fixed_time, handed_over};
pub use customers::{CustomerRow, customers, customers_are_copied};
pub use dead_letters::{DeadLetterFilter, DeadLetterRow, dead_letters};
pub use export::{ExportKey, ExportPage, export_keys, export_page, export_statement};
pub use facets::{FacetsStatement, customer_names_statement};
pub use keys::{KeyRow, keys};
pub use ledger::{LedgerSum, ledger_starts, ledger_sum};
pub use merged_rows::RowsByTime;
pub use payload::{MAX_HITS, PayloadItem, PayloadRequest, find_statement};
pub use prices::{PriceListRow, UnpricedModel, prices, unpriced_models};
pub use read_pool::{ReadAs, ReadPool, ReadTransaction};
pub use read_pools::{ReadPools, SHORT_PATIENCE};
pub use relatives::fullest_session;
pub use run_id::{IdPrefix, RunLookup, find_run};
pub use run_list::{RunPage, found_runs};
pub use run_pieces::briefly;
pub use run_search::{RunOrder, RunPlace, RunSearch, TimeBound};
pub use runs::{RunFilter, RunSummary, runs};
pub use skeleton::{
    RunHead, Skeleton, SkeletonRow, StepTokens, run_for_psql, run_head, run_row, skeleton_rows,
    step_digests,
};
pub use sql_text::SqlText;
pub use stats::{STATS_PARTS, STATS_ROWS, StatsStatements, stats_statements, stats_sums};
pub use sums::SumsPart;
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
