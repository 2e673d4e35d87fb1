//! What the tests stand on.

pub mod daemon;
pub mod events;
pub mod load;
pub mod pg;
pub mod random;
pub mod stream;
pub mod tables;
pub mod watchdog;
