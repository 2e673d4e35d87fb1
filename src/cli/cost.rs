//! `runtraced cost`: what runs cost, summed by a key.

use std::io::{self, Write as _};
use std::process::ExitCode;

use serde_json::Value;

use super::database::DatabaseArgs;
use super::output;
use crate::config::{Faults, FlagReader, FlagValue};
use crate::query::{
    COST_ROWS, CostBy, CostTable, CountedRuns, InspectError, RunSearch, TimeBound, cost_statement,
};

/// What costs can be summed by.
const KEYS: [&str; 6] = ["agent", "model", "session", "customer", "user", "day"];

/// Sum up what runs cost, in US dollars.
///
/// Calls of models without a price are counted, not guessed: `runtraced prices missing`.
#[derive(Debug, Clone, clap::Args)]
pub struct CostArgs {
    /// What to sum by: agent, model, session, customer, user or day.
    #[arg(long, default_value = "agent", value_name = "KEY")]
    pub by: FlagValue,
    /// Only runs that started within this time.
    #[arg(long, default_value = "720h", value_name = "DURATION")]
    pub since: FlagValue,
    /// Print a JSON array instead of a table.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields are documented
    pub database: DatabaseArgs,
}

impl CostArgs {
    pub(super) fn request(&self) -> Result<(CostBy, RunSearch), Faults> {
        let mut flags = FlagReader::default();
        self.database.check(&mut flags);
        let by = CostBy::named(&flags.one_of(&self.by, &KEYS));
        let search = RunSearch {
            since: Some(TimeBound::Ago(
                flags.duration(&self.since, std::time::Duration::ZERO),
            )),
            ..RunSearch::default()
        };
        flags.finish((by.unwrap_or(CostBy::Agent), search))
    }
}

/// Runs the command.
///
/// # Errors
/// If a value is invalid, the database cannot be read, or stdout fails.
pub async fn run(args: CostArgs) -> anyhow::Result<ExitCode> {
    let (by, search) = args.request()?;
    let mut conn = args.database.connect().await?;
    let statement = cost_statement(by, &CountedRuns::all(search));
    let costs = CostTable::read(&mut conn, &statement).await;
    let costs = costs.map_err(InspectError::Query)?;
    let read = |row: &String| serde_json::from_str(row);
    let rows: Result<Vec<Value>, _> = costs.rows.iter().map(read).collect();
    let rows = rows.map_err(InspectError::Columns)?;
    let text = match args.json {
        true => format!("{}\n", serde_json::to_string_pretty(&rows)?),
        false if rows.is_empty() => "No calls.\n".to_owned(),
        false => {
            let total = read(&costs.totals).map_err(InspectError::Columns)?;
            table(args.by.text(), &rows, &total)
        }
    };
    output::print(&text)?;
    if costs.more {
        // On stdout is the list alone, for programs that read it.
        let note = format!("only the first {COST_ROWS} are listed; the total has all");
        writeln!(io::stderr(), "runtraced: {note}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The rows, and below them the sums of all runs.
fn table(by: &str, rows: &[Value], total: &Value) -> String {
    let cells = |key: String, row: &Value| {
        let count = |name: &str| output::thousands(row[name].as_i64().unwrap_or_default());
        let cost = row["cost_usd"].as_f64();
        [
            key,
            count("runs"),
            count("calls"),
            count("tokens_input"),
            count("tokens_output"),
            cost.map(|usd| format!("{usd:.4}")).unwrap_or_default(),
            count("unpriced_calls"),
        ]
    };
    let key = |row: &Value| output::printable(row["key"].as_str().unwrap_or("(none)"));
    output::table(
        &[
            by,
            "runs",
            "calls",
            "tokens in",
            "tokens out",
            "cost (USD)",
            "without a price",
        ],
        &[1, 2, 3, 4, 5, 6],
        rows.iter()
            .map(|row| cells(key(row), row))
            .chain([cells("total".to_owned(), total)]),
    )
}
