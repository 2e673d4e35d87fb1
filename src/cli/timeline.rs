//! `runtraced timeline`: one run from start to end.

use std::process::ExitCode;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    database::DatabaseArgs,
    output::{self, EXIT_REFUSED, EXIT_UNAVAILABLE},
};
use crate::query::{self, IdPrefix, InspectError, Lookup};

/// Draw a run as a waterfall.
///
/// The drawing is the database's own: SELECT run_waterfall('RUN_ID') in psql
/// gives the same. Exit codes: 0, 1 no such run, 69 no database.
#[derive(Debug, Clone, clap::Args)]
pub struct TimelineArgs {
    /// The run's id, or as much of its beginning as no other run has.
    pub run_id: IdPrefix,
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Columns of the time axis, the second argument of run_waterfall.
    /// Without it: what the terminal has room for.
    #[arg(long, value_parser = clap::value_parser!(u16).range(8..=400))]
    pub width: Option<u16>,
    /// The rows of run_summary and run_timeline as JSON instead.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// When stdout fails.
pub async fn run(args: TimelineArgs) -> anyhow::Result<ExitCode> {
    match read(&args).await {
        Ok(Ok(text)) => {
            output::print(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(Err(message)) => Ok(output::fail(EXIT_REFUSED, message)),
        Err(error) => Ok(output::fail(EXIT_UNAVAILABLE, format_args!("{error:#}"))),
    }
}

/// The text to print, or why there is none for this id.
async fn read(args: &TimelineArgs) -> anyhow::Result<Result<String, String>> {
    let mut connection = args.database.connect().await?;
    let run = match query::find_run(&mut connection, args.run_id).await? {
        Lookup::One(run) => run,
        Lookup::None => return Ok(Err("no such run".to_owned())),
        Lookup::Several(runs) => return Ok(Err(ambiguous(&runs))),
    };
    if args.json {
        let json = query::timeline_json(&mut connection, run).await?;
        return Ok(Ok(format!("{json}\n")));
    }
    let cells = args.width.unwrap_or_else(|| cells_for(output::width()));
    Ok(Ok(drawing(&mut connection, run, cells).await?))
}

fn ambiguous(runs: &[Uuid]) -> String {
    let mut text = "several runs begin so:".to_owned();
    for run in runs {
        text.push_str(&format!("\n  {run}"));
    }
    text
}

/// How many columns the time axis may take on a terminal with `columns`: what
/// labels, durations and tokens leave, and some for notes.
pub fn cells_for(columns: u16) -> u16 {
    const BESIDE: u16 = 64;
    const NOTES: u16 = 16;
    columns.saturating_sub(BESIDE + NOTES).clamp(16, 100)
}

/// The drawing of a run, its time axis `cells` wide.
///
/// # Errors
/// [`InspectError`] as the database gives it.
pub async fn drawing(
    connection: &mut PgConnection,
    run: Uuid,
    cells: u16,
) -> Result<String, InspectError> {
    let lines = query::waterfall(connection, run, i32::from(cells)).await?;
    let mut text = String::new();
    for line in lines {
        text.push_str(&output::paint_mark(&line));
        text.push('\n');
    }
    Ok(text)
}
