//! `runtraced cost`: what runs cost, summed by a key.

use std::io::{self, Write as _};
use std::process::ExitCode;

use serde_json::Value;

use super::database::{DatabaseArgs, StoreConnection};
use super::output;
use crate::config::{Faults, FlagReader, FlagValue};
use crate::query::{
    COST_ROWS, CostBy, CostTable, CountedRuns, InspectError, RunSearch, TimeBound, cost_statement,
    merged_costs,
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
    let mut servers = args.database.connect_all().await?;
    let statement = cost_statement(by, &CountedRuns::all(search));
    let mut tables = Vec::with_capacity(servers.len());
    for server in &mut servers {
        let table = CostTable::read(&mut server.conn, &statement).await;
        let table = table.map_err(InspectError::Query);
        tables.push(table.map_err(|error| server.failed(error))?);
    }
    let (costs, each) = match (tables.len(), servers.first_mut()) {
        (2.., Some(first)) => {
            let all = merged_costs(&mut first.conn, by, &tables).await;
            (all.map_err(InspectError::Query)?, tables)
        }
        _ => (tables.remove(0), Vec::new()),
    };
    let total = read(&costs.totals)?;
    let parts = match costs.more && !each.is_empty() {
        true => of_servers(&servers, &each)?,
        false => vec![CostPart {
            server: None,
            rows: rows_of(&costs)?,
        }],
    };
    let text = match args.json {
        true => json(parts)?,
        false if parts.iter().all(|part| part.rows.is_empty()) => "No calls.\n".to_owned(),
        false => table(args.by.text(), &parts, &total),
    };
    output::print(&text)?;
    if costs.more {
        // On stdout is the list alone, for programs that read it.
        let note = match each.is_empty() {
            true => format!("only the first {COST_ROWS} are listed; the total has all"),
            false => format!(
                "a server has more than {COST_ROWS}, so they cannot be added up: the first {COST_ROWS} of each server are listed; the total has all"
            ),
        };
        writeln!(io::stderr(), "runtraced: {note}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Costs of the whole store, or of one of its servers.
struct CostPart {
    server: Option<String>,
    rows: Vec<Value>,
}

fn read(row: &str) -> Result<Value, InspectError> {
    Ok(serde_json::from_str(row)?)
}

fn rows_of(costs: &CostTable) -> Result<Vec<Value>, InspectError> {
    costs.rows.iter().map(|row| read(row)).collect()
}

/// The costs of each server, which each row names.
fn of_servers(
    servers: &[StoreConnection],
    tables: &[CostTable],
) -> Result<Vec<CostPart>, InspectError> {
    let part = |(server, costs): (&StoreConnection, &CostTable)| {
        let mut rows = rows_of(costs)?;
        for row in &mut rows {
            row["server"] = server.server.to_string().into();
        }
        Ok(CostPart {
            server: Some(server.name()),
            rows,
        })
    };
    servers.iter().zip(tables).map(part).collect()
}

fn json(parts: Vec<CostPart>) -> anyhow::Result<String> {
    let rows: Vec<Value> = parts.into_iter().flat_map(|part| part.rows).collect();
    Ok(format!("{}\n", serde_json::to_string_pretty(&rows)?))
}

/// The rows, those of each server under its name, and below them the sums of all runs.
fn table(by: &str, parts: &[CostPart], total: &Value) -> String {
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
    let mut rows = Vec::new();
    for part in parts {
        if let Some(name) = &part.server {
            let mut heading = [const { String::new() }; 7];
            heading[0].clone_from(name);
            rows.push(heading);
        }
        rows.extend(part.rows.iter().map(|row| {
            let key = row["key"].as_str().unwrap_or("(none)");
            cells(output::printable(key), row)
        }));
    }
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
