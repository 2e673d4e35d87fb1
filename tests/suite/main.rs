//! The tests that need a real Postgres, in one program so that they share it.

mod order;
mod private_postgres;
mod support;
