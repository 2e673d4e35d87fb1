//! The daemon's database: running the private Postgres, and migrating the schema.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::{database_address, parse_database_url};
use crate::listen::is_old_version;
use crate::postgres::{PrivateConfig, PrivateError, PrivatePostgres, StopMode};
use crate::store::{
    check_before_migration, is_conflict, is_lock_timeout, is_passing, is_unfit, migrate, reason,
    sqlstate, timed_out,
};
use crate::telemetry::ServerReadiness;

/// The time between attempts to reach the database at start.
const CONNECT_RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// How long the database may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The time between attempts to restart the private Postgres.
const RESTART_RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// How to go on with a server's certificate of X.509 version 1, such as Citus makes by default.
pub const OLD_CERTIFICATE: &str = "give Postgres a certificate of version 3 (ssl_cert_file; the one that Citus makes is of \
     version 1), or write sslmode=disable in --database-url (DATABASE_URL) if the network is your own";

/// Why TLS with the database failed, if that is the error.
#[must_use]
pub fn tls_fault(error: &sqlx::Error) -> Option<&rustls::Error> {
    match error {
        sqlx::Error::Io(error) => error.get_ref()?.downcast_ref(),
        sqlx::Error::Tls(error) => error.downcast_ref(),
        _ => None,
    }
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages explain the variants
pub enum DatabaseError {
    #[error(transparent)]
    Private(#[from] PrivateError),
    #[error("the private Postgres restarted on another port; start the daemon again")]
    PortChanged,
    #[error("the private Postgres has a URL that {0}")]
    Url(String),
    #[error("the schema cannot be migrated: {0}")]
    Migrate(#[from] MigrateError),
}

/// The private Postgres of the daemon.
pub struct PrivateDatabase(PrivatePostgres);

impl PrivateDatabase {
    /// Starts Postgres, or adopts the one that a killed daemon left running.
    ///
    /// # Errors
    /// When it cannot be started. The messages say what to do.
    pub async fn start(data_dir: &Path, bin_dir: Option<&Path>) -> Result<Self, DatabaseError> {
        let mut config = PrivateConfig::new(data_dir);
        config.bin_dir = bin_dir.map(Path::to_owned);
        Ok(Self(PrivatePostgres::start(&config).await?))
    }

    /// The URL without a password, for people and psql.
    #[must_use]
    pub fn url(&self) -> &str {
        self.0.url()
    }

    /// The options for the daemon's connections.
    ///
    /// # Errors
    /// When the URL cannot be parsed, which would be a bug.
    pub fn options(&self) -> Result<PgConnectOptions, DatabaseError> {
        parse_database_url(self.0.url()).map_err(DatabaseError::Url)
    }

    /// Restarts Postgres whenever it stops. When `stop` is cancelled, stops it.
    ///
    /// # Errors
    /// When it restarts on another port or cannot be stopped.
    pub async fn supervise(mut self, stop: CancellationToken) -> Result<(), DatabaseError> {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.0.exited() => {}
            }
            if stop.is_cancelled() {
                break;
            }
            tracing::warn!("the private Postgres stopped; restarting it");
            let url = self.0.url().to_owned();
            while let Err(error) = self.0.restart().await {
                tracing::error!(%error, "the private Postgres cannot be restarted; retrying");
                tokio::select! {
                    () = sleep(RESTART_RETRY_INTERVAL) => {}
                    () = stop.cancelled() => return Ok(()),
                }
            }
            if self.0.url() != url {
                self.0.stop(StopMode::Fast).await?;
                return Err(DatabaseError::PortChanged);
            }
        }
        Ok(self.0.stop(StopMode::Fast).await?)
    }
}

/// Migrates as soon as the database can be migrated. Until then it waits, and says why
/// once for each reason.
///
/// # Errors
/// When a migration itself fails, or the database refuses for good.
pub async fn migrate_when_reachable(
    options: &PgConnectOptions,
    readiness: &ServerReadiness,
) -> Result<(), DatabaseError> {
    let mut told = BTreeSet::new();
    loop {
        let error = match migrate_now(options).await {
            Ok(_) => return Ok(()),
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _))
                if is_passing(&error) =>
            {
                error
            }
            Err(error) => return Err(error.into()),
        };
        readiness.database_away("the database is away");
        if told.insert(sqlstate(&error)) {
            // WARN: nothing is lost, and it goes on by itself.
            let (why, address) = (reason(&error), database_address(options));
            if tls_fault(&error).is_some_and(is_old_version) {
                tracing::warn!(
                    address,
                    advice = OLD_CERTIFICATE,
                    "the database has a certificate of X.509 version 1, which TLS does not accept; trying again"
                );
            } else if is_conflict(&error) || is_lock_timeout(&error) || is_unfit(&error) {
                tracing::warn!(
                    address,
                    error = why,
                    "the schema cannot be brought up to date yet; trying again"
                );
            } else {
                tracing::warn!(address, error = why, "the database is away; waiting for it");
            }
        }
        sleep(CONNECT_RETRY_INTERVAL).await;
    }
}

/// Migrates now, and returns the names of the migrations that it applied.
///
/// # Errors
/// When the database is away or a migration fails.
pub async fn migrate_now(options: &PgConnectOptions) -> Result<Vec<String>, MigrateError> {
    let options = options
        .clone()
        .application_name("runtraced migrate")
        .disable_statement_logging()
        .options([
            // A migration takes as long as it takes, whatever the role's settings are.
            ("lock_timeout", "0"),
            ("statement_timeout", "0"),
            ("idle_in_transaction_session_timeout", "0"),
        ]);
    let connected = timeout(CONNECT_TIMEOUT, options.connect()).await;
    let connected = connected.unwrap_or_else(|_| Err(timed_out()));
    let mut conn = connected.map_err(MigrateError::Execute)?;
    let checked = check_before_migration(&mut conn).await;
    let applied = match checked {
        Ok(()) => migrate(&mut conn).await,
        Err(error) => Err(MigrateError::Execute(error)),
    };
    // The answer matters, not the farewell.
    let _ = conn.close().await;
    applied
}
