//! The only place with SQL for writing: the binary COPY encoder, the write
//! ladder, the merging statements, migrations, and the private Postgres.

mod aliases;
mod batch;
mod connection;
pub mod copy;
mod dead_letters;
mod error;
mod grant;
mod keys;
mod ledger;
mod merge;
mod migrate;
mod nagle;
mod outage;
mod outcome;
mod pg_time;
mod plan;
pub mod postgres;
mod roots;
pub mod rows;
mod runs;
mod session;
mod sums;
mod tenancy;
mod writer;

pub use aliases::Aliases;
pub use connection::connect;
pub use dead_letters::{drop_dead_letters, mark_replayed};
pub use error::{is_not_migrated, is_outage, reason, sqlstate};
pub use grant::{Grant, GrantError, grant};
pub use keys::{KeyError, create_key, load_keys, revoke_key};
pub use ledger::{Reading, ShardCounts, SpoolIdentity};
pub use migrate::{MIGRATIONS, migrate};
pub use nagle::turn_off as turn_off_nagle;
pub use outcome::{Fate, Tally};
pub use roots::settle_bridged_runs;
pub use runs::settle_runs;
pub use writer::{Unsettled, WhenAway, Writer, WriterConfig};
