//! The commands. Each has a module; this one only gathers them.

pub mod database;
pub mod output;
pub mod psql;
pub mod runs;
pub mod send;
pub mod timeline;
