//! The database of the commands that read it.

use std::path::PathBuf;

use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;

use super::output::{EXIT_UNAVAILABLE, EXIT_USAGE};
use crate::config::{self, FlagReader, parse_database_url};
use crate::postgres::{PrivateError, PrivatePostgres};
use crate::query::{self, InspectError};

/// Which database to read.
#[derive(Debug, Clone, clap::Args)]
pub struct DatabaseArgs {
    /// URL of the database; without it, the private Postgres in --data-dir.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
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
}

impl NoDatabase {
    /// The exit code of the command.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Url(_) => EXIT_USAGE,
            Self::NotRunning(_) | Self::Connect(_) => EXIT_UNAVAILABLE,
        }
    }
}

impl DatabaseArgs {
    /// Checks the URL's syntax, if there is one.
    pub fn check(&self, flags: &mut FlagReader) {
        if let Some(Err(fault)) = self.given_url().map(parse_database_url) {
            flags.fault(format!("--database-url {fault}"));
        }
    }

    /// The URL of the database.
    ///
    /// # Errors
    /// If none is given and no private Postgres runs; says what to do.
    pub fn url(&self) -> Result<String, NoDatabase> {
        if let Some(url) = self.given_url() {
            return Ok(url.to_owned());
        }
        let default = config::default_data_dir;
        let data_dir = self.data_dir.clone().unwrap_or_else(default);
        Ok(PrivatePostgres::locate(&data_dir)?.url)
    }

    /// The database in the form that connections need.
    ///
    /// # Errors
    /// As [`Self::url`], and if the URL is malformed.
    pub fn options(&self) -> Result<PgConnectOptions, NoDatabase> {
        parse_database_url(&self.url()?).map_err(NoDatabase::Url)
    }

    /// Connects to the database.
    ///
    /// # Errors
    /// As [`Self::options`], and if the server does not answer.
    pub async fn connect(&self) -> Result<PgConnection, NoDatabase> {
        Ok(query::connect(&self.options()?).await?)
    }

    /// Scripts set a variable to nothing to say that it is not set.
    fn given_url(&self) -> Option<&str> {
        self.database_url.as_deref().filter(|url| !url.is_empty())
    }
}
