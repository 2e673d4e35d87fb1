//! All SQL that writes, except the statements of the sweeper.
//!
//! - `encode/`: turns events into Postgres values and the binary COPY format.
//! - `plan/`: sorts the events of a batch by table and by run.
//! - `batch/`: writes one batch in one transaction.
//! - `writer/`: the write ladder, sessions, outages, dead letters and the ledger.
//! - `admin/`: migrations, grants and keys.
//! - `sql/`: the statements.

mod admin;
mod batch;
pub mod encode;
mod error;
mod outcome;
mod plan;
mod writer;

pub use admin::{
    Grant, GrantError, KeyError, MIGRATIONS, create_key, grant, load_keys, migrate, revoke_key,
};
pub use batch::{settle_bridged_runs, settle_runs};
pub use error::{is_not_migrated, is_outage, reason, sqlstate};
pub use outcome::{EventOutcome, OutcomeCounts};
pub use writer::{
    CountsReading, PartlyWritten, ShardCounts, SpoolIdentity, WhenAway, Writer, WriterConfig,
    connect, drop_dead_letters, mark_replayed, turn_off_nagle,
};
