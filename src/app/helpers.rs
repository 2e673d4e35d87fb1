//! Background tasks: certificates, keys, schema, health, sweeper, reaper.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::DaemonServer;
use super::database::migrate_when_reachable;
use super::error::AppError;
use super::refresh_keys::refresh_keys;
use super::refresh_prices::refresh_prices;
use super::shared::SharedState;
use crate::auth::{KeyCache, KeyTable};
use crate::config::{Config, RetentionSettings};
use crate::finalize::{SweepCounts, SweepSettings, sum_up_forever, sweep_forever};
use crate::histograms::Histograms;
use crate::listen::TlsReloader;
use crate::own_spans::OwnSpans;
use crate::pipeline::Gate;
use crate::reap::{ReapCounts, ReapPace, ReapSettings, reap_forever};
use crate::store::{Session, SessionUse};
use crate::telemetry::{ServerReadiness, watch_database};

/// How long a statement of the reaper may take.
const REAP_LIMIT: Duration = Duration::from_secs(5);
/// The time between attempts to migrate one of several servers that refuses it.
const MIGRATION_PAUSE: Duration = Duration::from_secs(10);
/// If a batch waits for longer, the reaper leaves the database to the writers.
const BUSY_AFTER: Duration = Duration::from_millis(250);

/// What tells whether the writers keep up.
pub(super) struct WriteLoad {
    pub gate: Arc<Gate>,
    /// The gates of the other servers.
    pub others: Vec<Arc<Gate>>,
    /// Of all servers.
    pub histograms: Arc<Histograms>,
}

impl WriteLoad {
    fn is_high(&self) -> bool {
        // While another server is away, batches may wait for that one.
        let waits = || self.histograms.oldest_unsettled() > BUSY_AFTER;
        self.gate.is_closed() || !self.others.iter().any(|gate| gate.is_closed()) && waits()
    }
}

/// The background tasks of one daemon. A task that ends before shutdown is a fault.
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

    /// Starts a task that cannot fail.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            task.await;
            Ok(())
        });
    }

    /// Reloads the TLS files when they change.
    pub fn reload_certificates(&mut self, reloader: TlsReloader) {
        self.spawn(reloader.run(self.stop.clone()));
    }

    /// Keeps the key table up to date with the database.
    pub fn refresh_keys(
        &mut self,
        config: &Config,
        database: PgConnectOptions,
        table: Arc<KeyTable>,
    ) {
        let spool = config.spool.as_ref();
        let cache = spool.map(|spool| KeyCache::new(&spool.dir));
        self.spawn(refresh_keys(database, table, cache, self.stop.clone()));
    }

    /// Migrates the schema of a server, then checks its health, sweeps and reaps.
    pub fn maintain_database(
        &mut self,
        config: &Config,
        server: &DaemonServer,
        readiness: ServerReadiness,
        shared: &SharedState,
        load: WriteLoad,
    ) {
        let (config, stop) = (config.clone(), self.stop.clone());
        let shared = MaintenanceState {
            readiness,
            sweeps: shared.sweeps.clone(),
            reaped: shared.reaped.clone(),
            load,
            own_spans: shared.own_spans.clone(),
        };
        let maintain = maintain_database(server.options.clone(), config, shared, stop);
        self.tasks.spawn(maintain.instrument(server.span()));
    }

    /// Waits for the first task that ends, and says why it did.
    pub async fn first_ended(&mut self) -> AppError {
        match self.tasks.join_next().await {
            Some(ended) => unexpected_end(ended),
            None => std::future::pending().await,
        }
    }

    /// Aborts all tasks.
    pub async fn abort(mut self) {
        self.tasks.shutdown().await;
    }
}

/// What the care for the database tells other parts.
struct MaintenanceState {
    readiness: ServerReadiness,
    sweeps: Arc<SweepCounts>,
    reaped: Arc<ReapCounts>,
    load: WriteLoad,
    own_spans: OwnSpans,
}

async fn maintain_database(
    database: PgConnectOptions,
    config: Config,
    shared: MaintenanceState,
    stop: CancellationToken,
) -> Result<(), AppError> {
    let MaintenanceState {
        readiness,
        sweeps,
        reaped,
        load,
        own_spans,
    } = shared;
    if config.migrate {
        let migrated = async {
            loop {
                match migrate_when_reachable(&database, &readiness).await {
                    Err(error) if config.database.servers() > 1 => {
                        // ERROR: a person is needed. The other servers go on, and this one's events are spooled.
                        tracing::error!(%error, "the server cannot be used; trying again");
                        readiness.set(Err("the schema of a server cannot be brought up to date"));
                        sleep(MIGRATION_PAUSE).await;
                    }
                    migrated => break migrated,
                }
            }
        };
        tokio::select! {
            migrated = migrated => migrated?,
            () = stop.cancelled() => return Ok(()),
        }
    }
    let health = watch_database(database.clone(), readiness, stop.clone());
    let timeout = config.commit_timeout;
    let sweep = SweepSettings {
        interval: config.sweep_interval,
        time_limit: timeout,
        own_spans,
    };
    let write = SessionUse::Write;
    let retention = config.retention;
    let reap = reap(
        database.clone(),
        retention,
        &sweep,
        (&reaped, &load),
        stop.clone(),
    );
    // One server process serves all three: a daemon has few.
    let name = "runtraced sweeper";
    let session = Mutex::new(Session::new(database, name, write, timeout, || ()));
    tokio::join!(
        health,
        refresh_prices(&session, stop.clone()),
        sum_up_forever(&session, stop.clone()),
        sweep_forever(&session, &sweep, &sweeps, stop),
        reap
    );
    Ok(())
}

/// Deletes old traces, if that is wanted.
async fn reap(
    database: PgConnectOptions,
    retention: Option<RetentionSettings>,
    sweep: &SweepSettings,
    (counts, load): (&ReapCounts, &WriteLoad),
    stop: CancellationToken,
) {
    let Some(retention) = retention else { return };
    // Its statements wait for locks of others, and others must not wait for them.
    let name = "runtraced reaper";
    let session = Session::new(database, name, SessionUse::Write, REAP_LIMIT, || ());
    let settings = ReapSettings {
        keep: retention.keep,
        interval: sweep.interval,
    };
    let pace = ReapPace::of_share(retention.share_percent).yielding(|| load.is_high(), counts);
    reap_forever(session, settings, counts, pace, stop).await;
}

/// The error for a task that ended before shutdown.
pub(super) fn unexpected_end(
    ended: Result<Result<(), AppError>, tokio::task::JoinError>,
) -> AppError {
    match ended {
        Ok(Ok(())) => AppError::Task("a part of the daemon ended unexpectedly".into()),
        Ok(Err(error)) => error,
        Err(error) => AppError::Task(error.to_string()),
    }
}
