//! `runtraced runs`: the latest runs as a table.

mod listed;
mod tail;

use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{Cell, CellAlignment, Color, LineStyle, Table, TableStyle};
use jiff::{Timestamp, tz::TimeZone};

use super::{
    database::DatabaseArgs,
    output::{self, duration, one_line, shortened, thousands},
};
use crate::{
    config::{Faults, FlagReader, FlagValue},
    query::{InspectError, RunFilter, RunSearch, RunSummary, TimeBound},
};

/// Longer names and agents are cut in the table, so that a row fits a wide terminal.
const NAME_CHARS: usize = 36;
/// The first column that holds numbers.
const FIRST_NUMBER_COLUMN: usize = 5;

/// List the latest runs, newest first.
///
/// The table shows some columns of the view run_summary; --json prints all of them.
#[derive(Debug, Clone, clap::Args)]
pub struct RunsArgs {
    #[command(flatten)]
    #[allow(missing_docs)] // its fields are documented
    pub database: DatabaseArgs,
    /// Most runs to list.
    #[arg(long, short = 'n', default_value = "20", value_name = "N")]
    pub limit: FlagValue,
    /// Only runs with this status: running, completed or failed.
    #[arg(long)]
    pub status: Option<FlagValue>,
    /// Only runs of this agent (agent_id).
    #[arg(long)]
    pub agent: Option<String>,
    /// Only runs that started within this time.
    #[arg(long, value_name = "DURATION")]
    pub since: Option<FlagValue>,
    /// Only failed runs, as --status failed.
    #[arg(long, conflicts_with = "status")]
    pub failed: bool,
    /// Only runs that hold this text: in inputs, outputs, messages, errors or names.
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// Go on and print each run that appears or ends, until interrupted.
    #[arg(long, conflicts_with_all = ["json", "without_start"])]
    pub tail: bool,
    /// Only runs whose start is unknown, which are not listed otherwise.
    #[arg(long)]
    pub without_start: bool,
    /// Print a JSON array instead of a table.
    #[arg(long)]
    pub json: bool,
}

impl RunsArgs {
    /// The search for the flags that need one; `None`: the list does without.
    pub(super) fn search(&self) -> Result<Option<RunSearch>, Faults> {
        let needed = self.since.is_some() || self.failed || self.search.is_some() || self.tail;
        let filter = self.filter()?;
        let mut flags = FlagReader::default();
        let failed = self.failed.then(|| "failed".to_owned());
        let since = self.since.as_ref();
        let since = since.map(|since| TimeBound::Ago(flags.duration(since, Duration::ZERO)));
        let search = RunSearch {
            status: failed.or(filter.status).into_iter().collect(),
            agent: filter.agent.into_iter().collect(),
            since,
            text: self.search.clone(),
            limit: usize::try_from(filter.limit).unwrap_or(usize::MAX),
            ..RunSearch::default()
        };
        flags.finish(needed.then_some(search))
    }

    pub(super) fn filter(&self) -> Result<RunFilter, Faults> {
        let mut flags = FlagReader::default();
        self.database.check(&mut flags);
        let statuses = ["running", "completed", "failed"];
        let status = self.status.as_ref();
        let filter = RunFilter {
            status: status.map(|status| flags.one_of(status, &statuses)),
            agent: self.agent.clone(),
            limit: flags.integer(&self.limit, 1..=u32::MAX).into(),
            without_start: self.without_start,
        };
        flags.finish(filter)
    }
}

/// Runs the command.
///
/// # Errors
/// If a value is invalid, the database cannot be read, or stdout fails.
pub async fn run(args: RunsArgs) -> anyhow::Result<ExitCode> {
    let (filter, search) = (args.filter()?, args.search()?);
    let mut servers = args.database.connect_all().await?;
    if let (Some(search), true) = (&search, args.tail) {
        return tail::follow(&mut servers, search).await;
    }
    let rows = match search {
        None => listed::latest(&mut servers, &filter).await?,
        Some(search) => listed::found(&mut servers, &search).await?,
    };
    let text = if args.json {
        format!("{}\n", serde_json::to_string_pretty(&rows)?)
    } else if rows.is_empty() {
        "No runs.\n".to_owned()
    } else {
        let rows: Result<Vec<_>, InspectError> =
            rows.iter().map(|row| RunSummary::from_row(row)).collect();
        table(&rows?)
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs as a table.
pub fn table(rows: &[RunSummary]) -> String {
    let clock = LocalClock::now();
    let mut table = Table::new();
    let line = LineStyle::new('─', '─', '─', '─');
    table.load_style(TableStyle::new().header_separator(line));
    table.set_header([
        "run",
        "agent",
        "name",
        "status",
        &format!("started ({})", clock.zone_name()),
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
        table.add_row(cells(row, &clock));
    }
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if place >= FIRST_NUMBER_COLUMN {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt() + "\n"
}

fn cells(row: &RunSummary, clock: &LocalClock) -> Vec<Cell> {
    let started = row.started_at.as_deref().map(|time| clock.show(time));
    let waited = (row.waiting_ms > 0).then(|| duration(row.waiting_ms));
    vec![
        Cell::new(row.run_id),
        Cell::new(named(&row.agent_id)),
        Cell::new(named(row.name.as_deref().unwrap_or_default())),
        status(row),
        Cell::new(started.unwrap_or_default()),
        Cell::new(took(row)),
        Cell::new(waited.unwrap_or_default()),
        Cell::new(steps(row)),
        Cell::new(row.tokens_input.map(thousands).unwrap_or_default()),
        Cell::new(row.tokens_output.map(thousands).unwrap_or_default()),
    ]
}

/// A name that whoever sends events has chosen.
fn named(text: &str) -> String {
    shortened(&one_line(text), NAME_CHARS)
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

/// Shows times in the time zone of the reader.
struct LocalClock {
    zone: TimeZone,
    now: Timestamp,
}

impl LocalClock {
    fn now() -> Self {
        Self {
            zone: TimeZone::system(),
            now: Timestamp::now(),
        }
    }

    /// `Europe/Berlin`, or an abbreviation such as `CET` if the zone has no name.
    fn zone_name(&self) -> String {
        match self.zone.iana_name() {
            // Without a zone of the system, jiff uses UTC.
            _ if self.zone.is_unknown() => "UTC".to_owned(),
            Some("Etc/UTC") => "UTC".to_owned(),
            Some(name) => name.to_owned(),
            None => self.zoned(self.now).strftime("%Z").to_string(),
        }
    }

    /// A time of the database's JSON: `Jan 31 12:00:00`, with the year if that is not the
    /// current one.
    fn show(&self, text: &str) -> String {
        let Ok(time) = text.parse::<Timestamp>() else {
            // Outside the years that jiff knows: as the database has it.
            return text.to_owned();
        };
        let time = self.zoned(time);
        let format = if time.year() == self.zoned(self.now).year() {
            "%b %d %H:%M:%S"
        } else {
            "%b %d %Y %H:%M:%S"
        };
        time.strftime(format).to_string()
    }

    fn zoned(&self, time: Timestamp) -> jiff::Zoned {
        time.to_zoned(self.zone.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(zone: TimeZone, now: &str) -> LocalClock {
        LocalClock {
            zone,
            now: now.parse().unwrap(),
        }
    }

    #[test]
    fn times_have_their_year_if_it_is_another_one() {
        let utc = clock(TimeZone::UTC, "2026-11-01T00:00:00Z");
        assert_eq!(utc.show("2026-01-31T12:00:00.5+00:00"), "Jan 31 12:00:00");
        assert_eq!(utc.show("2025-12-31T23:59:59Z"), "Dec 31 2025 23:59:59");
        assert_eq!(utc.show("infinity"), "infinity");
        assert_eq!(utc.zone_name(), "UTC");
        // New Year has come to this zone already.
        let east = TimeZone::posix("EAST-2").unwrap();
        let east = clock(east, "2025-12-31T23:00:00Z");
        assert_eq!(east.zone_name(), "EAST");
        assert_eq!(east.show("2025-12-31T22:30:00Z"), "Jan 01 00:30:00");
        assert_eq!(east.show("2025-12-31T21:30:00Z"), "Dec 31 2025 23:30:00");
    }
}
