//! `runtraced keys`: who may send.

use std::process::ExitCode;

use clap::Subcommand;
use sqlx::PgConnection;
use uuid::{NonNilUuid, Uuid};

use super::{
    database::DatabaseArgs,
    output::{self, EXIT_REFUSED, EXIT_UNAVAILABLE, EXIT_USAGE, shortened},
};
use crate::{
    auth::{NewKey, Rates},
    query,
    store::{self, KeyError},
};

/// Longer names are cut in the table.
const NAME_CHARS: usize = 40;

/// Make, list and revoke the keys that clients send with.
///
/// Daemons notice within seconds, without a restart. How keys are sent and what
/// they may write is in docs/SECURITY.md.
#[derive(Debug, Clone, clap::Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: Keys,
}

#[derive(Debug, Clone, Subcommand)]
enum Keys {
    /// Make a key and print it, this once: only its hash is kept.
    Create(CreateArgs),
    /// List them, oldest first; never what is secret in them.
    List(ListArgs),
    /// Revoke one, for good. Streams that use it are ended.
    Revoke(RevokeArgs),
}

#[derive(Debug, Clone, clap::Args)]
struct CreateArgs {
    /// Whose key it is, for people.
    #[arg(long)]
    name: String,
    /// The only customer it may write for. Without it: any, and for none.
    #[arg(long, value_name = "UUID")]
    customer: Option<Uuid>,
    /// Events that it may send per second to each daemon.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    max_events_per_second: Option<u64>,
    /// Bytes of events, as they weigh in memory, that it may send per second to
    /// each daemon.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 50))]
    max_bytes_per_second: Option<u64>,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Clone, clap::Args)]
struct ListArgs {
    /// Also those that were revoked.
    #[arg(long)]
    revoked: bool,
    /// A JSON array instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Clone, clap::Args)]
struct RevokeArgs {
    /// Its id, as `keys list` shows it.
    id: Uuid,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Runs the command.
///
/// # Errors
/// When stdout or a query fails.
pub async fn run(args: KeysArgs) -> anyhow::Result<ExitCode> {
    let database = match &args.command {
        Keys::Create(args) => &args.database,
        Keys::List(args) => &args.database,
        Keys::Revoke(args) => &args.database,
    };
    let mut conn = match database.connect().await {
        Ok(conn) => conn,
        Err(error) => return Ok(output::fail(EXIT_UNAVAILABLE, format_args!("{error:#}"))),
    };
    match args.command {
        Keys::Create(args) => create(&mut conn, &args).await,
        Keys::List(args) => list(&mut conn, &args).await,
        Keys::Revoke(args) => match store::revoke_key(&mut conn, args.id).await {
            Ok(()) => {
                output::print(&format!("{} revoked\n", args.id))?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => failed(error),
        },
    }
}

async fn create(conn: &mut PgConnection, args: &CreateArgs) -> anyhow::Result<ExitCode> {
    let name = args.name.trim();
    if name.is_empty() {
        return Ok(output::fail(EXIT_USAGE, "--name is empty"));
    }
    let customer = match args.customer.map(NonNilUuid::new) {
        Some(None) => return failed(KeyError::UnknownCustomer(Uuid::nil())),
        customer => customer.flatten(),
    };
    let rates = Rates {
        max_events_per_second: args.max_events_per_second,
        max_bytes_per_second: args.max_bytes_per_second,
    };
    let key = NewKey::generate()?;
    if let Err(error) = store::create_key(conn, &key, name, customer, rates).await {
        return failed(error);
    }
    // The key alone on stdout, so that a script can take it.
    output::warn(format_args!("key {} made; it is shown only now", key.id));
    output::print(&format!("{}\n", key.text))?;
    Ok(ExitCode::SUCCESS)
}

async fn list(conn: &mut PgConnection, args: &ListArgs) -> anyhow::Result<ExitCode> {
    let keys = query::keys(conn, args.revoked).await?;
    if args.json {
        output::print(&format!("{}\n", serde_json::to_string_pretty(&keys)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    if keys.is_empty() {
        output::print("No keys.\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let heads = [
        "id", "name", "customer", "events/s", "bytes/s", "created", "revoked",
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
            customer.unwrap_or_else(|| "any".to_owned()),
            rate(key.max_events_per_second),
            rate(key.max_bytes_per_second),
            key.created_at,
            key.revoked_at.unwrap_or_default(),
        ]
    });
    output::print(&output::table(&heads, &[3, 4], rows))?;
    Ok(ExitCode::SUCCESS)
}

/// What was asked for is not there, or the database failed.
fn failed(error: KeyError) -> anyhow::Result<ExitCode> {
    match error {
        KeyError::Sql(error) => Err(error.into()),
        error => Ok(output::fail(EXIT_REFUSED, error)),
    }
}
