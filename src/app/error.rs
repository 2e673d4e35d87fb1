//! Why the daemon did not start, or did not end cleanly.

use std::net::SocketAddr;
use std::path::PathBuf;

use opentelemetry_otlp::ExporterBuildError;

use super::database::DatabaseError;
use crate::listen::TlsError;
use crate::spool::SpoolError;

/// Why the daemon did not start or run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address is in use or does not belong to this machine.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A task of the daemon failed.
    #[error("{0}")]
    Task(String),
    /// The system refused a thread or a socket.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The spool belongs to a daemon with more servers, or fewer.
    #[error(
        "{} holds events, and not for the number of servers that this daemon has, which is {servers}: their runs belong elsewhere. Give this daemon another --spool-dir, and send them with `runtraced spool replay`",
        folder.display()
    )]
    #[allow(missing_docs)]
    OtherServers { folder: PathBuf, servers: usize },
    /// The TLS files cannot be used.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// The keys of tokens cannot be used.
    #[error("--jwt-keys {}: {reason}", file.display())]
    JwtKeys {
        /// The file.
        file: PathBuf,
        /// The cause.
        reason: String,
    },
    /// The key of masks cannot be used.
    #[error("the key of masks, {}: {reason}", file.display())]
    MaskKey {
        /// The file.
        file: PathBuf,
        /// The cause.
        reason: String,
    },
    /// The rules of masks cannot be used together.
    #[error("the rules of --mask: {reason}; give fewer prefixes and names")]
    MaskRules {
        /// The cause.
        reason: String,
    },
    /// The collector of the daemon's own spans is the daemon itself.
    #[error(
        "--otel-endpoint {endpoint} is the {name} endpoint of this daemon; name another collector"
    )]
    OwnEndpoint {
        /// The URL.
        endpoint: String,
        /// The endpoint of the daemon.
        name: &'static str,
    },
    /// The authorities of the collector cannot be used.
    #[error("the certificates of --otel-ca or $OTEL_EXPORTER_OTLP_CERTIFICATE: {0}")]
    CollectorTrust(TlsError),
    /// The daemon's own spans cannot be sent.
    #[error("--otel-endpoint: {0}")]
    OwnSpans(#[from] ExporterBuildError),
    /// The drain deadline passed before all events were settled.
    #[error("shut down with {0} events not settled; their clients must send them again")]
    Unsettled(u64),
}
