//! The database of the commands that read it.

use std::path::PathBuf;

use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use super::output::{EXIT_UNAVAILABLE, EXIT_USAGE};
use crate::config::{
    self, FlagReader, MAX_SERVERS, database_address, given_urls, parse_database_urls,
};
use crate::postgres::{PrivateError, PrivatePostgres};
use crate::query::{self, InspectError};
use crate::store::{StorePlace, StoreServer, server_of};

const _: () = assert!(MAX_SERVERS == StoreServer::MOST);

/// Which database to read.
#[derive(Debug, Clone, clap::Args)]
pub struct DatabaseArgs {
    /// URL of the database; without it, the private Postgres in --data-dir. Several, with the flag
    /// repeated or spaces between them: the servers of one store.
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        value_delimiter = ' '
    )]
    pub database_url: Vec<String>,
    /// The --data-dir of `runtraced serve`; without it, $XDG_DATA_HOME/runtraced or
    /// ~/.local/share/runtraced; for root, /var/lib/runtraced.
    #[arg(long, env = "RUNTRACED_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Why a command has no database.
#[derive(Debug, thiserror::Error)]
pub enum NoDatabase {
    /// The URL is malformed.
    #[error("--database-url {0}")]
    Url(String),
    /// No private Postgres runs in the data directory.
    #[error(transparent)]
    NotRunning(#[from] PrivateError),
    /// The connection failed.
    #[error(transparent)]
    Connect(#[from] InspectError),
    /// The command reads or writes one database.
    #[error("this command takes one --database-url: that of the server to open")]
    Several,
    /// The servers are of different stores.
    #[error("the database at {0} belongs to another store than the servers before it")]
    OtherStore(String),
    /// Not all servers of a store were given, or not in their order.
    #[error(
        "the database at {address} is server {there} of its store, and was given as server {given}: give --database-url once for each server, in the order of `runtraced migrate`"
    )]
    #[allow(missing_docs)]
    OtherServer {
        address: String,
        there: StoreServer,
        given: StoreServer,
    },
}

impl NoDatabase {
    /// The exit code of the command.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Url(_) | Self::Several | Self::OtherStore(_) | Self::OtherServer { .. } => {
                EXIT_USAGE
            }
            Self::NotRunning(_) | Self::Connect(_) => EXIT_UNAVAILABLE,
        }
    }
}

impl DatabaseArgs {
    /// Checks the syntax of the URLs.
    pub fn check(&self, flags: &mut FlagReader) {
        for fault in parse_database_urls(&given_urls(&self.database_url))
            .err()
            .unwrap_or_default()
        {
            flags.fault(format!("--database-url {fault}"));
        }
    }

    /// The URLs of all servers.
    ///
    /// # Errors
    /// If none is given and no private Postgres runs; says what to do.
    pub fn urls(&self) -> Result<Vec<String>, NoDatabase> {
        let given = given_urls(&self.database_url);
        if !given.is_empty() {
            return Ok(given);
        }
        let default = config::default_data_dir;
        let data_dir = self.data_dir.clone().unwrap_or_else(default);
        Ok(vec![PrivatePostgres::locate(&data_dir)?.url])
    }

    /// The URL of the only database.
    ///
    /// # Errors
    /// As [`Self::urls`], and if there are several.
    pub fn url(&self) -> Result<String, NoDatabase> {
        let mut urls = self.urls()?;
        match (urls.pop(), urls.is_empty()) {
            (Some(only), true) => Ok(only),
            _ => Err(NoDatabase::Several),
        }
    }

    /// All servers in the form that connections need.
    ///
    /// # Errors
    /// As [`Self::urls`], and if a URL is malformed.
    pub fn servers(&self) -> Result<Vec<PgConnectOptions>, NoDatabase> {
        let parsed = parse_database_urls(&self.urls()?);
        parsed.map_err(|faults| NoDatabase::Url(faults.join("; ")))
    }

    /// Connects to all servers of a store, in their order.
    ///
    /// # Errors
    /// As [`Self::servers`], if a server does not answer, and if they are not all servers of a
    /// store in their order.
    pub async fn connect_all(&self) -> Result<Vec<StoreConnection>, NoDatabase> {
        self.connect_for(None).await
    }

    /// Connects to the server of a run, which need not exist; without one, to all.
    ///
    /// # Errors
    /// As [`Self::connect_all`], of these servers.
    pub async fn connect_for(&self, run: Option<Uuid>) -> Result<Vec<StoreConnection>, NoDatabase> {
        let servers = self.servers()?;
        let only = run.map(|run| server_of(run, servers.len()));
        let mut connections = Vec::with_capacity(servers.len());
        let numbered = StoreServer::all(servers.len()).zip(&servers).enumerate();
        for (place, (server, options)) in numbered {
            if only.is_none_or(|only| only == place) {
                connections.push(connect_as(options, server).await?);
            }
        }
        Ok(connections)
    }

    /// Connects to the first server, which has what belongs to the store as a whole.
    ///
    /// # Errors
    /// As [`Self::connect_all`], of this server.
    pub async fn connect_first(&self) -> Result<StoreConnection, NoDatabase> {
        let servers = self.servers()?;
        let first = StoreServer::all(servers.len()).zip(&servers).next();
        let (server, options) = first.ok_or(NoDatabase::Several)?;
        connect_as(options, server).await
    }
}

/// A connection to a server of a store.
pub struct StoreConnection {
    /// Which one it is.
    pub server: StoreServer,
    /// Where it is.
    pub options: PgConnectOptions,
    #[allow(missing_docs)]
    pub conn: PgConnection,
}

impl StoreConnection {
    /// What to call it.
    #[must_use]
    pub fn name(&self) -> String {
        server_name(self.server, &self.options)
    }

    /// An error of this server. It says which one that is, if there are several.
    pub fn failed(&self, error: impl Into<anyhow::Error>) -> anyhow::Error {
        match self.server.has_others() {
            true => error.into().context(self.name()),
            false => error.into(),
        }
    }
}

/// What to call a server of a store: `server 2/3, db:5432`.
pub(super) fn server_name(server: StoreServer, options: &PgConnectOptions) -> String {
    format!("server {server}, {}", database_address(options))
}

/// Connects to a database that must be this server of its store.
async fn connect_as(
    options: &PgConnectOptions,
    server: StoreServer,
) -> Result<StoreConnection, NoDatabase> {
    let mut conn = query::connect(options).await?;
    let place = StorePlace::find(&mut conn).await;
    let place = place.map_err(InspectError::from)?;
    if place.is_some_and(|place| !place.is_of_this_process()) {
        return Err(NoDatabase::OtherStore(database_address(options)));
    }
    let there = place.map_or(StoreServer::ALONE, |place| place.server);
    match there == server {
        true => Ok(StoreConnection {
            server,
            options: options.clone(),
            conn,
        }),
        false => Err(NoDatabase::OtherServer {
            address: database_address(options),
            there,
            given: server,
        }),
    }
}
