//! Where the reading commands find the database.

use std::path::PathBuf;

use sqlx::PgConnection;

use crate::{config, postgres::PrivatePostgres, query};

/// Which database to read.
#[derive(Debug, Clone, clap::Args)]
pub struct DatabaseArgs {
    /// The database's URL. Without it, the private Postgres of --data-dir.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// The folder that `runtraced serve` was started with. Without it,
    /// $XDG_DATA_HOME/runtraced or ~/.local/share/runtraced.
    #[arg(long, env = "RUNTRACED_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl DatabaseArgs {
    /// The URL that is meant.
    ///
    /// # Errors
    /// When there is none and no private Postgres runs; says what to do.
    pub fn url(&self) -> anyhow::Result<String> {
        match &self.database_url {
            Some(url) if !url.is_empty() => Ok(url.clone()),
            _ => {
                let default = config::default_data_dir;
                let data_dir = self.data_dir.clone().unwrap_or_else(default);
                Ok(PrivatePostgres::locate(&data_dir)?.url)
            }
        }
    }

    /// Connects to it.
    ///
    /// # Errors
    /// As [`Self::url`], and when nothing answers there.
    pub async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(query::connect(&self.url()?).await?)
    }
}
