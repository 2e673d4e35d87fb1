//! Builds the daemon from one [`Config`], runs it, and takes it down in order.
//! The only place that spawns long-lived tasks.

mod doors;
mod kept;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use self::doors::DOORS;
use self::doors::{Doors, GRPC, HTTP};
use self::kept::{decode_events, render_event};
use crate::config::{Config, DatabaseSource, SpoolSettings};
use crate::database::{self, DatabaseError, PrivateDatabase};
use crate::event::FieldLimits;
use crate::finalize::{SweepCounts, sweep_forever};
use crate::grpc::serve_grpc;
use crate::ingest::RepairCounts;
use crate::ingest::auth::{Authenticator, KeptKeys, KeyTable, authenticate_http, refresh_keys};
use crate::ingest::native::{
    NativeIngest, ReceiveBudget, ReceiveLimits, StreamLimits, encode_frame,
};
use crate::ingest::otlp::{MapOptions, OtlpConfig, OtlpCounts, OtlpIngest, answer_http};
use crate::listen::{self, RequestLimit, Tls, TlsError, TlsReloader};
use crate::pipeline::{BatchLimits, Pipeline, PipelineConfig, SpoolConfig};
use crate::shutdown::{Phases, drain};
use crate::spool::{Spool, SpoolError, SpoolFolder, SpoolLimits};
use crate::store::{ShardCounts, WhenAway, WriterConfig};
use crate::telemetry::{Metrics, Readiness, router, watch_database};

/// Why the daemon did not start or run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address is taken, or not ours.
    #[error("cannot listen on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A task of the daemon failed.
    #[error("{0}")]
    Task(String),
    /// The system refused a thread or a socket.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The files of TLS cannot be used.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// The drain deadline passed.
    #[error("shut down with {0} events not settled; their clients are told to send them again")]
    Unsettled(u64),
}

/// Where the daemon listens.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Addresses {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
}

/// The daemon, bound and not yet serving.
pub struct App {
    config: Config,
    /// Where it listens.
    pub addresses: Addresses,
    grpc: TcpListener,
    http: TcpListener,
    private: Option<PrivateDatabase>,
    /// This run of the daemon, as the ledger knows it.
    instance: Uuid,
    options: PgConnectOptions,
    spool: Option<Arc<Spool>>,
    tls: Option<(TlsReloader, Tls)>,
}

impl App {
    /// Binds the addresses, then starts or names the database.
    ///
    /// # Errors
    /// When either fails. A foreign database that is away is no error.
    pub async fn build(config: Config) -> Result<Self, AppError> {
        let grpc = bind(config.grpc_listen).await?;
        let http = bind(config.http_listen).await?;
        let addresses = Addresses {
            grpc: grpc.local_addr()?,
            http: http.local_addr()?,
        };
        let tls = config.tls.clone().map(TlsReloader::load).transpose()?;
        let instance = Uuid::now_v7();
        // Before a private Postgres is started: it may be refused.
        let spool = config
            .spool
            .as_ref()
            .map(|settings| open_spool(settings, instance))
            .transpose()?;
        let (private, options) = match &config.database {
            DatabaseSource::Url(options) => (None, (**options).clone()),
            DatabaseSource::Private { data_dir, bin_dir } => {
                let private = PrivateDatabase::start(data_dir, bin_dir.as_deref()).await?;
                let options = private.options()?;
                (Some(private), options)
            }
        };
        let url = private.as_ref().map(PrivateDatabase::url);
        tracing::info!(grpc = %addresses.grpc, http = %addresses.http, database_url = url, %instance, "listening");
        let beyond = [addresses.grpc, addresses.http]
            .iter()
            .any(|address| !address.ip().is_loopback());
        if beyond && config.require_keys && tls.is_none() {
            // WARN: whoever sees the traffic has the keys, unless TLS ends before us.
            tracing::warn!("keys are taken without TLS beyond loopback: see --tls-cert");
        }
        Ok(Self {
            config,
            addresses,
            grpc,
            http,
            private,
            instance,
            options,
            spool,
            tls,
        })
    }

    /// Serves until `shutdown`, then settles what was taken in.
    ///
    /// # Errors
    /// When a part of the daemon failed, or not all was settled in time.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), AppError> {
        let phases = Phases::default();
        let readiness = Readiness::new(self.spool.clone());
        let sweeps = Arc::new(SweepCounts::default());
        let repairs = Arc::new(RepairCounts::default());
        let spans = Arc::new(OtlpCounts::default());
        let keys = Arc::new(KeyTable::default());
        let tasks = TaskTracker::new();
        let mut helpers = JoinSet::new();
        let (reloader, tls) = self.tls.take().unzip();
        if let Some(reloader) = reloader {
            let stop = phases.stop.clone();
            helpers.spawn(async move {
                reloader.run(stop).await;
                Ok(())
            });
        }
        let doors = Doors::new(&self.config, tls);

        let (pipeline, writers) =
            Pipeline::start(self.pipeline_config(&phases), &phases.writer_ended)?;
        let counts = pipeline.counts();
        let budget = (pipeline.budget(), self.config.memory_budget_bytes);
        let metrics = Arc::new(Metrics {
            shards: counts.clone(),
            repairs: repairs.clone(),
            otlp: spans.clone(),
            keys: keys.clone(),
            sweeps: sweeps.clone(),
            budget,
            readiness: readiness.clone(),
            spool: self.spool.clone(),
            gate: pipeline.gate(),
            doors: doors.counts.clone(),
        });
        let pipeline = Arc::new(pipeline);
        let otlp = OtlpIngest::new(OtlpConfig {
            pipeline: Arc::downgrade(&pipeline),
            counts: spans,
            repairs: repairs.clone(),
            options: MapOptions {
                max_field_bytes: self.config.max_field_bytes,
                keep_foreign_spans: self.config.keep_foreign_spans,
                tenant: None,
                max_events_bytes: self.config.max_message_bytes.saturating_mul(4),
            },
            max_message_bytes: self.config.max_message_bytes,
            body_budget_bytes: self.config.memory_budget_bytes,
            receive_timeout: self.config.receive_timeout,
            patience: self.config.submit_timeout,
            draining: phases.draining.clone(),
            tasks: tasks.clone(),
        })
        .map_err(|error| AppError::Task(error.to_string()))?;
        let ingest = NativeIngest {
            pipeline,
            repairs,
            submit_timeout: self.config.submit_timeout,
            limits: StreamLimits {
                batches_in_flight: self.config.stream_batches,
                ack_timeout: self.config.receive_timeout,
            },
            fields: FieldLimits {
                bytes: self.config.max_field_bytes,
                json_depth: self.config.max_json_depth,
            },
            receive: ReceiveBudget::new(
                ReceiveLimits {
                    message_bytes: self.config.max_message_bytes,
                    message_events: self.config.max_message_events,
                    timeout: self.config.receive_timeout,
                },
                self.config.memory_budget_bytes,
            ),
            draining: phases.draining.clone(),
            tasks: tasks.clone(),
        };

        let authenticator = Authenticator::new(keys.clone(), self.config.require_keys);
        // Servers hold the pipeline, helpers do not: it ends with the former.
        let mut servers = JoinSet::new();
        let requests = RequestLimit::new(self.config.max_streams);
        let grpc = serve_grpc(
            doors.open(GRPC, self.grpc),
            requests.clone(),
            ingest,
            &otlp,
            authenticator.clone(),
            readiness.clone(),
            phases.draining.clone(),
        )
        .await?;
        servers.spawn(grpc);
        let stopped = phases.stop.clone();
        let grpc = self.addresses.grpc;
        let otlp = Router::new()
            .fallback(move |request| answer_http(otlp.clone(), grpc, request))
            .layer(from_fn(move |request, next| {
                requests.clone().enter(request, next)
            }))
            // Who is not let in takes no place.
            .layer(from_fn_with_state(authenticator, authenticate_http));
        let pages = router(metrics).merge(otlp);
        let http = doors.open(HTTP, self.http);
        helpers.spawn(async move {
            listen::serve(http, pages, stopped).await;
            Ok(())
        });
        let kept = self.config.spool.as_ref();
        let kept = kept.map(|spool| KeptKeys::new(&spool.dir));
        let refreshing = refresh_keys(self.options.clone(), keys, kept, phases.stop.clone());
        helpers.spawn(async move {
            refreshing.await;
            Ok(())
        });
        helpers.spawn(helper(
            self.options.clone(),
            self.config.clone(),
            readiness.clone(),
            sweeps,
            phases.stop.clone(),
        ));
        let private = self.private.map(|private| {
            let stop = phases.stop.clone();
            tokio::spawn(private.supervise(stop))
        });

        let failed = tokio::select! {
            () = shutdown => None,
            Some(ended) = servers.join_next() => Some(failure(ended)),
            Some(ended) = helpers.join_next() => Some(failure(ended)),
            () = phases.writer_ended.cancelled() => {
                Some(AppError::Task("a writer thread ended by itself".into()))
            }
        };
        tracing::info!("shutting down");
        readiness.shut_down();
        let deadline = Instant::now() + self.config.drain_timeout;
        drain(&phases, servers, &tasks, writers, deadline).await;
        phases.stop.cancel();
        let in_flight = ShardCounts::sum(&counts).in_flight();
        helpers.abort_all();
        while helpers.join_next().await.is_some() {}
        if let Some(private) = private {
            private
                .await
                .map_err(|error| AppError::Task(error.to_string()))??;
        }
        match (failed, in_flight) {
            (Some(error), _) => Err(error),
            (None, 0) => Ok(()),
            (None, events) => Err(AppError::Unsettled(events)),
        }
    }

    fn pipeline_config(&self, phases: &Phases) -> PipelineConfig {
        let config = &self.config;
        PipelineConfig {
            writers: config.writers,
            memory_budget_bytes: config.memory_budget_bytes,
            limits: BatchLimits {
                max_events: config.batch_events,
                max_bytes: config.batch_bytes,
                linger: config.linger,
            },
            writer: WriterConfig {
                database: self.options.clone(),
                instance: self.instance,
                run_timeout_ms: run_timeout_ms(config),
                commit_timeout: config.commit_timeout,
                when_away: WhenAway::Wait,
                render: render_event,
                give_up: phases.give_up.clone(),
            },
            spool: self
                .spool
                .clone()
                .zip(config.spool.as_ref())
                .map(|(spool, settings)| SpoolConfig {
                    spool,
                    encode: encode_frame,
                    decode: decode_events,
                    after: settings.after,
                }),
            draining: phases.draining.clone(),
        }
    }
}

/// Spools hold few files and delete them soon, so a segment is a small part.
const MAX_SEGMENT_BYTES: u64 = 16 << 20;
const SEGMENTS_OF_A_SPOOL: u64 = 8;

fn open_spool(settings: &SpoolSettings, instance: Uuid) -> Result<Arc<Spool>, SpoolError> {
    let limits = SpoolLimits {
        total_bytes: settings.bytes,
        segment_bytes: MAX_SEGMENT_BYTES.min(settings.bytes / SEGMENTS_OF_A_SPOOL),
    };
    let spool = SpoolFolder::open(&settings.dir, limits, instance)?;
    let found = spool.found_events();
    if found > 0 {
        tracing::info!(
            events = found,
            "the spool holds events of an earlier daemon"
        );
    }
    Ok(Arc::new(spool))
}

async fn bind(address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| AppError::Bind { address, source })
}

fn run_timeout_ms(config: &Config) -> i64 {
    i64::try_from(config.run_timeout.as_millis()).unwrap_or(i64::MAX)
}

/// Brings the schema up to date, then watches the database and sweeps.
async fn helper(
    options: PgConnectOptions,
    config: Config,
    readiness: Readiness,
    sweeps: Arc<SweepCounts>,
    stop: CancellationToken,
) -> Result<(), AppError> {
    if config.migrate {
        let migrated = database::migrate_when_there(&options, &readiness);
        tokio::select! {
            migrated = migrated => migrated?,
            () = stop.cancelled() => return Ok(()),
        }
    }
    tracing::info!("ready");
    let health = watch_database(options.clone(), readiness, stop.clone());
    let patience = config.commit_timeout;
    tokio::join!(
        health,
        sweep_forever(options, config.sweep_interval, patience, &sweeps, stop)
    );
    Ok(())
}

fn failure(ended: Result<Result<(), AppError>, tokio::task::JoinError>) -> AppError {
    match ended {
        Ok(Ok(())) => AppError::Task("a part of the daemon ended by itself".into()),
        Ok(Err(error)) => error,
        Err(error) => AppError::Task(error.to_string()),
    }
}
