//! The tests that need a real Postgres, in one program so that they share it.

// clippy.toml lets tests do these, but not the functions that tests share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod alerts;
mod bad_input;
mod bench;
mod bridged;
mod chaos;
mod clients;
mod clocks;
mod concurrency;
mod contents;
mod copy_rows;
mod dashboards;
mod demo;
mod docs;
mod doctor;
mod drain;
mod epochs;
mod finalize;
mod health;
mod histograms;
mod hostile;
mod http_events;
mod jsonb;
mod keys;
mod kill;
mod ledger;
mod limits;
mod mask;
mod messages;
mod months;
mod order;
mod otlp;
mod otlp_doors;
mod page;
mod plans;
mod pressure;
mod private_postgres;
mod restore;
mod retention;
mod rls;
mod role;
mod schema;
mod send;
mod servers;
mod sessions;
mod slots;
mod spans;
mod spool;
mod streams;
mod sums;
mod support;
mod telemetry;
mod tls;
mod totals;
mod views;
mod web;
