//! `runtraced migrate`.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use sqlx::postgres::PgConnectOptions;

use super::database::NoDatabase;
use super::output;
use crate::app::database::migrate_now;
use crate::config::{Faults, database_address, parse_database_url};
use crate::query;

/// Bring a database's schema up to date.
#[derive(Args, Debug)]
pub struct MigrateArgs {
    /// URL of the database.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: String,
}

impl MigrateArgs {
    pub(super) fn options(&self) -> Result<PgConnectOptions, Faults> {
        parse_database_url(&self.database_url)
            .map_err(|fault| Faults(vec![format!("--database-url {fault}")]))
    }
}

/// Migrates and says so.
///
/// # Errors
/// If the database does not answer or a migration fails.
pub async fn run(args: MigrateArgs) -> anyhow::Result<ExitCode> {
    let options = args.options()?;
    let address = database_address(&options);
    // First, because the errors of migrations do not tell a server that is away.
    let connection = query::connect(&options).await.map_err(NoDatabase::from)?;
    drop(connection);
    migrate_now(&options)
        .await
        .with_context(|| format!("cannot migrate the database at {address}"))?;
    output::print("the schema is up to date\n")?;
    Ok(ExitCode::SUCCESS)
}
