//! TLS at both doors: from files, which are read again when they change.

mod config;
mod reload;
mod validity;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

pub use reload::TlsReloader;

/// Files in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, then those between it and a root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Roots that clients' certificates must come from; without it clients
    /// need none.
    pub client_ca: Option<PathBuf>,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Missing, or not ours to read.
    #[error("{file} cannot be read: {source}")]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{0} holds no certificate in PEM")]
    NoCertificate(PathBuf),
    /// It is something else, or encrypted.
    #[error("{0} holds no private key in PEM (an encrypted one will not do)")]
    NoKey(PathBuf),
    /// They belong to different certificates.
    #[error("the key in {key} is not that of the certificate in {cert}")]
    Mismatch {
        /// The one file.
        cert: PathBuf,
        /// The other.
        key: PathBuf,
    },
    /// A certificate, or a key, that TLS has no use for.
    #[error("{file}: {reason}")]
    Unusable {
        /// Which.
        file: PathBuf,
        /// Why.
        reason: String,
    },
}

/// What new connections are given; the one of the latest good files.
#[derive(Clone, Debug)]
pub struct Tls(watch::Receiver<Arc<ServerConfig>>);

impl Tls {
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.borrow().clone())
    }
}
