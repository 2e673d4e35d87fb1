//! Administration of the database: migrations, rights of roles, keys, and decisions of people.

mod concurrent_index;
mod customer_tables;
mod customers;
mod effects;
mod export;
mod grant;
mod keys;
mod migrate;
mod months;
mod patience;
mod pending;
mod prebuilt;
mod prices;
mod reader;
mod search_index;
mod servers;
mod slots;

pub use customer_tables::{
    CustomerTables, PlaceError, customer_tables, find_customer_tables, place_customer_tables,
    place_refusal,
};
pub use customers::{NewCustomer, add_customer};
pub use effects::{MigrationEffects, migration_effects};
pub use export::{ExportFormat, ExportedFile, export_migrations};
pub use grant::{Grant, GrantError, grant};
pub use keys::{KeyError, create_key, load_keys, revoke_key};
pub use migrate::migrate;
pub use months::{PartitionError, partition_by_month, prepare_months};
pub use pending::{PendingMigrations, migration_name, pending_migrations};
pub use prebuilt::{PREBUILT_INDEXES, PrebuiltIndex};
pub use prices::{
    PriceRow, catalog_models, set_price, unpriced_keys, unpriced_models, write_catalog_prices,
};
pub use reader::{DecidedBy, READER_ROLE, decide_approval, grant_reader};
pub use search_index::build_search_index;
pub use servers::{JoinError, common_store, has_traces, join_store};
pub use slots::{SlotError, SlotMove, leave_slot_move, move_to_slots};
