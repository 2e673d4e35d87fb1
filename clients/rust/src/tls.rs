//! TLS of a client: the authorities it trusts and its own certificate.

use std::fmt;

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::ClientError;

/// TLS settings for `https://` endpoints. By default a client trusts the public
/// certificate authorities.
#[derive(Clone, Default)]
pub struct ClientTls {
    roots: Option<Certificate>,
    identity: Option<Identity>,
}

impl ClientTls {
    /// Trusts these certificate authorities, in PEM, and no others.
    #[must_use]
    pub fn trust(mut self, roots_pem: impl AsRef<[u8]>) -> Self {
        self.roots = Some(Certificate::from_pem(roots_pem));
        self
    }

    /// Presents this certificate to a daemon that asks for one (mutual TLS).
    #[must_use]
    pub fn identify(mut self, chain_pem: impl AsRef<[u8]>, key_pem: impl AsRef<[u8]>) -> Self {
        self.identity = Some(Identity::from_pem(chain_pem, key_pem));
        self
    }

    pub(super) fn apply(self, endpoint: Endpoint) -> Result<Endpoint, ClientError> {
        let config = ClientTlsConfig::new();
        let config = match self.roots {
            Some(roots) => config.ca_certificate(roots),
            None => config.with_webpki_roots(),
        };
        let config = match self.identity {
            Some(identity) => config.identity(identity),
            None => config,
        };
        endpoint.tls_config(config).map_err(ClientError::Tls)
    }
}

// Not derived: the identity holds the private key.
impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("roots", &self.roots.is_some())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}
