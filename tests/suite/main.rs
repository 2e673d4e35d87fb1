//! The tests that need a real Postgres, in one program so that they share it.

// clippy.toml lets tests do these, but not the functions that tests share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod demo;
mod docs;
mod order;
mod private_postgres;
mod python;
mod rls;
mod schema;
mod send;
mod support;
mod views;
