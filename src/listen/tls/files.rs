//! Where certificates and keys are.

use std::path::PathBuf;

/// Files in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, then the intermediate certificates up to a root.
    pub cert: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
    /// The roots that client certificates must chain to. `None`: clients need no
    /// certificate.
    pub client_ca: Option<PathBuf>,
}
