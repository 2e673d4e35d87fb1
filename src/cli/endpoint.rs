//! The daemon that a command talks to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::client::{Client, ClientError, ClientTls, RetryPolicy};

/// Where it is, how it is trusted, and as whom one comes.
#[derive(Clone, clap::Args)]
pub struct EndpointArgs {
    /// The daemon's gRPC address.
    #[arg(
        long,
        env = "RUNTRACED_ENDPOINT",
        default_value = "http://127.0.0.1:4317"
    )]
    pub endpoint: String,
    /// A key of `runtraced keys create`. Better in the variable: other users of the
    /// machine may see a command line.
    #[arg(long, env = "RUNTRACED_KEY", hide_env_values = true)]
    pub key: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields say
    pub tls: ClientTlsArgs,
}

// Not derived: the key is in no log.
impl std::fmt::Debug for EndpointArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointArgs")
            .field("endpoint", &self.endpoint)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// For a daemon with TLS.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ClientTlsArgs {
    /// With https: trust these certificates, in PEM, instead of the public roots.
    #[arg(long, env = "RUNTRACED_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// With https: the certificate to show, in PEM (mutual TLS).
    #[arg(
        long,
        env = "RUNTRACED_CLIENT_CERT",
        value_name = "FILE",
        requires = "client_key"
    )]
    pub client_cert: Option<PathBuf>,
    /// The private key of --client-cert, in PEM.
    #[arg(
        long,
        env = "RUNTRACED_CLIENT_KEY",
        value_name = "FILE",
        requires = "client_cert"
    )]
    pub client_key: Option<PathBuf>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages tell
pub enum EndpointError {
    #[error("{file}: {source}")]
    File {
        file: PathBuf,
        source: std::io::Error,
    },
    #[error("{}", with_sources(.0))]
    Client(#[from] ClientError),
}

impl EndpointError {
    /// For the exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        use crate::console::output::{EXIT_NO_INPUT, EXIT_UNAVAILABLE, EXIT_USAGE};
        match self {
            Self::File { .. } => EXIT_NO_INPUT,
            Self::Client(ClientError::Endpoint(_) | ClientError::Tls(_) | ClientError::Key) => {
                EXIT_USAGE
            }
            Self::Client(_) => EXIT_UNAVAILABLE,
        }
    }
}

impl EndpointArgs {
    /// Connects.
    ///
    /// # Errors
    /// When a file cannot be read or the daemon cannot be reached.
    pub async fn connect(&self, retry: RetryPolicy) -> Result<Client, EndpointError> {
        let tls = self.tls.read()?;
        let client = Client::connect_tls(&self.endpoint, tls, retry).await?;
        Ok(match self.key.as_deref() {
            // Set but empty is how scripts say that a variable is not set.
            None | Some("") => client,
            Some(key) => client.with_key(key)?,
        })
    }
}

impl ClientTlsArgs {
    /// For what is no gRPC.
    ///
    /// # Errors
    /// When a file cannot be read or used.
    pub fn connector(&self) -> anyhow::Result<TlsConnector> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(ca) => {
                for root in CertificateDer::pem_slice_iter(&read(ca)?) {
                    roots.add(root?)?;
                }
            }
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match (&self.client_cert, &self.client_key) {
            (Some(cert), Some(key)) => {
                let chain =
                    CertificateDer::pem_slice_iter(&read(cert)?).collect::<Result<_, _>>()?;
                config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&read(key)?)?)?
            }
            _ => config.with_no_client_auth(),
        };
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn read(&self) -> Result<ClientTls, EndpointError> {
        let mut tls = ClientTls::default();
        if let Some(ca) = &self.ca {
            tls = tls.trust(read(ca)?);
        }
        if let (Some(cert), Some(key)) = (&self.client_cert, &self.client_key) {
            tls = tls.identify(read(cert)?, read(key)?);
        }
        Ok(tls)
    }
}

fn read(file: &Path) -> Result<Vec<u8>, EndpointError> {
    std::fs::read(file).map_err(|source| EndpointError::File {
        file: file.to_owned(),
        source,
    })
}

/// With TLS the first message says only that there is no connection.
fn with_sources(error: &ClientError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
