//! Builds the rustls configuration from the content of the files.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::error::TlsError;
use super::files::TlsFiles;
use super::leaf::is_old_version;

/// The ALPN protocols, in order of preference.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The content of the files. Not `Debug`, because it holds the private key.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Contents {
    pub(super) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self {
            cert: read(&files.cert)?,
            key: read(&files.key)?,
            client_ca: files.client_ca.as_deref().map(read).transpose()?,
        })
    }

    /// The certificate chain, starting with the daemon's certificate.
    pub(super) fn chain(&self, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        certificates(&self.cert, file)
    }

    pub(super) fn server_config(&self, files: &TlsFiles) -> Result<ServerConfig, TlsError> {
        let chain = self.chain(&files.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| TlsError::NoKey(files.key.clone()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&files.cert, &error))?;
        let builder = match (&self.client_ca, &files.client_ca) {
            (Some(content), Some(file)) => {
                let roots = Arc::new(authorities(content, file)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(|error| unusable(file, &error))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => TlsError::Mismatch {
                    cert: files.cert.clone(),
                    key: files.key.clone(),
                },
                error if is_old_version(&error) => TlsError::OldVersion(files.cert.clone()),
                error => unusable(&files.cert, &error),
            })?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Ok(config)
    }
}

/// A file with certificates of authorities, in PEM.
///
/// # Errors
/// If it cannot be read, or holds anything that cannot be trusted.
pub fn read_authorities(file: &Path) -> Result<Vec<u8>, TlsError> {
    let pem = read(file)?;
    authorities(&pem, file)?;
    Ok(pem)
}

fn authorities(pem: &[u8], file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in certificates(pem, file)? {
        roots.add(root).map_err(|error| unusable(file, &error))?;
    }
    Ok(roots)
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(file).map_err(|source| TlsError::Unreadable {
        file: file.to_owned(),
        source,
    })
}

fn unusable(file: &Path, reason: &dyn ToString) -> TlsError {
    TlsError::Unusable {
        file: file.to_owned(),
        reason: reason.to_string(),
    }
}

fn certificates(pem: &[u8], file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let none = || TlsError::NoCertificate(file.to_owned());
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| none())?;
    if all.is_empty() { Err(none()) } else { Ok(all) }
}
