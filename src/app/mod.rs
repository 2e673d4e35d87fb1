//! Builds the daemon from one [`Config`], runs it, and shuts it down in order. Only
//! this module spawns long-lived tasks.

pub mod database;
mod decisions;
mod drain;
mod endpoints;
mod error;
mod grpc;
mod helpers;
mod http;
mod mask_key;
mod open;
mod own_endpoint;
mod own_spans;
mod refresh_keys;
mod refresh_prices;
mod run;
mod settings;
mod shared;
mod spools;
mod stored_events;
mod writers;

use std::net::SocketAddr;
use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpListener;
use tracing::Span;
use uuid::Uuid;

use self::database::PrivateDatabase;
pub use self::error::AppError;
use self::own_endpoint::refuse_own;
use self::spools::open_spools;
use crate::config::{Config, DatabaseSource};
use crate::listen::{Tls, TlsReloader};
use crate::mask::Masker;
use crate::spool::Spool;
use crate::store::StoreServer;

/// The addresses on which the daemon listens.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Addresses {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
}

/// The daemon. Its addresses are bound, but it does not serve yet.
pub struct App {
    /// The bound addresses.
    pub addresses: Addresses,
    core: DaemonCore,
    sockets: Sockets,
    private: Option<PrivateDatabase>,
}

/// The parts of the daemon that stay the same while it runs.
struct DaemonCore {
    config: Config,
    /// The id of this daemon process in the ledger.
    instance: Uuid,
    /// The servers of the store, in their order.
    servers: Vec<DaemonServer>,
    /// Masks secrets, if that is wanted.
    masker: Option<Arc<Masker>>,
}

/// One server of the store.
#[derive(Clone, Debug)]
struct DaemonServer {
    place: StoreServer,
    /// How to connect to it.
    options: PgConnectOptions,
    /// What it cannot take yet.
    spool: Option<Arc<Spool>>,
}

impl DaemonServer {
    /// Around what is logged about it. The only server needs no name.
    fn span(&self) -> Span {
        match self.place.has_others() {
            true => tracing::error_span!("server", place = %self.place),
            false => Span::none(),
        }
    }
}

/// The bound sockets, and the certificates that both use.
struct Sockets {
    grpc: TcpListener,
    http: TcpListener,
    tls: Option<(TlsReloader, Tls)>,
}

impl App {
    /// Binds the addresses, opens the spool, and starts the private Postgres if there is
    /// one.
    ///
    /// # Errors
    /// When one of these fails. It is no error if an external database is away.
    pub async fn build(config: Config) -> Result<Self, AppError> {
        let grpc = bind(config.grpc_listen).await?;
        let http = bind(config.http_listen).await?;
        let addresses = Addresses {
            grpc: grpc.local_addr()?,
            http: http.local_addr()?,
        };
        if let Some(otel) = &config.otel {
            refuse_own(otel, addresses).await?;
        }
        let tls = config.tls.clone().map(TlsReloader::load).transpose()?;
        let instance = Uuid::now_v7();
        // Opening may fail, so it comes before starting a private Postgres.
        let places: Vec<StoreServer> = StoreServer::all(config.database.servers()).collect();
        let spools = open_spools(config.spool.as_ref(), &places, instance)?;
        let masker = config.mask.as_ref().map(mask_key::masker).transpose()?;
        let (private, databases) = match &config.database {
            DatabaseSource::Urls(servers) => (None, servers.clone()),
            DatabaseSource::Private { data_dir, bin_dir } => {
                let private = PrivateDatabase::start(data_dir, bin_dir.as_deref()).await?;
                let options = private.options()?;
                (Some(private), vec![options])
            }
        };
        let url = private.as_ref().map(PrivateDatabase::url);
        tracing::info!(grpc = %addresses.grpc, http = %addresses.http, database_url = url, %instance, "listening");
        let is_remote = [addresses.grpc, addresses.http]
            .iter()
            .any(|address| !address.ip().is_loopback());
        if is_remote && config.require_keys && tls.is_none() {
            // WARN: anyone who sees the traffic can read the keys, unless a proxy
            // terminates TLS.
            tracing::warn!("accepting keys without TLS beyond loopback; see --tls-cert");
        }
        Ok(Self {
            addresses,
            core: DaemonCore {
                config,
                instance,
                servers: places
                    .into_iter()
                    .zip(databases)
                    .zip(spools)
                    .map(|((place, options), spool)| DaemonServer {
                        place,
                        options: place.mark(options),
                        spool,
                    })
                    .collect(),
                masker,
            },
            sockets: Sockets { grpc, http, tls },
            private,
        })
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| AppError::Bind { address, source })
}
