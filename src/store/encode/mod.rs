//! From events to values that Postgres takes: the binary COPY format, the columns of
//! each table, times. Pure: no IO.

mod aliases;
pub mod copy;
mod pg_time;
pub mod rows;

pub use aliases::{AliasTarget, Aliases, MAX_DEPTH, OfRun};
pub use pg_time::PgTime;
