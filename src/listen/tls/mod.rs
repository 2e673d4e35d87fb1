//! TLS at both endpoints, from files that are reloaded when they change.

mod config;
mod error;
mod files;
mod reload;
mod validity;

pub use error::TlsError;
pub use files::TlsFiles;
pub use reload::{Tls, TlsReloader};
