//! Everything that speaks SQL to write, and the Postgres it speaks to.

pub mod postgres;
