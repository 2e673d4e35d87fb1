//! `runtraced migrate`.

use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::Args;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnectOptions;

use super::database::NoDatabase;
use super::output;
use crate::app::database::migrate_now;
use crate::config::{Faults, database_address, parse_database_url};
use crate::query;
use crate::store::{build_search_index, is_unfit, reason};

/// Bring a database's schema up to date.
#[derive(Args, Debug)]
pub struct MigrateArgs {
    /// URL of the database.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: String,
    /// Also build indexes for searching what was said, without holding up writers. They take disk,
    /// and time from writers. Needs the extension pg_trgm.
    #[arg(long)]
    pub search_index: bool,
}

impl MigrateArgs {
    pub(super) fn options(&self) -> Result<PgConnectOptions, Faults> {
        parse_database_url(&self.database_url)
            .map_err(|fault| Faults(vec![format!("--database-url {fault}")]))
    }
}

/// Migrates and prints what it applied.
///
/// # Errors
/// If the database does not answer or a migration fails.
pub async fn run(args: MigrateArgs) -> anyhow::Result<ExitCode> {
    let options = args.options()?;
    let address = database_address(&options);
    // First, because the errors of migrations do not tell a server that is away.
    let connection = query::connect(&options).await.map_err(NoDatabase::from)?;
    drop(connection);
    let applied = migrate_now(&options).await.map_err(|error| match error {
        MigrateError::Execute(error) if is_unfit(&error) => anyhow!(reason(&error)),
        error => error.into(),
    });
    let applied = applied.with_context(|| format!("cannot migrate the database at {address}"))?;
    let mut lines: String = applied
        .iter()
        .map(|name| format!("applied {name}\n"))
        .collect();
    lines += match applied.len() {
        0 => "nothing to do: the schema is up to date\n",
        _ => "the schema is up to date\n",
    };
    output::print(&lines)?;
    if args.search_index {
        let mut connection = query::connect(&options).await.map_err(NoDatabase::from)?;
        let built = build_search_index(&mut connection)
            .await
            .context("cannot build the search indexes")?;
        let mut lines: String = built.iter().map(|name| format!("built {name}\n")).collect();
        lines += "the search indexes are there\n";
        output::print(&lines)?;
    }
    Ok(ExitCode::SUCCESS)
}
