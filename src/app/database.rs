//! The daemon's database: running the private Postgres, and migrating the schema.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::config::{database_address, parse_database_url};
use crate::postgres::{PrivateConfig, PrivateError, PrivatePostgres, StopMode};
use crate::store::{migrate, reason};
use crate::telemetry::Readiness;

/// The time between attempts to reach the database at start.
const CONNECT_RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// The time between attempts to restart the private Postgres.
const RESTART_RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// The SQLSTATE class of a database that is starting up or shutting down.
const OPERATOR_INTERVENTION: &str = "57";

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

/// Migrates the schema as soon as the database can be reached.
///
/// # Errors
/// When a migration fails.
pub async fn migrate_when_reachable(
    options: &PgConnectOptions,
    readiness: &Readiness,
) -> Result<(), DatabaseError> {
    let mut warned = false;
    loop {
        match migrate_now(options).await {
            Ok(()) => return Ok(()),
            Err(MigrateError::Execute(error)) if !matches!(error, sqlx::Error::Database(_)) => {
                readiness.database_away("the database is away");
                if !warned {
                    let address = database_address(options);
                    tracing::warn!(address, error = %reason(&error), "the database is away; waiting for it");
                }
                warned = true;
                sleep(CONNECT_RETRY_INTERVAL).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Migrates the schema now.
///
/// # Errors
/// When the database cannot be reached or a migration fails.
pub async fn migrate_now(options: &PgConnectOptions) -> Result<(), MigrateError> {
    let options = options
        .clone()
        .application_name("runtraced migrate")
        .disable_statement_logging();
    let mut conn = match options.connect().await {
        Ok(conn) => conn,
        // Reported like a database that is away, so that callers try again.
        Err(sqlx::Error::Database(error))
            if error
                .code()
                .is_some_and(|code| code.starts_with(OPERATOR_INTERVENTION)) =>
        {
            return Err(MigrateError::Execute(sqlx::Error::PoolClosed));
        }
        Err(error) => return Err(MigrateError::Execute(error)),
    };
    migrate(&mut conn).await?;
    conn.close().await.map_err(MigrateError::Execute)
}
