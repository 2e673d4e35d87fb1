//! Why the TLS files cannot be used.

use std::path::PathBuf;

use super::leaf::LeafFault;

/// Why the TLS files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing, or the daemon may not read it.
    #[error("cannot read {file}: {source}")]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file holds something else.
    #[error("{0} holds no certificate in PEM")]
    NoCertificate(PathBuf),
    /// A file holds something else, or an encrypted key.
    #[error("{0} holds no private key in PEM (encrypted keys are not supported)")]
    NoKey(PathBuf),
    /// Key and certificate do not belong together.
    #[error("the key in {key} does not belong to the certificate in {cert}")]
    Mismatch {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// No client takes a certificate of version 1.
    #[error("{} {}; {}", .0.display(), LeafFault::Version1, LeafFault::Version1.advice())]
    OldVersion(PathBuf),
    /// TLS cannot use a certificate or key.
    #[error("{file}: {reason}")]
    Unusable {
        /// The file.
        file: PathBuf,
        /// The cause.
        reason: String,
    },
}
