//! `runtraced migrate`.

mod plan;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnectOptions;

use super::database::NoDatabase;
use super::output::{self, EXIT_REFUSED};
use crate::app::database::migrate_now;
use crate::config::{Faults, database_address, parse_database_url};
use crate::query;
use crate::store::{
    ExportFormat, build_search_index, export_migrations, is_unfit, pending_migrations, reason,
};

/// Bring a database's schema up to date.
#[derive(Args, Debug)]
pub struct MigrateArgs {
    /// URL of the database.
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        required_unless_present = "export"
    )]
    pub database_url: Option<String>,
    /// Also build indexes for searching what was said, without holding up writers. They take disk,
    /// and time from writers. Needs the extension pg_trgm.
    #[arg(long)]
    pub search_index: bool,
    /// Change nothing: say which tables the pending migrations lock, rewrite and read, and
    /// whether daemons must be stopped.
    #[arg(long, conflicts_with_all = ["search_index", "export"])]
    pub plan: bool,
    /// Write the migrations as SQL files to this folder, for other tools. Needs no database.
    #[arg(long, value_name = "DIR", conflicts_with = "search_index")]
    pub export: Option<PathBuf>,
    /// How --export names the files.
    #[arg(long, default_value = "plain", requires = "export")]
    pub format: FileFormat,
}

/// The values of --format.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FileFormat {
    /// `001_description.sql`, for `psql` and scripts/run-migration.js.
    Plain,
    /// `TIMESTAMP_description.sql`, for `supabase db push`.
    Supabase,
}

impl MigrateArgs {
    pub(super) fn options(&self) -> Result<PgConnectOptions, Faults> {
        let url = self.database_url.as_deref().unwrap_or_default();
        parse_database_url(url).map_err(|fault| Faults(vec![format!("--database-url {fault}")]))
    }

    /// Checks the values.
    pub(super) fn check(&self) -> Result<(), Faults> {
        match self.export {
            Some(_) => Ok(()),
            None => self.options().map(drop),
        }
    }
}

/// Migrates and prints what it applied, or plans, or exports.
///
/// # Errors
/// If the database does not answer, a migration fails, or a file cannot be written.
pub async fn run(args: MigrateArgs) -> anyhow::Result<ExitCode> {
    if let Some(folder) = &args.export {
        return export(folder, args.format);
    }
    let options = args.options()?;
    let address = database_address(&options);
    // First, because the errors of migrations do not tell a server that is away.
    let mut connection = query::connect(&options).await.map_err(NoDatabase::from)?;
    let found = pending_migrations(&mut connection).await;
    drop(connection);
    let found = found.with_context(|| format!("cannot read the migrations at {address}"))?;
    if let Some(newer) = found.newer {
        let text = format!(
            "a newer runtraced has migrated the database at {address} (migration {newer:04}), and \
             this version does not go back; use that version or a later one"
        );
        return Ok(output::fail(EXIT_REFUSED, text));
    }
    if args.plan {
        output::print(&plan::plan(&found)?)?;
        return Ok(ExitCode::SUCCESS);
    }
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

fn export(folder: &Path, format: FileFormat) -> anyhow::Result<ExitCode> {
    let format = match format {
        FileFormat::Plain => ExportFormat::Plain,
        FileFormat::Supabase => ExportFormat::Supabase,
    };
    let unwritable = |path: &Path| format!("cannot write {}", path.display());
    fs::create_dir_all(folder).with_context(|| unwritable(folder))?;
    let files = export_migrations(format);
    for file in &files {
        let path = folder.join(&file.name);
        fs::write(&path, &file.text).with_context(|| unwritable(&path))?;
    }
    output::print(&format!("{} files in {}\n", files.len(), folder.display()))?;
    Ok(ExitCode::SUCCESS)
}
