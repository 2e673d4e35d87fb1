//! `runtraced serve`.

use std::process::ExitCode;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::signal::unix::{SignalKind, signal};

use super::failure::{USE_SERVER_CERTIFICATE, is_ca_as_server};
use crate::app::App;
use crate::config::{Config, ServeArgs};
use crate::listen::{TlsFiles, raise_file_limit};
use crate::telemetry::init_logs;

/// Open files beside connections: spool, database, logs.
const OTHER_FILES: u64 = 128;

/// Runs the daemon until SIGINT or SIGTERM.
///
/// # Errors
/// If it cannot start, or did not settle everything.
pub async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let config = args.config()?;
    init_logs();
    warn_of_few_files(&config);
    let tls = config.tls.clone();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let app = App::build(config).await?;
    if let Some(files) = tls {
        warn_of_ca_certificate(&files);
    }
    app.run(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}

/// A connection that finds no free file would wait in vain.
fn warn_of_few_files(config: &Config) {
    // Each of the two endpoints may have as many.
    let needed = 2 * config.connections.connections as u64 + OTHER_FILES;
    match raise_file_limit() {
        Some(limit) if limit < needed => tracing::warn!(
            limit,
            needed,
            "the limit on open files is lower than --max-connections may need: raise it (ulimit -n)"
        ),
        _ => {}
    }
}

/// Some clients accept a CA certificate as a server's own; those of rustls, Go and Java do
/// not, and fail with a message that few people understand.
fn warn_of_ca_certificate(files: &TlsFiles) {
    let Ok(pem) = std::fs::read(&files.cert) else {
        return;
    };
    let Some(Ok(own)) = CertificateDer::pem_slice_iter(&pem).next() else {
        return;
    };
    if is_ca_certificate(&own) {
        tracing::warn!(
            cert = %files.cert.display(),
            "--tls-cert is a CA certificate, which many clients refuse: {USE_SERVER_CERTIFICATE}"
        );
    }
}

/// Asks the verifier that our own client uses.
fn is_ca_certificate(certificate: &CertificateDer<'_>) -> bool {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let (Ok(verifier), Ok(name)) = (verifier, ServerName::try_from("localhost")) else {
        return false;
    };
    let verified = verifier.verify_server_cert(certificate, &[], &name, &[], UnixTime::now());
    verified.is_err_and(|error| is_ca_as_server(&error))
}
