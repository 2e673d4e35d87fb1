//! `runtraced cost`: what runs cost, summed by a key.

use std::io::{self, Write as _};
use std::process::ExitCode;

use serde_json::Value;

use super::database::{DatabaseArgs, StoreConnection};
use super::output;
use crate::config::{Faults, FlagReader, FlagValue};
use crate::query::{
    COST_ROWS, CostBy, CostTable, CountedRuns, InspectError, RunSearch, TimeBound, cost_statement,
    fixed_time, handed_over,
};

/// The most sums that one of several servers hands over to the first. JSON of more may be too large for Postgres.
const MOST_SUMS: i64 = 500_000;

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
    let mut servers = args.database.connect_all().await?;
    let costs = costs(&mut servers, by, search).await?;
    let rows: Result<Vec<Value>, _> = costs.rows.iter().map(|row| read(row)).collect();
    let (rows, total) = (rows?, read(&costs.totals)?);
    let text = match args.json {
        true => format!("{}\n", serde_json::to_string_pretty(&rows)?),
        false if rows.is_empty() => "No calls.\n".to_owned(),
        false => table(args.by.text(), &rows, &total),
    };
    output::print(&text)?;
    if costs.more {
        // On stdout is the list alone, for programs that read it.
        let note = format!("only the first {COST_ROWS} are listed; the total has all");
        writeln!(io::stderr(), "runtraced: {note}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The costs of all servers. The first one adds up what the others hand over.
async fn costs(
    servers: &mut [StoreConnection],
    by: CostBy,
    mut search: RunSearch,
) -> anyhow::Result<CostTable> {
    let Some((first, others)) = servers.split_first_mut() else {
        anyhow::bail!("no server");
    };
    if let (Some(since), false) = (&search.since, others.is_empty()) {
        let since = fixed_time(&mut first.conn, since).await;
        search.since = Some(since.map_err(|error| first.failed(InspectError::Query(error)))?);
    }
    let parts = by.sums_parts();
    let mut counted = CountedRuns::all(search);
    let of_server = counted.clone();
    for server in others {
        let sums = handed_over(&mut server.conn, &of_server, &parts, MOST_SUMS).await;
        let sums = sums.map_err(|error| server.failed(InspectError::Query(error)))?;
        counted.add(&parts, sums);
    }
    let costs = CostTable::read(&mut first.conn, &cost_statement(by, &counted)).await;
    costs.map_err(|error| first.failed(InspectError::Query(error)))
}

fn read(row: &str) -> Result<Value, InspectError> {
    Ok(serde_json::from_str(row)?)
}

/// The rows, and below them the sums of all runs.
fn table(by: &str, costs: &[Value], total: &Value) -> String {
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
    let mut rows: Vec<_> = costs
        .iter()
        .map(|row| {
            let key = row["key"].as_str().unwrap_or("(none)");
            cells(output::printable(key), row)
        })
        .collect();
    rows.push(cells("total".to_owned(), total));
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
        rows.into_iter(),
    )
}
