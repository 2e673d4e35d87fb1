//! Watches the files. Their content is compared rather than their times, since
//! they may be links that are switched.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::config::Contents;
use super::validity::not_after;
use super::{Tls, TlsError, TlsFiles};

/// Between two looks at the files.
const POLL: Duration = Duration::from_secs(1);
/// Between two words about a certificate that ends.
const REMINDER: Duration = Duration::from_secs(86_400);
/// How long before its end a certificate is spoken of.
const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Gives [`Tls`] what stands in the files.
pub struct TlsReloader {
    files: TlsFiles,
    /// What the files held at the last look, good or not.
    seen: Result<Contents, String>,
    current: watch::Sender<Arc<ServerConfig>>,
    not_after: Option<Timestamp>,
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
            not_after: end_of(&contents, &files),
            files,
            seen: Ok(contents),
            current,
            reminded: Instant::now(),
        };
        reloader.remind();
        Ok((reloader, Tls(receiver)))
    }

    /// Follows the files until `stop`. New files are for new connections; those
    /// that cannot be used change nothing.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut looks = interval(POLL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = looks.tick() => {}
            }
            let files = self.files.clone();
            let Ok(read) = tokio::task::spawn_blocking(move || Contents::read(&files)).await else {
                continue;
            };
            self.look(read);
            if self.reminded.elapsed() > REMINDER {
                self.remind();
            }
        }
    }

    fn look(&mut self, read: Result<Contents, TlsError>) {
        let (now, error) = match read {
            Ok(contents) => (Ok(contents), None),
            Err(error) => (Err(error.to_string()), Some(error)),
        };
        if now == self.seen {
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
                    self.not_after = end_of(contents, &self.files);
                    self.remind();
                }
            }
            Err(error) => {
                tracing::error!(%error, "TLS files changed and cannot be used; those before stay in use");
            }
        }
        self.seen = now;
    }

    fn remind(&mut self) {
        self.reminded = Instant::now();
        let Some(end) = self.not_after else { return };
        let left = end.duration_since(Timestamp::now());
        let cert = self.files.cert.display();
        if left.is_negative() {
            tracing::warn!(%cert, %end, "the TLS certificate has expired; clients will refuse it");
        } else if left < SOON {
            tracing::warn!(%cert, %end, "the TLS certificate expires soon");
        }
    }
}

/// When the first of the chain to end does.
fn end_of(contents: &Contents, files: &TlsFiles) -> Option<Timestamp> {
    let chain = contents.chain(&files.cert).ok()?;
    chain.iter().filter_map(|one| not_after(one)).min()
}
