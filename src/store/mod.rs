//! The only place with SQL for writing.
//!
//! - `encode/`: events to values of Postgres; the binary COPY format.
//! - `plan/`: the events of a batch, sorted by table and by run.
//! - `batch/`: one batch in one transaction.
//! - `writer/`: the write ladder, sessions, outages, dead letters, the ledger.
//! - `admin/`: migrations, grants, keys.
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
