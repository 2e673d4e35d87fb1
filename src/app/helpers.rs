//! Tasks beside the path of an event: certificates, keys, schema, health, sweeper.

use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::database::migrate_when_there;
use super::error::AppError;
use super::refresh_keys::refresh_keys;
use super::run::Shared;
use crate::auth::{KeptKeys, KeyTable};
use crate::config::Config;
use crate::finalize::{SweepCounts, sweep_forever};
use crate::listen::TlsReloader;
use crate::telemetry::{Readiness, watch_database};

/// The helpers of one daemon. One that ends before it is told to is a fault.
pub(super) struct Helpers {
    tasks: JoinSet<Result<(), AppError>>,
    stop: CancellationToken,
}

impl Helpers {
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            tasks: JoinSet::new(),
            stop,
        }
    }

    /// Runs a task that cannot fail.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            task.await;
            Ok(())
        });
    }

    /// Reads the certificates again when their files change.
    pub fn reload_certificates(&mut self, reloader: TlsReloader) {
        self.spawn(reloader.run(self.stop.clone()));
    }

    /// Keeps the table of keys as the database has it.
    pub fn refresh_keys(
        &mut self,
        config: &Config,
        database: PgConnectOptions,
        table: Arc<KeyTable>,
    ) {
        let kept = config.spool.as_ref();
        let kept = kept.map(|spool| KeptKeys::new(&spool.dir));
        self.spawn(refresh_keys(database, table, kept, self.stop.clone()));
    }

    /// Brings the schema up to date, then watches the database and sweeps.
    pub fn tend_database(&mut self, config: &Config, database: PgConnectOptions, shared: &Shared) {
        let (config, stop) = (config.clone(), self.stop.clone());
        let (readiness, sweeps) = (shared.readiness.clone(), shared.sweeps.clone());
        self.tasks
            .spawn(tend_database(database, config, readiness, sweeps, stop));
    }

    /// The first helper that ended.
    pub async fn first_ended(&mut self) -> AppError {
        match self.tasks.join_next().await {
            Some(ended) => unexpected_end(ended),
            None => std::future::pending().await,
        }
    }

    /// Ends all of them.
    pub async fn abort(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn tend_database(
    database: PgConnectOptions,
    config: Config,
    readiness: Readiness,
    sweeps: Arc<SweepCounts>,
    stop: CancellationToken,
) -> Result<(), AppError> {
    if config.migrate {
        let migrated = migrate_when_there(&database, &readiness);
        tokio::select! {
            migrated = migrated => migrated?,
            () = stop.cancelled() => return Ok(()),
        }
    }
    let health = watch_database(database.clone(), readiness, stop.clone());
    let timeout = config.commit_timeout;
    tokio::join!(
        health,
        sweep_forever(database, config.sweep_interval, timeout, &sweeps, stop)
    );
    Ok(())
}

/// Why a task that should run until shutdown has ended.
pub(super) fn unexpected_end(
    ended: Result<Result<(), AppError>, tokio::task::JoinError>,
) -> AppError {
    match ended {
        Ok(Ok(())) => AppError::Task("a part of the daemon ended by itself".into()),
        Ok(Err(error)) => error,
        Err(error) => AppError::Task(error.to_string()),
    }
}
