//! Builds the daemon from one [`Config`], runs it, and takes it down in order.
//! The only place that spawns long-lived tasks.

pub mod database;
mod drain;
mod endpoints;
mod error;
mod grpc;
mod helpers;
mod http;
mod refresh_keys;
mod run;
mod settings;
mod stored_events;

use std::net::SocketAddr;
use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpListener;
use uuid::Uuid;

use self::database::PrivateDatabase;
pub use self::error::AppError;
use crate::config::{Config, Database, SpoolSettings};
use crate::listen::{Tls, TlsReloader};
use crate::spool::{Spool, SpoolError, SpoolFolder, SpoolLimits};

/// Where the daemon listens.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Addresses {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
}

/// The daemon, bound and not yet serving.
pub struct App {
    /// Where it listens.
    pub addresses: Addresses,
    daemon: Daemon,
    sockets: Sockets,
    private: Option<PrivateDatabase>,
}

/// What stays the same while the daemon runs.
struct Daemon {
    config: Config,
    /// This run of the daemon, as the ledger knows it.
    instance: Uuid,
    /// Where Postgres is.
    options: PgConnectOptions,
    spool: Option<Arc<Spool>>,
}

/// The bound sockets, and the certificates that both use.
struct Sockets {
    grpc: TcpListener,
    http: TcpListener,
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
            Database::Url(options) => (None, (**options).clone()),
            Database::Private { data_dir, bin_dir } => {
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
            addresses,
            daemon: Daemon {
                config,
                instance,
                options,
                spool,
            },
            sockets: Sockets { grpc, http, tls },
            private,
        })
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
