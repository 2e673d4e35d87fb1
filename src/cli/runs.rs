//! `runtraced runs`: the latest runs as a table.

use std::process::ExitCode;

use comfy_table::{Cell, CellAlignment, Color, LineStyle, Table, TableStyle};
use jiff::{Timestamp, tz::TimeZone};

use super::{
    database::DatabaseArgs,
    output::{self, EXIT_UNAVAILABLE, duration, shortened, thousands},
};
use crate::query::{self, InspectError, RunFilter, RunSummary};

/// Longer names are cut in the table.
const NAME_CHARS: usize = 36;

/// List the latest runs, newest first.
///
/// They come from the view run_summary, which has more columns than the
/// table; --json prints them all.
#[derive(Debug, Clone, clap::Args)]
pub struct RunsArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// How many at most.
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Only runs with this status.
    #[arg(long, value_parser = ["running", "completed", "failed"])]
    pub status: Option<String>,
    /// Only runs of this agent (agent_id).
    #[arg(long)]
    pub agent: Option<String>,
    /// Runs whose start is not known (yet), which are not listed otherwise.
    #[arg(long)]
    pub without_start: bool,
    /// A JSON array instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// When stdout fails.
pub async fn run(args: RunsArgs) -> anyhow::Result<ExitCode> {
    match list(&args).await {
        Ok(text) => {
            output::print(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Ok(output::fail(EXIT_UNAVAILABLE, format_args!("{error:#}"))),
    }
}

async fn list(args: &RunsArgs) -> anyhow::Result<String> {
    let mut connection = args.database.connect().await?;
    let filter = RunFilter {
        status: args.status.clone(),
        agent: args.agent.clone(),
        limit: i64::from(args.limit),
        without_start: args.without_start,
    };
    let rows = query::runs(&mut connection, &filter).await?;
    if args.json {
        return Ok(format!("{}\n", serde_json::to_string_pretty(&rows)?));
    }
    if rows.is_empty() {
        return Ok("No runs.\n".to_owned());
    }
    let rows: Result<Vec<_>, InspectError> =
        rows.iter().map(|row| RunSummary::from_row(row)).collect();
    Ok(table(&rows?))
}

/// The table of some runs, as text.
pub fn table(rows: &[RunSummary]) -> String {
    let mut table = Table::new();
    let line = LineStyle::new('─', '─', '─', '─');
    table.load_style(TableStyle::new().header_separator(line));
    table.set_header([
        "run",
        "agent",
        "name",
        "status",
        "started",
        "took",
        "waited",
        "steps",
        "tokens in",
        "tokens out",
    ]);
    if !output::stdout_is_terminal() {
        table.force_no_tty();
    }
    for row in rows {
        table.add_row(cells(row));
    }
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if place >= 5 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt() + "\n"
}

fn cells(row: &RunSummary) -> Vec<Cell> {
    vec![
        Cell::new(row.run_id),
        Cell::new(&row.agent_id),
        Cell::new(shortened(
            row.name.as_deref().unwrap_or_default(),
            NAME_CHARS,
        )),
        status(row),
        Cell::new(
            row.started_at
                .as_deref()
                .map(local_time)
                .unwrap_or_default(),
        ),
        Cell::new(took(row)),
        Cell::new(match row.waiting_ms {
            0 => String::new(),
            ms => duration(ms),
        }),
        Cell::new(steps(row)),
        Cell::new(row.tokens_input.map(thousands).unwrap_or_default()),
        Cell::new(row.tokens_output.map(thousands).unwrap_or_default()),
    ]
}

fn status(row: &RunSummary) -> Cell {
    let status = row.status.as_deref().unwrap_or_default();
    let color = match status {
        "completed" => Color::Green,
        "failed" => Color::Red,
        _ => Color::Yellow,
    };
    let text = match row.finalized_by.as_deref() {
        Some("abandoned") => "failed (abandoned)",
        _ if row.pending_approvals > 0 => "running (waiting for approval)",
        _ => status,
    };
    Cell::new(text).fg(color)
}

fn took(row: &RunSummary) -> String {
    match (row.duration_ms, row.running_ms) {
        (Some(ms), _) => duration(ms),
        (None, Some(ms)) => format!("{} …", duration(ms)),
        (None, None) => String::new(),
    }
}

fn steps(row: &RunSummary) -> String {
    let mut text = row.steps.to_string();
    if row.failed_steps > 0 {
        text.push_str(&format!(", {} failed", row.failed_steps));
    }
    if row.open_steps > 0 {
        text.push_str(&format!(", {} open", row.open_steps));
    }
    text
}

/// A time of the database's JSON in the reader's time zone.
fn local_time(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => time
            .to_zoned(TimeZone::system())
            .strftime("%b %d %H:%M:%S")
            .to_string(),
        // Beyond the years that jiff knows: as the database has it.
        Err(_) => text.to_owned(),
    }
}
