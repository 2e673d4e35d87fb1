//! Accepting connections: one accept loop, used by both endpoints. It enforces the
//! limits that apply before a request: open connections, TLS, and timely first bytes.
//!
//! `ingest/` and `telemetry/` handle the requests.

mod accept;
mod activity;
mod client;
mod connection;
mod counts;
mod files;
mod io;
mod limits;
mod places;
mod requests;
mod tls;
mod windows;

pub use accept::{Endpoint, serve};
pub use client::{ClientConnection, ClientEnds};
pub use counts::{ENDPOINT_NAMES, EndReason, EndpointCounts};
pub use files::raise_file_limit;
pub use limits::ConnectionLimits;
pub use requests::RequestLimit;
pub use tls::{
    IssueError, IssuedFiles, LeafFault, MAX_CERT_DAYS, Tls, TlsError, TlsFiles, TlsReloader,
    TlsReport, USE_SERVER_CERTIFICATE, inspect_tls, is_ca_as_server, is_old_version,
    issue_certificate, read_authorities,
};
pub use windows::WindowBudget;
