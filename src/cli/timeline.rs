//! `runtraced timeline`: one run from start to end.

mod full;

use std::process::ExitCode;

use anyhow::bail;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    database::{DatabaseArgs, StoreConnection},
    output,
};
use crate::{
    config::{Faults, FlagReader, FlagValue},
    query::{self, IdPrefix, InspectError, RunLookup},
};

/// Columns beside the time axis: labels, durations and tokens.
const COLUMNS_BESIDE_AXIS: u16 = 64;
/// Columns for notes behind the axis.
const COLUMNS_FOR_NOTES: u16 = 16;
/// Limits of the time axis: less cannot tell steps apart, more is no easier to read.
const MIN_AXIS: u16 = 16;
const MAX_AXIS: u16 = 100;

/// What the id of a run may be.
pub(super) const ID_KIND: &str = "a UUID or a prefix of one, like 0194bb0a";

/// Draw a run as a waterfall.
///
/// The database makes the drawing: SELECT run_waterfall('RUN_ID') in psql gives the same.
/// Exit codes: 0, 1 no such run, 69 no database.
#[derive(Debug, Clone, clap::Args)]
pub struct TimelineArgs {
    /// Id of the run, or any unique prefix of it.
    pub run_id: FlagValue,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields are documented
    pub database: DatabaseArgs,
    /// Also print all texts of the run in full: names, messages and errors, inputs and
    /// outputs.
    #[arg(long, conflicts_with = "json")]
    pub full: bool,
    /// Columns of the time axis, from 8 to 400: the second argument of run_waterfall.
    /// Without it, as many as fit the terminal.
    #[arg(long, value_name = "COLUMNS")]
    pub width: Option<FlagValue>,
    /// Print the rows of run_summary and run_timeline as JSON instead.
    #[arg(long)]
    pub json: bool,
}

/// The run to show, and how.
pub(super) struct TimelineRequest {
    prefix: IdPrefix,
    axis: Option<u16>,
}

impl TimelineArgs {
    pub(super) fn request(&self) -> Result<TimelineRequest, Faults> {
        let mut flags = FlagReader::default();
        self.database.check(&mut flags);
        let prefix = flags.parsed(&self.run_id, ID_KIND);
        let width = self.width.as_ref();
        let axis = width.map(|width| flags.integer(width, 8..=400));
        flags.finish(()).map(|()| TimelineRequest {
            prefix: prefix.unwrap_or_default(),
            axis,
        })
    }
}

/// Runs the command.
///
/// # Errors
/// If a value is invalid, there is no such run, the database cannot be read, or stdout
/// fails.
pub async fn run(args: TimelineArgs) -> anyhow::Result<ExitCode> {
    let request = args.request()?;
    let (run, server) = find(&args.database, request.prefix).await?;
    let mut connection = server.conn;
    let text = if args.json {
        query::timeline_json(&mut connection, run).await? + "\n"
    } else {
        let cells = request.axis.unwrap_or_else(|| cells_for(output::width()));
        let mut text = drawing(&mut connection, run, cells).await?;
        if args.full {
            text.push_str(&full::texts(&mut connection, run).await?);
        }
        text
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The run that a prefix means, and its server.
pub(super) async fn find(
    database: &DatabaseArgs,
    prefix: IdPrefix,
) -> anyhow::Result<(Uuid, StoreConnection)> {
    let mut servers = database.connect_for(prefix.whole()).await?;
    let mut found: Vec<(Uuid, usize)> = Vec::new();
    for (place, server) in servers.iter_mut().enumerate() {
        let runs = query::find_run(&mut server.conn, prefix).await;
        let runs = runs.map_err(|error| server.failed(error))?.runs();
        found.extend(runs.into_iter().map(|run| (run, place)));
    }
    let runs = found.iter().map(|(run, _)| *run).collect();
    match (RunLookup::of_all(runs), found.first()) {
        (RunLookup::One(run), Some((_, place))) => Ok((run, servers.swap_remove(*place))),
        (RunLookup::Several(runs), _) => {
            let mut text = "several runs have this prefix; add digits:".to_owned();
            for run in runs {
                text.push_str(&format!("\n  {run}"));
            }
            bail!(text)
        }
        _ => bail!("no such run; `runtraced runs` lists the latest ones"),
    }
}

/// Columns for the time axis on a terminal with `columns`.
pub fn cells_for(columns: u16) -> u16 {
    columns
        .saturating_sub(COLUMNS_BESIDE_AXIS + COLUMNS_FOR_NOTES)
        .clamp(MIN_AXIS, MAX_AXIS)
}

/// The drawing of a run, its time axis `cells` wide.
///
/// # Errors
/// [`InspectError`] if the query fails.
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
