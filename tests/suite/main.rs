//! The tests that need a real Postgres, in one program so that they share it.

// clippy.toml lets tests do these, but not the functions that tests share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod clocks;
mod concurrency;
mod demo;
mod drain;
mod finalize;
mod health;
mod kill;
mod order;
mod private_postgres;
mod python;
mod rls;
mod schema;
mod send;
mod support;
mod totals;
mod views;
