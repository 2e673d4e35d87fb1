//! `runtraced migrate`.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::Args;

use crate::app::database::migrate_now;
use crate::config::parse_database_url;

/// `runtraced migrate`.
#[derive(Args, Debug)]
pub struct MigrateArgs {
    /// The database to bring up to date.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: String,
}

/// Migrates and says what it applied.
///
/// # Errors
/// When the database is away or a migration fails.
pub async fn run(args: MigrateArgs) -> anyhow::Result<ExitCode> {
    let options = parse_database_url(&args.database_url)
        .map_err(|fault| anyhow!("--database-url {fault}"))?;
    let applied = migrate_now(&options).await.context("cannot migrate")?;
    let mut stdout = std::io::stdout();
    for name in &applied {
        writeln!(stdout, "applied {name}")?;
    }
    match applied.len() {
        0 => writeln!(stdout, "nothing to do: the schema is up to date")?,
        1 => writeln!(stdout, "1 migration applied; the schema is up to date")?,
        n => writeln!(stdout, "{n} migrations applied; the schema is up to date")?,
    }
    Ok(ExitCode::SUCCESS)
}
