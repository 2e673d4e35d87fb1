//! `runtraced export`: a run as the events that `runtraced send` takes.

use std::process::ExitCode;

use sqlx::Row as _;
use tokio_stream::StreamExt as _;

use super::database::DatabaseArgs;
use super::{output, timeline};
use crate::config::{Faults, FlagReader, FlagValue};
use crate::query::{IdPrefix, InspectError, export_statement};

/// Print a run as events, one JSON object a line, as `runtraced send` reads them.
///
/// Exit codes: 0, 1 no such run, 69 no database.
#[derive(Debug, Clone, clap::Args)]
pub struct ExportArgs {
    /// Id of the run, or any unique prefix of it.
    pub run_id: FlagValue,
    /// The only format, for scripts that say what they expect.
    #[arg(long)]
    pub jsonl: bool,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields are documented
    pub database: DatabaseArgs,
}

impl ExportArgs {
    pub(super) fn prefix(&self) -> Result<IdPrefix, Faults> {
        let mut flags = FlagReader::default();
        self.database.check(&mut flags);
        let prefix = flags.parsed(&self.run_id, timeline::ID_KIND);
        flags.finish(prefix.unwrap_or_default())
    }
}

/// Runs the command.
///
/// # Errors
/// If there is no such run, the database cannot be read, or stdout fails.
pub async fn run(args: ExportArgs) -> anyhow::Result<ExitCode> {
    let prefix = args.prefix()?;
    let (run, mut server) = timeline::find(&args.database, prefix).await?;
    let statement = export_statement(run);
    let mut rows = statement.query().fetch(&mut server.conn);
    while let Some(row) = rows.next().await {
        let line: String = row
            .and_then(|row| row.try_get("event"))
            .map_err(InspectError::Query)?;
        output::print(&format!("{line}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
