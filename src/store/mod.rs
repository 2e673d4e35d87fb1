//! All SQL that writes, except the statements of the sweeper.
//!
//! - `encode/`: turns events into Postgres values and the binary COPY format.
//! - `plan/`: sorts the events of a batch by table and by run.
//! - `batch/`: writes one batch in one transaction.
//! - `layout`: how the database keeps its rows.
//! - `schema`: which schema this version writes, and by which rules.
//! - `servers`: which server of a store has a run.
//! - `session/`: connections, limits on the server, and who may write.
//! - `writer/`: the write ladder, outages, dead letters and the ledger.
//! - `admin/`: migrations, grants and keys.
//! - `sql/`: the statements.

mod admin;
mod batch;
pub mod encode;
mod error;
mod layout;
mod outcome;
mod plan;
mod schema;
mod servers;
mod session;
mod writer;

pub use admin::{
    CustomerTables, DecidedBy, ExportFormat, ExportedFile, Grant, GrantError, JoinError, KeyError,
    MigrationEffects, NewCustomer, PREBUILT_INDEXES, PartitionError, PendingMigrations, PlaceError,
    PrebuiltIndex, PriceRow, READER_ROLE, SlotError, SlotMove, add_customer, build_search_index,
    catalog_models, common_store, create_key, customer_tables, decide_approval, export_migrations,
    find_customer_tables, grant, grant_reader, has_traces, join_store, leave_slot_move, load_keys,
    migrate, migration_effects, migration_name, move_to_slots, partition_by_month,
    pending_migrations, place_customer_tables, place_refusal, prepare_months, revoke_key,
    set_price, unpriced_keys, unpriced_models, write_catalog_prices,
};
pub use batch::{RunSizes, few_rows, postpone, postponed, settle_bridged_runs, settle_closed_runs};
pub use error::{
    Unfit, is_conflict, is_lock_timeout, is_misplaced, is_not_migrated, is_outage, is_passing,
    is_timeout, is_unfit, needs_person, reason, sqlstate, timed_out, unfit,
};
pub use layout::{SLOT_TABLES, SlotCount, TraceLayout, TracePlace, share_of};
pub use outcome::{ContentBytes, EventOutcome, OutcomeCounts};
pub use schema::{
    EPOCH_LOCK_CLASS, MIGRATIONS, WRITE_EPOCH, check as check_schema, check_before_migration,
    check_server,
};
pub use servers::{StorePlace, StoreServer, server_of};
pub use session::{Session, SessionUse, identify_database, turn_off_nagle};
pub use writer::{
    CountsReading, NewDeadLetter, RefusedPart, ReplayError, ShardCounts, Unwritten, WhenAway,
    Writer, WriterConfig, drop_dead_letters, mark_replayed,
};
