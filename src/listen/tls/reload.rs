//! Reloads the TLS files when they change. It compares their content, because the
//! modification times say nothing if a link is switched to another file.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::config::Contents;
use super::error::TlsError;
use super::files::TlsFiles;
use super::leaf::leaf_fault;
use super::validity::first_expiry;

/// How often the files are read.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How often an expiring certificate is logged.
const REMINDER_INTERVAL: Duration = Duration::from_secs(86_400);
/// How long before it expires a certificate is first logged.
pub(super) const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The TLS configuration for new connections, from the latest usable files.
#[derive(Clone, Debug)]
pub struct Tls(watch::Receiver<Arc<ServerConfig>>);

impl Tls {
    pub(in crate::listen) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.borrow().clone())
    }
}

/// Reads the files and updates [`Tls`].
pub struct TlsReloader {
    files: TlsFiles,
    /// The files as last read, usable or not; an error as text.
    last_read: Result<Contents, String>,
    current: watch::Sender<Arc<ServerConfig>>,
    chain: Vec<CertificateDer<'static>>,
    reminded: Instant,
}

impl TlsReloader {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn load(files: TlsFiles) -> Result<(Self, Tls), TlsError> {
        let contents = Contents::read(&files)?;
        let config = contents.server_config(&files)?;
        let (current, receiver) = watch::channel(Arc::new(config));
        let mut reloader = Self {
            chain: contents.chain(&files.cert)?,
            files,
            last_read: Ok(contents),
            current,
            reminded: Instant::now(),
        };
        reloader.remind();
        Ok((reloader, Tls(receiver)))
    }

    /// Reloads the files until `stop`. New connections use new files. Unusable files
    /// change nothing.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let files = self.files.clone();
            let Ok(read) = tokio::task::spawn_blocking(move || Contents::read(&files)).await else {
                continue;
            };
            self.apply(read);
            if self.reminded.elapsed() > REMINDER_INTERVAL {
                self.remind();
            }
        }
    }

    fn apply(&mut self, read: Result<Contents, TlsError>) {
        let (now, error) = match read {
            Ok(contents) => (Ok(contents), None),
            Err(error) => (Err(error.to_string()), Some(error)),
        };
        if now == self.last_read {
            return;
        }
        let config = match (&now, error) {
            (Ok(contents), _) => contents.server_config(&self.files),
            (Err(_), Some(error)) => Err(error),
            (Err(_), None) => return,
        };
        match config {
            Ok(config) => {
                self.current.send_replace(Arc::new(config));
                tracing::info!(cert = %self.files.cert.display(), "TLS files changed; new connections use them");
                if let Ok(contents) = &now {
                    self.chain = contents.chain(&self.files.cert).unwrap_or_default();
                    self.remind();
                }
            }
            Err(error) => {
                tracing::error!(%error, "TLS files changed and cannot be used; the previous ones stay in use");
            }
        }
        self.last_read = now;
    }

    fn remind(&mut self) {
        self.reminded = Instant::now();
        let cert = self.files.cert.display();
        let fault = self
            .chain
            .first()
            .and_then(|own| leaf_fault(own, UnixTime::now()));
        if let Some(fault) = fault {
            // WARN: some clients may have been told to accept it.
            tracing::warn!(%cert, "--tls-cert {fault}: {}", fault.advice());
            return;
        }
        let Some(end) = first_expiry(&self.chain) else {
            return;
        };
        let left = end.duration_since(Timestamp::now());
        if left.is_negative() {
            tracing::warn!(%cert, %end, "an intermediate certificate of --tls-cert has expired; clients will reject it");
        } else if left < EXPIRES_SOON {
            tracing::warn!(%cert, %end, "the TLS certificate expires soon");
        }
    }
}
