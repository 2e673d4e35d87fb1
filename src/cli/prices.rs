//! `runtraced prices`: what models cost.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;

use super::database::{DatabaseArgs, StoreConnection};
use super::merged::Moment;
use super::output;
use crate::config::{Faults, FlagReader, FlagValue};
use crate::query::{self, PriceListRow, UnpricedModel};
use crate::store::{self, PriceRow};

/// List and set the prices of models.
///
/// The daemon fills in the prices of its catalog for the models in your traces. A price
/// that you set wins over the catalog.
#[derive(Debug, Clone, clap::Args)]
pub struct PricesArgs {
    #[command(subcommand)]
    command: PricesCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum PricesCommand {
    /// List all prices, in US dollars per million tokens.
    List(ListPricesArgs),
    /// Set a price of a model, in US dollars per million tokens.
    Set(Box<SetPriceArgs>),
    /// List models in the traces whose price is unknown.
    Missing(ListPricesArgs),
}

#[derive(Debug, Clone, clap::Args)]
struct ListPricesArgs {
    /// Print a JSON array instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Clone, clap::Args)]
struct SetPriceArgs {
    /// Model, as agents name it. Behind it `@PROVIDER`, `:batch`, or both, as in
    /// `gpt-4o@azure:batch`, for calls by this provider, and for batches.
    model: String,
    /// Price of input tokens.
    #[arg(long, value_name = "USD")]
    input: FlagValue,
    /// Price of output tokens.
    #[arg(long, value_name = "USD")]
    output: FlagValue,
    /// Price of input tokens that a cache had. Without it, as other input.
    #[arg(long, value_name = "USD")]
    cache_read: Option<FlagValue>,
    /// Price of input tokens that are written to a cache. Without it, as other input.
    #[arg(long, value_name = "USD")]
    cache_write: Option<FlagValue>,
    /// Price of output tokens of reasoning. Without it, as other output.
    #[arg(long, value_name = "USD")]
    reasoning: Option<FlagValue>,
    /// Time from which the price holds. Without it, always.
    #[arg(long, value_name = "TIME")]
    from: Option<FlagValue>,
    /// Only for calls with more input tokens than this.
    #[arg(long, default_value = "0", value_name = "N")]
    above: FlagValue,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl PricesArgs {
    fn database(&self) -> &DatabaseArgs {
        match &self.command {
            PricesCommand::List(args) | PricesCommand::Missing(args) => &args.database,
            PricesCommand::Set(args) => &args.database,
        }
    }

    /// The price to set, if the command is to set one.
    pub(super) fn price(&self) -> Result<Option<PriceRow>, Faults> {
        let mut flags = FlagReader::default();
        self.database().check(&mut flags);
        let PricesCommand::Set(args) = &self.command else {
            return flags.finish(None);
        };
        let mut dollars = |value: Option<&FlagValue>| {
            let value = value?;
            let number: f64 = flags.parsed(value, "a price like 2.5")?;
            if !(0.0..1e9).contains(&number) {
                flags.fault(format!("{} {value} is not a price like 2.5", value.name()));
            }
            // The text, so that nothing is rounded.
            Some(value.text().to_owned())
        };
        let mut price = PriceRow {
            input: dollars(Some(&args.input)),
            output: dollars(Some(&args.output)),
            cache_read: dollars(args.cache_read.as_ref()),
            cache_write: dollars(args.cache_write.as_ref()),
            reasoning: dollars(args.reasoning.as_ref()),
            ..PriceRow::default()
        };
        price.above_input_tokens = flags.integer(&args.above, 0..=i64::from(i32::MAX));
        price.valid_from = args.from.as_ref().and_then(|from| {
            let time: jiff::Timestamp = flags.parsed(from, "a time like 2026-01-31T12:00:00Z")?;
            Some(time.to_string())
        });
        flags.finish(Some(price))
    }
}

/// Runs the command.
///
/// # Errors
/// If a value is invalid, or stdout or a query fails.
pub async fn run(args: PricesArgs) -> anyhow::Result<ExitCode> {
    let price = args.price()?;
    let mut servers = args.database().connect_all().await?;
    match (args.command, price) {
        (PricesCommand::Set(set), Some(price)) => {
            for server in &mut servers {
                let written = store::set_price(&mut server.conn, &set.model, &price).await;
                written
                    .map_err(|error| server.failed(error))
                    .context("cannot write the price")?;
            }
            output::print(&format!("the price of {} is set\n", set.model))?;
        }
        (PricesCommand::Missing(list), _) => {
            let rows = unpriced(&mut servers).await?;
            let text = match list.json {
                true => format!("{}\n", serde_json::to_string_pretty(&rows)?),
                false if rows.is_empty() => "Every model has a price.\n".to_owned(),
                false => output::table(
                    &["model", "calls", "last"],
                    &[1],
                    rows.into_iter().map(|row| {
                        let model = row.model.unwrap_or_else(|| "(not said)".to_owned());
                        [
                            model,
                            output::thousands(row.calls),
                            row.last_at.unwrap_or_default(),
                        ]
                    }),
                ),
            };
            output::print(&text)?;
        }
        (PricesCommand::List(list), _) => {
            // Every server has the same prices.
            let first = servers.first_mut().context("there is no server")?;
            let rows = query::prices(&mut first.conn).await?;
            let text = match list.json {
                true => format!("{}\n", serde_json::to_string_pretty(&rows)?),
                false => table(rows),
            };
            output::print(&text)?;
        }
        (PricesCommand::Set(_), None) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The models without a price in the traces of any server, the most used first.
async fn unpriced(servers: &mut [StoreConnection]) -> anyhow::Result<Vec<UnpricedModel>> {
    let mut lists = Vec::with_capacity(servers.len());
    for server in servers {
        let rows = query::unpriced_models(&mut server.conn).await;
        lists.push(rows.map_err(|error| server.failed(error))?);
    }
    if lists.len() == 1 {
        return Ok(lists.remove(0));
    }
    let mut models: BTreeMap<Option<String>, UnpricedModel> = BTreeMap::new();
    for row in lists.into_iter().flatten() {
        let sum = models.entry(row.model.clone()).or_insert(UnpricedModel {
            model: row.model,
            calls: 0,
            last_at: None,
        });
        sum.calls += row.calls;
        sum.last_at = [sum.last_at.take(), row.last_at]
            .into_iter()
            .flatten()
            .max_by_key(|time| Moment::read(time));
    }
    let mut models: Vec<UnpricedModel> = models.into_values().collect();
    models.sort_by_key(|row| Reverse(row.calls));
    Ok(models)
}

fn table(rows: Vec<PriceListRow>) -> String {
    if rows.is_empty() {
        return "No prices.\n".to_owned();
    }
    let heads = [
        "model",
        "by",
        "from",
        "above",
        "input",
        "output",
        "cache read",
        "cache write",
        "reasoning",
    ];
    let rows = rows.into_iter().map(|row| {
        let text = |rate: Option<String>| rate.unwrap_or_default();
        [
            row.model,
            row.priced_as.unwrap_or(row.source),
            row.valid_from.unwrap_or_else(|| "always".to_owned()),
            output::thousands(row.above_input_tokens),
            text(row.input),
            text(row.output),
            text(row.cache_read),
            text(row.cache_write),
            text(row.reasoning),
        ]
    });
    output::table(&heads, &[3, 4, 5, 6, 7, 8], rows)
}
