//! `runtraced customers`: adds and lists the customers that keys are bound to.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use sqlx::PgConnection;
use uuid::{NonNilUuid, Uuid};

use super::database::DatabaseArgs;
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
    let mut conn = args.database().connect().await?;
    if !store::find_customer_tables(&mut conn).await? {
        let text = "this database has no customer tables, so there are no customers to add or list; \
                    `runtraced keys create --customer` takes any id";
        return Ok(output::fail(EXIT_REFUSED, text));
    }
    match action {
        CustomersAction::Add(customer) => add(&mut conn, &customer).await,
        CustomersAction::List { deleted, json } => {
            let customers = query::customers(&mut conn, deleted).await?;
            output::print(&list(customers, json)?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn add(conn: &mut PgConnection, customer: &NewCustomer) -> anyhow::Result<ExitCode> {
    if !store::add_customer(conn, customer).await? {
        let id = customer.id;
        let text = format!("there is a customer {id} already; choose another --id");
        return Ok(output::fail(EXIT_REFUSED, text));
    }
    // Only the id goes to stdout, for scripts.
    output::print(&format!("{}\n", customer.id))?;
    Ok(ExitCode::SUCCESS)
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
