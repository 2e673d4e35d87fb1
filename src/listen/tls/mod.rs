//! TLS at both endpoints, from files that are reloaded when they change; and making such files.

mod config;
mod error;
mod files;
mod inspect;
mod issue;
mod leaf;
mod reload;
mod validity;

pub use config::read_authorities;
pub use error::TlsError;
pub use files::TlsFiles;
pub use inspect::{TlsReport, inspect_tls};
pub use issue::{IssueError, IssuedFiles, MAX_CERT_DAYS, issue_certificate};
pub use leaf::{LeafFault, USE_SERVER_CERTIFICATE, is_ca_as_server, is_old_version};
pub use reload::{Tls, TlsReloader};
