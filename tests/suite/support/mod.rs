//! What the tests stand on.

pub mod pg;
pub mod watchdog;
