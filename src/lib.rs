//! runtraced receives live traces of LLM-agent runs over gRPC, writes them to
//! Postgres with COPY, and finalizes each run.
//!
//! The modules are listed in the order in which an event passes through them.
//! The rest follows: the daemon and its commands, then tools.

/// Reads each field of a struct from the column of its name.
///
/// `#[derive(sqlx::FromRow)]` does the same, but builds sqlx, tokio and rustls a second time, for
/// the compiler.
macro_rules! from_row {
    ($row:ident { $($field:ident),+ $(,)? }) => {
        impl sqlx::FromRow<'_, sqlx::postgres::PgRow> for $row {
            fn from_row(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
                use sqlx::Row as _;
                Ok(Self { $($field: row.try_get(stringify!($field))?),+ })
            }
        }
    };
}

/// The generated protocol. The client's crate holds it.
pub use runtraced_client::proto;

pub mod listen;

pub mod auth;
pub mod ingest;

pub mod event;
pub mod histograms;
pub mod mask;
pub mod own_spans;

pub mod pipeline;

pub mod store;

pub mod spool;

pub mod finalize;
pub mod reap;

pub mod telemetry;

pub mod app;
pub mod bench;
pub mod capacity;
pub mod cli;
pub mod config;
pub mod doctor;

pub mod console;
pub mod json_mapping;
pub mod postgres;
pub mod prices;
pub mod query;
pub mod web;
