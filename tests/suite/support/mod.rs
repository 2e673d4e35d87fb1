//! What the tests stand on.

pub mod compressed;
pub mod daemon;
pub mod events;
pub mod hang;
pub mod load;
pub mod needed;
pub mod otlp;
pub mod pg;
pub mod process;
pub mod product;
pub mod random;
pub mod servers;
pub mod spool;
pub mod stream;
pub mod supabase;
pub mod tables;
pub mod valid;
pub mod venv;
pub mod watchdog;
pub mod wire;
pub mod writer;
