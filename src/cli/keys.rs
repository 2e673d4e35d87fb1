//! `runtraced keys`: creates, lists and revokes the keys that clients send with.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use sqlx::PgConnection;
use uuid::{NonNilUuid, Uuid};

use super::{
    database::DatabaseArgs,
    failure,
    output::{self, EXIT_REFUSED, shortened},
};
use crate::{
    auth::{KeyAccess, NewKey, Rates},
    config::{Faults, FlagReader, FlagValue},
    query::{self, KeyRow},
    store::{self, KeyError},
};

/// Longer names are cut in the table, so that a row fits a wide terminal.
const NAME_CHARS: usize = 40;
/// Higher limits are typing mistakes: no daemon receives as many events.
const MAX_EVENTS_PER_SECOND: u64 = 1 << 40;
/// The same for bytes.
const MAX_BYTES_PER_SECOND: u64 = 1 << 50;

/// Create, list and revoke the keys that clients send with.
///
/// Daemons notice within seconds, without a restart. docs/SECURITY.md says how clients
/// send keys, and what a key permits.
#[derive(Debug, Clone, clap::Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum KeysCommand {
    /// Create a key and print it. It is shown only once: the database stores its hash.
    Create(CreateKeyArgs),
    /// List keys, oldest first, without their secrets.
    List(ListKeysArgs),
    /// Revoke a key for good, and end the streams that use it.
    Revoke(RevokeKeyArgs),
}

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = crate::config::UNITS_HELP)]
struct CreateKeyArgs {
    /// Name of the key, for people.
    #[arg(long)]
    name: String,
    /// Customer that the key is bound to. Without it, the key may write for any customer
    /// and for none, or read everything.
    #[arg(long, value_name = "UUID")]
    customer: Option<FlagValue>,
    /// The key reads traces in the page and its API, and writes nothing.
    #[arg(long)]
    read: bool,
    /// The key reads traces and decides approvals.
    #[arg(long, conflicts_with = "read")]
    decide: bool,
    /// Most events per second that the key may send to each daemon.
    #[arg(long, value_name = "N")]
    max_events_per_second: Option<FlagValue>,
    /// Most bytes of events per second that the key may send to each daemon, as events
    /// count in memory.
    #[arg(long, value_name = "SIZE")]
    max_bytes_per_second: Option<FlagValue>,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Clone, clap::Args)]
struct ListKeysArgs {
    /// Also list revoked keys.
    #[arg(long)]
    revoked: bool,
    /// Print a JSON array instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Clone, clap::Args)]
struct RevokeKeyArgs {
    /// Id of the key, as `keys list` shows it.
    id: FlagValue,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// A subcommand with valid values.
pub(super) enum KeysAction {
    Create(KeyRequest),
    List { revoked: bool, json: bool },
    Revoke(Uuid),
}

/// The key to create.
pub(super) struct KeyRequest {
    name: String,
    customer: Option<Uuid>,
    access: KeyAccess,
    rates: Rates,
}

impl KeysArgs {
    pub(super) fn action(&self) -> Result<KeysAction, Faults> {
        let mut flags = FlagReader::default();
        self.database().check(&mut flags);
        let action = match &self.command {
            KeysCommand::Create(args) => KeysAction::Create(args.request(&mut flags)),
            KeysCommand::List(args) => KeysAction::List {
                revoked: args.revoked,
                json: args.json,
            },
            KeysCommand::Revoke(args) => {
                KeysAction::Revoke(flags.uuid(&args.id).unwrap_or_default())
            }
        };
        flags.finish(action)
    }

    fn database(&self) -> &DatabaseArgs {
        match &self.command {
            KeysCommand::Create(args) => &args.database,
            KeysCommand::List(args) => &args.database,
            KeysCommand::Revoke(args) => &args.database,
        }
    }
}

impl CreateKeyArgs {
    fn request(&self, flags: &mut FlagReader) -> KeyRequest {
        let name = self.name.trim();
        if name.is_empty() {
            flags.fault("--name is empty");
        }
        let events = self.max_events_per_second.as_ref();
        let bytes = self.max_bytes_per_second.as_ref();
        KeyRequest {
            name: name.to_owned(),
            customer: self.customer.as_ref().and_then(|id| flags.uuid(id)),
            access: match (self.read, self.decide) {
                (_, true) => KeyAccess::Decide,
                (true, false) => KeyAccess::Read,
                (false, false) => KeyAccess::Write,
            },
            rates: Rates {
                max_events_per_second: events
                    .map(|limit| flags.integer(limit, 1..=MAX_EVENTS_PER_SECOND)),
                max_bytes_per_second: bytes
                    .map(|limit| flags.size(limit, 1..=MAX_BYTES_PER_SECOND)),
            },
        }
    }
}

/// Runs the command.
///
/// # Errors
/// If a value is invalid, or stdout or a query fails.
pub async fn run(args: KeysArgs) -> anyhow::Result<ExitCode> {
    let action = args.action()?;
    // The first server has the keys of the whole store.
    let mut conn = args.database().connect_first().await?.conn;
    match action {
        KeysAction::Create(request) => create(&mut conn, &request, args.database()).await,
        KeysAction::List { revoked, json } => {
            let keys = query::keys(&mut conn, revoked).await?;
            output::print(&list(keys, json)?)?;
            Ok(ExitCode::SUCCESS)
        }
        KeysAction::Revoke(id) => match store::revoke_key(&mut conn, id).await {
            Ok(()) => {
                output::print(&format!("{id} revoked\n"))?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => refused(error),
        },
    }
}

async fn create(
    conn: &mut PgConnection,
    request: &KeyRequest,
    database: &DatabaseArgs,
) -> anyhow::Result<ExitCode> {
    let customer = match request.customer.map(NonNilUuid::new) {
        Some(None) => return refused(KeyError::UnknownCustomer(Uuid::nil())),
        customer => customer.flatten(),
    };
    let key = NewKey::generate()?;
    let (name, access, rates) = (&request.name, request.access, request.rates);
    let created = store::create_key(conn, &key, name, customer, access, rates);
    if let Err(error) = created.await {
        return refused(error);
    }
    // Such a key reads under a role of its own, so that the policies decide.
    if customer.is_some() && access != KeyAccess::Write {
        make_reader(database).await;
    }
    // Only the key goes to stdout, for scripts.
    output::warn(format_args!(
        "created key {}; this is the only time it is shown",
        key.id
    ));
    output::print(&format!("{}\n", key.text))?;
    Ok(ExitCode::SUCCESS)
}

/// Creates the role of readers on all servers, or says what to do.
async fn make_reader(database: &DatabaseArgs) {
    if let Err(why) = try_make_reader(database).await {
        output::warn(format_args!(
            "the key reads nothing until the role {} exists and the daemon may take it: {why}; see `runtraced grant --role ROLE --reader`",
            store::READER_ROLE,
        ));
    }
}

async fn try_make_reader(database: &DatabaseArgs) -> Result<(), String> {
    let servers = database.connect_all().await;
    for mut server in servers.map_err(|error| failure::explain(&error))? {
        let granted = store::grant_reader(&mut server.conn, store::READER_ROLE, None).await;
        granted.map_err(|error| match server.server.has_others() {
            true => format!("{}: {}", server.name(), store::reason(&error)),
            false => store::reason(&error),
        })?;
    }
    Ok(())
}

fn list(keys: Vec<KeyRow>, json: bool) -> anyhow::Result<String> {
    if json {
        return Ok(format!("{}\n", serde_json::to_string_pretty(&keys)?));
    }
    if keys.is_empty() {
        return Ok("No keys.\n".to_owned());
    }
    let heads = [
        "id", "name", "may", "customer", "events/s", "bytes/s", "created", "revoked",
    ];
    let rate = |rate: Option<i64>| rate.map(output::thousands).unwrap_or_default();
    let rows = keys.into_iter().map(|key| {
        let customer = key.customer_id.map(|id| match key.customer {
            Some(name) => format!("{} ({id})", shortened(&name, NAME_CHARS)),
            None => id.to_string(),
        });
        [
            key.id.to_string(),
            shortened(&key.name, NAME_CHARS),
            key.access,
            customer.unwrap_or_else(|| "any".to_owned()),
            rate(key.max_events_per_second),
            rate(key.max_bytes_per_second),
            key.created_at,
            key.revoked_at.unwrap_or_default(),
        ]
    });
    Ok(output::table(&heads, &[4, 5], rows))
}

/// The exit code if something does not exist; any other fault goes on as an error.
fn refused(error: KeyError) -> anyhow::Result<ExitCode> {
    match error {
        KeyError::Sql(error) => Err(error).context("cannot write the keys"),
        error => Ok(output::fail(EXIT_REFUSED, error)),
    }
}
