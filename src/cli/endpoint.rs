//! The daemon that a command talks to: its address, TLS and key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::Uri;
use runtraced_client::{Client, ClientError, ClientTls, RetryPolicy, check_endpoint};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tonic::Code;

use super::failure;
use super::output::{self, EXIT_NO_INPUT, EXIT_UNAVAILABLE, EXIT_USAGE};
use crate::config::{FlagReader, FlagValue};

/// The daemon's endpoint, and the key to send with.
#[derive(Clone, clap::Args)]
pub struct EndpointArgs {
    /// Address of the daemon, with the port of gRPC or of HTTP; https:// for a daemon with TLS.
    #[arg(
        long,
        env = "RUNTRACED_ENDPOINT",
        default_value = "http://127.0.0.1:4317",
        value_name = "URL"
    )]
    pub endpoint: FlagValue,
    /// A key of `runtraced keys create`. Prefer the variable: other users of the machine
    /// can see command lines.
    #[arg(long, env = "RUNTRACED_KEY", hide_env_values = true)]
    pub key: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields are documented
    pub tls: ClientTlsArgs,
}

// Not derived: the key must not appear in logs.
impl std::fmt::Debug for EndpointArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointArgs")
            .field("endpoint", &self.endpoint)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// TLS to a daemon.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ClientTlsArgs {
    /// With https: certificates of the authorities to trust, in PEM, instead of the public
    /// ones.
    #[arg(long, env = "RUNTRACED_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// With https: client certificate, in PEM (mutual TLS).
    #[arg(
        long,
        env = "RUNTRACED_CLIENT_CERT",
        value_name = "FILE",
        requires = "client_key"
    )]
    pub client_cert: Option<PathBuf>,
    /// Private key of --client-cert, in PEM.
    #[arg(
        long,
        env = "RUNTRACED_CLIENT_KEY",
        value_name = "FILE",
        requires = "client_cert"
    )]
    pub client_key: Option<PathBuf>,
}

/// Why a command has no daemon.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages tell
pub enum EndpointError {
    #[error("cannot read {}", file.display())]
    File {
        file: PathBuf,
        source: std::io::Error,
    },
    #[error("{} holds no {what} in PEM", file.display())]
    NotPem { file: PathBuf, what: &'static str },
    #[error("{text}")]
    Client { text: String, exit_code: u8 },
}

impl EndpointError {
    /// The exit code of the command.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::File { .. } | Self::NotPem { .. } => EXIT_NO_INPUT,
            Self::Client { exit_code, .. } => *exit_code,
        }
    }
}

impl EndpointArgs {
    /// Checks the address's syntax.
    pub fn check(&self, flags: &mut FlagReader) {
        if let Err(error) = check_endpoint(self.endpoint.text()) {
            flags.fault(format!("{}: {error}", self.endpoint.name()));
        }
    }

    /// Connects. Says on stderr when it has to retry, then and later. Clients of other
    /// languages send to the HTTP endpoint, and share the variable: from there it goes on to
    /// the port of gRPC on the same machine.
    ///
    /// # Errors
    /// If a file cannot be read or the daemon cannot be reached.
    pub async fn connect(&self, retry: RetryPolicy) -> Result<Client, EndpointError> {
        let given = self.endpoint.text();
        let client = self.open(given, retry).await?;
        let client = match client.grpc_port().await {
            None => client,
            Some(port) => {
                let moved = with_port(given, port)
                    .ok_or_else(|| self.error(&ClientError::Endpoint(given.to_owned())))?;
                self.open(&moved, retry).await?
            }
        };
        match self.key.as_deref() {
            // Scripts set a variable to nothing to say that it is not set.
            None | Some("") => Ok(client),
            Some(key) => client.with_key(key).map_err(|error| self.error(&error)),
        }
    }

    async fn open(&self, endpoint: &str, retry: RetryPolicy) -> Result<Client, EndpointError> {
        let tls = self.tls.read()?;
        let (args, address) = (self.clone(), endpoint.to_owned());
        let on_outage = move |error: &ClientError| {
            let (cause, limit) = (args.cause(&address, error), retry.give_up_after);
            output::warn(format_args!("{cause}; retrying for up to {limit:?}"));
        };
        Client::connect_observed(endpoint, tls, retry, on_outage)
            .await
            .map_err(|error| self.error(&error))
    }

    /// What went wrong and what to do about it, for the end of the command.
    pub fn error(&self, error: &ClientError) -> EndpointError {
        let advice = match error {
            ClientError::Unreachable { .. } => {
                "; start it with `runtraced serve`, or correct --endpoint (RUNTRACED_ENDPOINT)"
            }
            ClientError::Refused(status) if status.code() == Code::Unauthenticated => {
                "; give a valid key in RUNTRACED_KEY or with --key"
            }
            ClientError::Key => "; copy it again as `runtraced keys create` printed it",
            _ => "",
        };
        EndpointError::Client {
            text: self.cause(self.endpoint.text(), error) + advice,
            exit_code: match error {
                ClientError::Endpoint(_) | ClientError::Tls(_) | ClientError::Key => EXIT_USAGE,
                _ => EXIT_UNAVAILABLE,
            },
        }
    }

    fn cause(&self, endpoint: &str, error: &ClientError) -> String {
        let Some(cause) = error.broken_connection() else {
            return failure::explain(error);
        };
        let cause = failure::explain(cause);
        if cause == failure::CONNECTION_REFUSED {
            return format!("no daemon answers at {endpoint}: {cause}");
        }
        let text = format!("the connection to {endpoint} broke: {cause}");
        // Both sides of a mistake with TLS see no more than that the other one hung up.
        match endpoint.strip_prefix("http://") {
            _ if cause.contains("; ") => text, // the cause has its own advice
            Some(address) => {
                format!("{text}; if the daemon uses TLS, write --endpoint https://{address}")
            }
            None if self.tls.client_cert.is_none() => format!(
                "{text}; if the daemon requires client certificates, give --client-cert and \
                 --client-key"
            ),
            None => format!("{text}; check that the daemon trusts --client-cert"),
        }
    }
}

/// The same address with another port.
fn with_port(endpoint: &str, port: u16) -> Option<String> {
    let address: Uri = endpoint.parse().ok()?;
    let (scheme, host) = (address.scheme_str()?, address.host()?);
    Some(format!("{scheme}://{host}:{port}"))
}

impl ClientTlsArgs {
    /// For connections that are not gRPC.
    ///
    /// # Errors
    /// If a file cannot be read or used.
    pub fn connector(&self) -> anyhow::Result<TlsConnector> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(ca) => {
                for root in certificates(ca)? {
                    roots.add(root)?;
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
                config.with_client_auth_cert(certificates(cert)?, private_key(key)?)?
            }
            _ => config.with_no_client_auth(),
        };
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn read(&self) -> Result<ClientTls, EndpointError> {
        let mut tls = ClientTls::default();
        if let Some(ca) = &self.ca {
            certificates(ca)?;
            tls = tls.trust(read(ca)?);
        }
        if let (Some(cert), Some(key)) = (&self.client_cert, &self.client_key) {
            certificates(cert)?;
            private_key(key)?;
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

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, EndpointError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(file)?).collect();
    let found = found.unwrap_or_default();
    if found.is_empty() {
        return Err(not_pem(file, "certificate"));
    }
    Ok(found)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, EndpointError> {
    PrivateKeyDer::from_pem_slice(&read(file)?)
        .map_err(|_| not_pem(file, "unencrypted private key"))
}

fn not_pem(file: &Path, what: &'static str) -> EndpointError {
    EndpointError::NotPem {
        file: file.to_owned(),
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_port_of_an_address_changes() {
        for (given, moved) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:9"),
            ("https://traces.lan/", "https://traces.lan:9"),
            ("http://[::1]:4318", "http://[::1]:9"),
        ] {
            assert_eq!(with_port(given, 9).as_deref(), Some(moved));
        }
        assert_eq!(with_port("", 9), None);
    }
}
