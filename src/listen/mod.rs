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
pub use tls::{Tls, TlsError, TlsFiles, TlsReloader};
pub use windows::WindowBudget;
