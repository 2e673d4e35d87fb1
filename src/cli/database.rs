//! Where the reading commands find the database.

use std::path::PathBuf;

use sqlx::PgConnection;

use crate::{inspect, store::postgres::PrivatePostgres};

/// Which database to read.
#[derive(Debug, Clone, clap::Args)]
pub struct DatabaseArgs {
    /// The database's URL. Without it, the private Postgres of --data-dir.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// The folder that `runtraced serve` was started with.
    #[arg(
        long,
        env = "RUNTRACED_DATA_DIR",
        default_value = "runtraced-data",
        value_name = "DIR"
    )]
    pub data_dir: PathBuf,
}

impl DatabaseArgs {
    /// The URL that is meant.
    ///
    /// # Errors
    /// When there is none and no private Postgres runs; says what to do.
    pub fn url(&self) -> anyhow::Result<String> {
        match &self.database_url {
            Some(url) if !url.is_empty() => Ok(url.clone()),
            _ => Ok(PrivatePostgres::locate(&self.data_dir)?.url),
        }
    }

    /// Connects to it.
    ///
    /// # Errors
    /// As [`Self::url`], and when nothing answers there.
    pub async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(inspect::connect(&self.url()?).await?)
    }
}
