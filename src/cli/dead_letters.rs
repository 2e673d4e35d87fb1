//! `runtraced dead-letters`: events that Postgres refused, and the way back.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use prost::Message as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    database::DatabaseArgs,
    endpoint::EndpointArgs,
    output::{self, EXIT_REFUSED, EXIT_UNAVAILABLE, shortened},
};
use crate::{
    client::{Client, RetryPolicy},
    json_mapping::event_from_json,
    proto::Event,
    query::{self, DeadLetter, DeadLetterFilter},
    store,
};

/// Longer reasons are cut in the table.
const REASON_CHARS: usize = 70;
/// How many letters are in memory at a time.
const PAGE: i64 = 200;

/// See, send again or delete events that the database refused.
#[derive(Debug, Clone, clap::Args)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    command: Letters,
}

#[derive(Debug, Clone, Subcommand)]
enum Letters {
    /// List them, oldest first.
    List(ListArgs),
    /// Show one whole, as JSON.
    Show(ShowArgs),
    /// Send them to a daemon again, once their cause is gone. Those that were
    /// replayed are skipped; sending one again is harmless.
    Replay(ReplayArgs),
    /// Delete them for good.
    Drop(DropArgs),
}

#[derive(Debug, Clone, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// How many at most.
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Only those with this code.
    #[arg(long)]
    code: Option<String>,
    /// Also those that were replayed.
    #[arg(long)]
    replayed: bool,
}

#[derive(Debug, Clone, clap::Args)]
struct ShowArgs {
    /// Its id.
    id: Uuid,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Which of them; one of these must be said.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Their ids.
    ids: Vec<Uuid>,
    /// All with this code.
    #[arg(long)]
    code: Option<String>,
    /// All that were not replayed.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Clone, clap::Args)]
struct ReplayArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    daemon: EndpointArgs,
}

#[derive(Debug, Clone, clap::Args)]
struct DropArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl Which {
    fn filter(&self) -> DeadLetterFilter {
        DeadLetterFilter {
            ids: (!self.ids.is_empty()).then(|| self.ids.clone()),
            code: self.code.clone(),
            limit: PAGE,
            ..DeadLetterFilter::default()
        }
    }
}

/// Runs the command.
///
/// # Errors
/// When stdout or a query fails.
pub async fn run(args: DeadLettersArgs) -> anyhow::Result<ExitCode> {
    let database = match &args.command {
        Letters::List(args) => &args.database,
        Letters::Show(args) => &args.database,
        Letters::Replay(args) => &args.database,
        Letters::Drop(args) => &args.database,
    };
    let mut conn = match database.connect().await {
        Ok(conn) => conn,
        Err(error) => return Ok(output::fail(EXIT_UNAVAILABLE, format_args!("{error:#}"))),
    };
    match args.command {
        Letters::List(args) => list(&mut conn, &args).await,
        Letters::Show(args) => show(&mut conn, args.id).await,
        Letters::Replay(args) => replay(&mut conn, &args).await,
        Letters::Drop(args) => {
            let filter = args.which.filter();
            let dropped = store::drop_dead_letters(&mut conn, filter.ids, filter.code).await?;
            output::print(&format!("{dropped} dropped\n"))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(conn: &mut PgConnection, args: &ListArgs) -> anyhow::Result<ExitCode> {
    let filter = DeadLetterFilter {
        code: args.code.clone(),
        replayed_too: args.replayed,
        limit: args.limit.into(),
        ..DeadLetterFilter::default()
    };
    let letters = query::dead_letters(conn, &filter).await?;
    if letters.is_empty() {
        output::print("No dead letters.\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let heads = ["id", "received", "code", "reason", "customer", "replayed"];
    let rows = letters.into_iter().map(|letter| {
        [
            letter.id.to_string(),
            letter.received_at,
            letter.code,
            shortened(&letter.reason, REASON_CHARS),
            letter
                .tenant_id
                .map(|id| id.to_string())
                .unwrap_or_default(),
            letter.replayed_at.unwrap_or_default(),
        ]
    });
    output::print(&output::table(&heads, &[], rows))?;
    Ok(ExitCode::SUCCESS)
}

async fn show(conn: &mut PgConnection, id: Uuid) -> anyhow::Result<ExitCode> {
    let filter = DeadLetterFilter {
        ids: Some(vec![id]),
        replayed_too: true,
        limit: 1,
        ..DeadLetterFilter::default()
    };
    let Some(letter) = query::dead_letters(conn, &filter).await?.pop() else {
        return Ok(output::fail(EXIT_REFUSED, format!("no dead letter {id}")));
    };
    output::print(&format!("{}\n", serde_json::to_string_pretty(&letter)?))?;
    Ok(ExitCode::SUCCESS)
}

async fn replay(conn: &mut PgConnection, args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let client = match args.daemon.connect(RetryPolicy::default()).await {
        Ok(client) => client,
        Err(error) => return Ok(output::fail(error.exit_code(), error)),
    };
    let mut filter = args.which.filter();
    let (mut replayed, mut refused) = (0, 0);
    loop {
        let letters = query::dead_letters(conn, &filter).await?;
        let Some(last) = letters.last() else { break };
        // Those that are refused again stay, and must not be met again.
        filter.after = Some((last.received_at.clone(), last.id));
        let mut done = Vec::new();
        for letter in &letters {
            match send(&client, letter).await? {
                None => done.push(letter.id),
                Some(why) => {
                    refused += 1;
                    output::warn(format!("{}: {why}", letter.id));
                }
            }
        }
        store::mark_replayed(conn, &done).await?;
        replayed += done.len();
    }
    output::print(&format!("{replayed} replayed, {refused} refused\n"))?;
    Ok(if refused == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_REFUSED)
    })
}

/// Sends one; why it was refused, if it was.
async fn send(client: &Client, letter: &DeadLetter) -> anyhow::Result<Option<String>> {
    let event = match event_of(letter.payload.get()) {
        Ok(event) => event,
        Err(error) => return Ok(Some(format!("{error:#}"))),
    };
    // It is given no more power than it came with.
    let sender = match letter.tenant_id {
        Some(tenant) => client.clone().for_customer(tenant),
        None => client.clone(),
    };
    let response = sender.submit_committed(vec![event]).await?;
    let refused = response.outcome.unwrap_or_default().refused;
    Ok(refused.into_iter().next().map(|refusal| refusal.reason))
}

/// The event of a payload: its JSON form, or the wire form of one that has none.
fn event_of(payload: &str) -> anyhow::Result<Event> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Hex {
        protobuf_hex: String,
    }
    let Ok(Hex { protobuf_hex: hex }) = serde_json::from_str(payload) else {
        return Ok(event_from_json(payload)?);
    };
    if !hex.len().is_multiple_of(2) || !hex.is_ascii() {
        bail!("protobufHex is not in hex");
    }
    let bytes: Result<Vec<u8>, _> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16))
        .collect();
    Event::decode(&bytes.context("protobufHex is not in hex")?[..])
        .context("protobufHex is no event")
}
