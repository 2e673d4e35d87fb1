//! `runtraced cost`: what runs cost, summed by a key.

use std::process::ExitCode;

use serde_json::Value;

use super::database::DatabaseArgs;
use super::output;
use crate::config::{Faults, FlagReader, FlagValue};
use crate::query::{CostBy, InspectError, RunSearch, TimeBound, cost_statement};

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
    let rows = cost_statement(by, &search).json_rows(&mut conn).await;
    let rows = rows.map_err(InspectError::Query)?;
    let rows: Result<Vec<Value>, _> = rows.iter().map(|row| serde_json::from_str(row)).collect();
    let rows = rows.map_err(InspectError::Columns)?;
    let text = match args.json {
        true => format!("{}\n", serde_json::to_string_pretty(&rows)?),
        false if rows.is_empty() => "No calls.\n".to_owned(),
        false => output::table(
            &[
                args.by.text(),
                "runs",
                "calls",
                "tokens in",
                "tokens out",
                "cost (USD)",
                "without a price",
            ],
            &[1, 2, 3, 4, 5, 6],
            rows.iter().map(|row| {
                let count = |name: &str| output::thousands(row[name].as_i64().unwrap_or_default());
                [
                    output::printable(row["key"].as_str().unwrap_or("(none)")),
                    count("runs"),
                    count("calls"),
                    count("tokens_input"),
                    count("tokens_output"),
                    row["cost_usd"]
                        .as_f64()
                        .map(|usd| format!("{usd:.4}"))
                        .unwrap_or_default(),
                    count("unpriced_calls"),
                ]
            }),
        ),
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
