//! `runtraced migrate`.

mod plan;
mod servers;
mod slots;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnectOptions;

use super::database::NoDatabase;
use super::output::{self, EXIT_REFUSED};
use crate::app::database::migrate_now;
use crate::config::{Faults, database_address, given_urls, parse_database_urls};
use crate::query;
use crate::store::{
    CustomerTables, ExportFormat, PartitionError, PlaceError, SlotCount, SlotError, StorePlace,
    StoreServer, build_search_index, customer_tables, export_migrations, is_unfit,
    partition_by_month, pending_migrations, place_customer_tables, place_refusal, reason,
};

/// Bring a database's schema up to date.
#[derive(Args, Debug)]
pub struct MigrateArgs {
    /// URL of the database. Several, with the flag repeated or spaces between them: the servers of
    /// one store. Their databases note that, and in which order they are; neither can change later,
    /// and they must be empty.
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        value_delimiter = ' ',
        required_unless_present = "export"
    )]
    pub database_url: Vec<String>,
    /// Also build indexes for searching what was said, without holding up writers. They take disk,
    /// and time from writers. Needs the extension pg_trgm.
    #[arg(long)]
    pub search_index: bool,
    /// Keep steps, messages, token counts and contents in partitions by month, so that retention
    /// drops whole months. Existing rows stay where they are. Daemons may go on. There is no way
    /// back.
    #[arg(long, value_name = "UNIT", conflicts_with_all = ["plan", "export"])]
    pub partition: Option<PartitionUnit>,
    /// Keep runs in this many slots: each has tables of its own, in a schema of its own, and the names
    /// in `public` become views. 2, 4, 8, 16, 32 or 64; it cannot change later. Nobody writes while
    /// rows move: daemons spool. An interrupted move goes on, or is given up with 1.
    #[arg(long, value_name = "N", value_parser = slot_number, conflicts_with_all = ["plan", "export", "partition"])]
    pub slots: Option<u8>,
    /// Change nothing: say which tables the pending migrations lock, rewrite and read, and
    /// whether daemons must be stopped.
    #[arg(long, conflicts_with_all = ["search_index", "export"])]
    pub plan: bool,
    /// Keep the customer tables in this schema, which is created if there is none. The database
    /// remembers it; `public` moves them back.
    #[arg(long, value_name = "NAME")]
    pub schema: Option<String>,
    /// Leave the customer tables out, for a database that is only for traces. They must have no
    /// rows. The database remembers it, and there is no way back.
    #[arg(long, conflicts_with = "schema")]
    pub without_customers: bool,
    /// Write the migrations as SQL files to this folder, for other tools. Needs no database.
    #[arg(long, value_name = "DIR", conflicts_with = "search_index")]
    pub export: Option<PathBuf>,
    /// How --export names the files.
    #[arg(long, default_value = "plain", requires = "export")]
    pub format: FileFormat,
}

/// The values of --partition.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PartitionUnit {
    /// The months of UTC.
    Month,
}

/// The values of --format.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FileFormat {
    /// `001_description.sql`, for `psql` and scripts/run-migration.js.
    Plain,
    /// `TIMESTAMP_description.sql`, for `supabase db push`.
    Supabase,
}

impl MigrateArgs {
    pub(super) fn servers(&self) -> Result<Vec<PgConnectOptions>, Faults> {
        let named = |fault: String| format!("--database-url {fault}");
        let servers = parse_database_urls(&given_urls(&self.database_url));
        servers.map_err(|faults| Faults(faults.into_iter().map(named).collect()))
    }

    /// Where the customer tables are to be; `None`: where they are.
    fn customers(&self) -> Option<CustomerTables> {
        match self.without_customers {
            true => Some(CustomerTables::LeftOut),
            false => self.schema.clone().map(CustomerTables::In),
        }
    }

    /// Checks the values.
    pub(super) fn check(&self) -> Result<(), Faults> {
        let mut faults = Vec::new();
        if let Some(schema) = &self.schema
            && !is_schema_name(schema)
        {
            faults.push(format!(
                "--schema {schema:?} is not a name of up to {MAX_NAME_BYTES} bytes for a schema of your own"
            ));
        }
        if self.export.is_none()
            && let Err(Faults(more)) = self.servers()
        {
            faults.extend(more);
        }
        match faults.is_empty() {
            true => Ok(()),
            false => Err(Faults(faults)),
        }
    }
}

/// A value of --slots.
fn slot_number(text: &str) -> Result<u8, String> {
    let slots = text.parse().ok();
    slots
        .filter(|slots| *slots == 1 || SlotCount::new(*slots).is_some())
        .ok_or_else(|| "a power of two from 1 to 64".to_owned())
}

/// Longer names are cut by Postgres.
const MAX_NAME_BYTES: usize = 63;

/// Whether Postgres leaves schemas of this name to its users.
fn is_schema_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && !name.contains('\0')
        && !name.starts_with("pg_")
        && name != "information_schema"
}

/// Migrates and prints what it applied, or plans, or exports.
///
/// # Errors
/// If the database does not answer, a migration fails, or a file cannot be written.
pub async fn run(args: MigrateArgs) -> anyhow::Result<ExitCode> {
    args.check()?;
    if let Some(folder) = &args.export {
        return export(folder, args.format, args.customers().as_ref());
    }
    let servers = args.servers()?;
    let Some(store) = servers::find(&servers).await? else {
        return migrate_one(&args, &servers[0], StoreServer::ALONE).await;
    };
    for server in &store.servers {
        output::print(&format!("server {}, {}\n", server.place, server.address()))?;
        let migrated = migrate_one(&args, &server.options, server.place).await?;
        if migrated != ExitCode::SUCCESS {
            return Ok(migrated);
        }
    }
    if args.plan {
        return Ok(ExitCode::SUCCESS);
    }
    servers::join(&store).await
}

/// Migrates one database, which is given as this server of its store.
async fn migrate_one(
    args: &MigrateArgs,
    options: &PgConnectOptions,
    given: StoreServer,
) -> anyhow::Result<ExitCode> {
    let address = database_address(options);
    // First, because the errors of migrations do not tell a server that is away.
    let mut connection = query::connect(options).await.map_err(NoDatabase::from)?;
    let unreadable = || format!("cannot read the migrations at {address}");
    let place = StorePlace::find(&mut connection).await;
    if let Some(place) = place.with_context(unreadable)?
        && place.server != given
    {
        let there = place.server;
        return Err(NoDatabase::OtherServer {
            address,
            there,
            given,
        }
        .into());
    }
    let found = pending_migrations(&mut connection).await;
    let found = found.with_context(unreadable)?;
    let customers = customer_tables(&mut connection).await;
    let customers = customers.with_context(unreadable)?;
    if let Some(newer) = found.newer {
        let text = format!(
            "a newer runtraced has migrated the database at {address} (migration {newer:04}), and \
             this version does not go back; use that version or a later one"
        );
        return Ok(output::fail(EXIT_REFUSED, text));
    }
    if args.plan {
        let moves = args.customers().filter(|wanted| *wanted != customers);
        let refusal = match &moves {
            Some(wanted) => place_refusal(&mut connection, wanted).await,
            None => Ok(None),
        };
        let refusal = refusal.with_context(unreadable)?;
        let moves = moves.filter(|_| refusal.is_none());
        output::print(&plan::plan(&found, moves.as_ref())?)?;
        return Ok(refusal.map_or(ExitCode::SUCCESS, |why| output::fail(EXIT_REFUSED, why)));
    }
    drop(connection);
    let applied = migrate_now(options).await.map_err(|error| match error {
        MigrateError::Execute(error) if is_unfit(&error) => anyhow!(reason(&error)),
        error => error.into(),
    });
    let applied = applied.with_context(|| format!("cannot migrate the database at {address}"))?;
    let mut lines: String = applied
        .iter()
        .map(|name| format!("applied {name}\n"))
        .collect();
    lines += match applied.len() {
        0 => "nothing to do: the schema is up to date\n",
        _ => "the schema is up to date\n",
    };
    output::print(&lines)?;
    if let Some(wanted) = args.customers() {
        let mut connection = query::connect(options).await.map_err(NoDatabase::from)?;
        match place_customer_tables(&mut connection, &wanted).await {
            Ok(()) => output::print(&format!("{wanted}\n"))?,
            Err(PlaceError::Refused(why)) => return Ok(output::fail(EXIT_REFUSED, why)),
            Err(PlaceError::Sql(error)) => {
                return Err(error).context("cannot place the customer tables");
            }
        }
    }
    if args.partition.is_some() {
        let mut connection = query::connect(options).await.map_err(NoDatabase::from)?;
        match partition_by_month(&mut connection).await {
            Ok(locked) => output::print(&partitioned(locked))?,
            Err(error @ (PartitionError::Referred(_) | PartitionError::InSlots)) => {
                return Ok(output::fail(EXIT_REFUSED, error.to_string()));
            }
            Err(PartitionError::Sql(error)) => {
                return Err(error).context("cannot make the partitions");
            }
        }
    }
    if let Some(slots) = args.slots {
        let mut connection = query::connect(options).await.map_err(NoDatabase::from)?;
        match slots::run(&mut connection, slots).await {
            Ok(()) => {}
            Err(SlotError::Sql(error)) => {
                return Err(error).context("cannot move the runs to slots");
            }
            Err(refused) => return Ok(output::fail(EXIT_REFUSED, refused.to_string())),
        }
    }
    if args.search_index {
        let mut connection = query::connect(options).await.map_err(NoDatabase::from)?;
        let built = build_search_index(&mut connection)
            .await
            .context("cannot build the search indexes")?;
        let mut lines: String = built.iter().map(|name| format!("built {name}\n")).collect();
        lines += "the search indexes are there\n";
        output::print(&lines)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `locked`: for how long nobody could write; `None`: nothing was done.
fn partitioned(locked: Option<Duration>) -> String {
    let lines = "steps, messages, token counts and contents are in partitions by month\n";
    match locked {
        None => format!("nothing to do: {lines}"),
        Some(locked) => format!(
            "{lines}the tables were locked for {} ms\n",
            locked.as_millis()
        ),
    }
}

fn export(
    folder: &Path,
    format: FileFormat,
    customers: Option<&CustomerTables>,
) -> anyhow::Result<ExitCode> {
    let format = match format {
        FileFormat::Plain => ExportFormat::Plain,
        FileFormat::Supabase => ExportFormat::Supabase,
    };
    let unwritable = |path: &Path| format!("cannot write {}", path.display());
    fs::create_dir_all(folder).with_context(|| unwritable(folder))?;
    let files = export_migrations(format, customers);
    for file in &files {
        let path = folder.join(&file.name);
        fs::write(&path, &file.text).with_context(|| unwritable(&path))?;
    }
    output::print(&format!("{} files in {}\n", files.len(), folder.display()))?;
    Ok(ExitCode::SUCCESS)
}
