//! `runtraced customers`: adds and lists the customers that keys are bound to.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Subcommand, ValueEnum};
use uuid::{NonNilUuid, Uuid};

use super::database::{DatabaseArgs, StoreConnection};
use super::merged::{Moment, merge};
use super::output::{self, EXIT_REFUSED, shortened};
use crate::config::{Faults, FlagReader, FlagValue};
use crate::query::{self, CustomerRow};
use crate::store::{self, NewCustomer};

/// Longer names are cut in the table, so that a row fits a wide terminal.
const NAME_CHARS: usize = 60;

/// Add and list the customers that keys are bound to.
///
/// They are rows of the table `customers`. A product that has this table already adds them
/// itself.
#[derive(Debug, Clone, clap::Args)]
pub struct CustomersArgs {
    #[command(subcommand)]
    command: CustomersCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum CustomersCommand {
    /// Add a customer and print its id, for `runtraced keys create --customer`.
    Add(AddCustomerArgs),
    /// List customers, oldest first.
    List(ListCustomersArgs),
}

#[derive(Debug, Clone, clap::Args)]
struct AddCustomerArgs {
    /// Name of the customer.
    #[arg(long)]
    name: String,
    /// Id of the customer. Without it, a new one.
    #[arg(long, value_name = "UUID")]
    id: Option<FlagValue>,
    /// Annual recurring revenue.
    #[arg(long, default_value = "0", value_name = "NUMBER")]
    arr: FlagValue,
    /// Size of the customer.
    #[arg(long)]
    tier: Option<CustomerTier>,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// The values that the column `tier` may have.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "kebab-case")]
enum CustomerTier {
    Enterprise,
    MidMarket,
    Smb,
}

#[derive(Debug, Clone, clap::Args)]
struct ListCustomersArgs {
    /// Also list deleted customers.
    #[arg(long)]
    deleted: bool,
    /// Print a JSON array instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// A subcommand with valid values.
pub(super) enum CustomersAction {
    Add(NewCustomer),
    List { deleted: bool, json: bool },
}

impl CustomersArgs {
    pub(super) fn action(&self) -> Result<CustomersAction, Faults> {
        let mut flags = FlagReader::default();
        self.database().check(&mut flags);
        let action = match &self.command {
            CustomersCommand::Add(args) => CustomersAction::Add(args.customer(&mut flags)),
            CustomersCommand::List(args) => CustomersAction::List {
                deleted: args.deleted,
                json: args.json,
            },
        };
        flags.finish(action)
    }

    fn database(&self) -> &DatabaseArgs {
        match &self.command {
            CustomersCommand::Add(args) => &args.database,
            CustomersCommand::List(args) => &args.database,
        }
    }
}

impl AddCustomerArgs {
    fn customer(&self, flags: &mut FlagReader) -> NewCustomer {
        let name = self.name.trim();
        if name.is_empty() {
            flags.fault("--name is empty");
        }
        let id = match &self.id {
            None => Uuid::now_v7(),
            Some(id) => flags.uuid(id).unwrap_or_default(),
        };
        // A key of the nil UUID would belong to nobody.
        if self.id.is_some() && NonNilUuid::new(id).is_none() && flags.fault_count() == 0 {
            flags.fault("--id is the nil UUID, which names no customer");
        }
        let number: f64 = flags
            .parsed(&self.arr, "a number like 120000")
            .unwrap_or(0.0);
        if !number.is_finite() {
            flags.fault(format!("--arr {} is not a number like 120000", self.arr));
        }
        let tier = self.tier.and_then(|tier| tier.to_possible_value());
        NewCustomer {
            id,
            name: name.to_owned(),
            // The text, so that nothing is rounded.
            arr: self.arr.text().to_owned(),
            tier: tier.map(|tier| tier.get_name().to_owned()),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// If a value is invalid, or stdout or a query fails.
pub async fn run(args: CustomersArgs) -> anyhow::Result<ExitCode> {
    let action = args.action()?;
    let mut servers = args.database().connect_all().await?;
    for server in &mut servers {
        let found = store::find_customer_tables(&mut server.conn).await;
        if !found.map_err(|error| server.failed(error))? {
            let text = "this database has no customer tables, so there are no customers to add or list; \
                        `runtraced keys create --customer` takes any id";
            let refusal = server.failed(anyhow!(text));
            return Ok(output::fail(EXIT_REFUSED, format!("{refusal:#}")));
        }
    }
    match action {
        CustomersAction::Add(customer) => add(&mut servers, &customer).await,
        CustomersAction::List { deleted, json } => {
            let customers = listed(&mut servers, deleted).await?;
            output::print(&list(customers, json)?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Adds a customer on all servers. A server that another one sends its customers to gets this one,
/// too.
async fn add(servers: &mut [StoreConnection], customer: &NewCustomer) -> anyhow::Result<ExitCode> {
    let (id, mut is_new) = (customer.id, false);
    for server in servers {
        let others = server.server.has_others();
        if others && query::customers_are_copied(&mut server.conn).await? {
            continue;
        }
        match store::add_customer(&mut server.conn, customer).await {
            Ok(added) => is_new |= added,
            Err(error) if others => {
                return Err(server.failed(error)).with_context(|| {
                    format!("the customer is not on all servers; repeat the command with --id {id}")
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
    if !is_new {
        let text = format!("there is a customer {id} already; choose another --id");
        return Ok(output::fail(EXIT_REFUSED, text));
    }
    // Only the id goes to stdout, for scripts.
    output::print(&format!("{id}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// The customers of all servers, each once, oldest first.
async fn listed(
    servers: &mut [StoreConnection],
    deleted: bool,
) -> anyhow::Result<Vec<CustomerRow>> {
    let mut lists = Vec::with_capacity(servers.len());
    for server in servers {
        let rows = query::customers(&mut server.conn, deleted).await;
        lists.push(rows.map_err(|error| server.failed(error))?);
    }
    if lists.len() == 1 {
        return Ok(lists.remove(0));
    }
    let mut copies: BTreeMap<Uuid, usize> = BTreeMap::new();
    for row in lists.iter().flatten() {
        *copies.entry(row.id).or_default() += 1;
    }
    let missing = copies.values().filter(|copies| **copies < lists.len());
    match missing.count() {
        0 => {}
        missing => output::warn(format!(
            "customers that are not on all servers: {missing}; copy them (docs/OPERATIONS.md)"
        )),
    }
    // The first server, which has the keys, has the first word.
    let rows = lists.into_iter().flatten();
    let rows = rows
        .filter(|row| copies.remove(&row.id).is_some())
        .collect();
    Ok(merge(vec![rows, Vec::new()], usize::MAX, |row| {
        let created = row.created_at.as_deref().map(Moment::read);
        (created.is_none(), created, row.id)
    }))
}

fn list(customers: Vec<CustomerRow>, json: bool) -> anyhow::Result<String> {
    if json {
        return Ok(format!("{}\n", serde_json::to_string_pretty(&customers)?));
    }
    if customers.is_empty() {
        return Ok("No customers.\n".to_owned());
    }
    let heads = ["id", "name", "tier", "arr", "keys", "created", "deleted"];
    let rows = customers.into_iter().map(|customer| {
        [
            customer.id.to_string(),
            shortened(&customer.name, NAME_CHARS),
            customer.tier.unwrap_or_default(),
            customer.arr.unwrap_or_default(),
            output::thousands(customer.keys),
            customer.created_at.unwrap_or_default(),
            customer.deleted_at.unwrap_or_default(),
        ]
    });
    Ok(output::table(&heads, &[3, 4], rows))
}
