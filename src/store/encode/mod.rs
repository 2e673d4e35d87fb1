//! Converts events to Postgres values: the binary COPY format, the columns of each
//! table, and timestamps. No IO happens here.

mod aliases;
pub mod copy;
mod pg_time;
pub mod rows;

pub use aliases::{AliasTarget, Aliases, MAX_DEPTH, NamedParent, RunScopedId};
pub use pg_time::PgTime;
