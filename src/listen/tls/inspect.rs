//! What TLS files hold, for people who check them before a daemon uses them.

use std::os::unix::fs::PermissionsExt as _;

use jiff::Timestamp;
use rustls::pki_types::UnixTime;

use super::config::Contents;
use super::error::TlsError;
use super::files::TlsFiles;
use super::leaf::{LeafFault, leaf_fault, leaf_names};
use super::reload::EXPIRES_SOON;
use super::validity::first_expiry;

/// Permission bits that let others than the owner and the group read a file.
const OTHERS_MAY_READ: u32 = 0o004;

/// What usable TLS files hold.
#[derive(Clone, Debug)]
pub struct TlsReport {
    /// The first fault for which clients refuse the certificate.
    pub fault: Option<LeafFault>,
    /// The names and addresses of the certificate.
    pub names: Vec<String>,
    /// When the first certificate of the chain expires.
    pub expires: Option<Timestamp>,
    /// Whether that is soon.
    pub expires_soon: bool,
    /// Whether every user of the machine may read the private key.
    pub key_is_open: bool,
}

/// Reads TLS files as a daemon would.
///
/// # Errors
/// If a daemon cannot use them.
pub fn inspect_tls(files: &TlsFiles) -> Result<TlsReport, TlsError> {
    let contents = Contents::read(files)?;
    contents.server_config(files)?;
    let chain = contents.chain(&files.cert)?;
    let own = chain.first();
    let expires = first_expiry(&chain);
    let mode = std::fs::metadata(&files.key).map(|found| found.permissions().mode());
    Ok(TlsReport {
        fault: own.and_then(|own| leaf_fault(own, UnixTime::now())),
        names: own.map(|own| leaf_names(own)).unwrap_or_default(),
        expires,
        expires_soon: expires
            .is_some_and(|end| end.duration_since(Timestamp::now()) < EXPIRES_SOON),
        key_is_open: mode.is_ok_and(|mode| mode & OTHERS_MAY_READ != 0),
    })
}
