//! `runtraced dead-letters`: lists, replays and deletes events that Postgres refused.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use prost::Message as _;
use runtraced_client::{Client, ClientError, RetryPolicy};
use uuid::Uuid;

use super::{
    database::{DatabaseArgs, StoreConnection},
    endpoint::EndpointArgs,
    merged::{Moment, merge},
    output::{self, EXIT_REFUSED, shortened},
};
use crate::{
    config::{Faults, FlagReader, FlagValue},
    json_mapping::event_from_json,
    proto::Event,
    query::{self, DeadLetterFilter, DeadLetterRow},
    store,
};

/// Longer reasons are cut in the table, so that a row fits a wide terminal.
const REASON_CHARS: usize = 70;
/// Dead letters in memory at a time: each may hold a message of the greatest size.
const PAGE: i64 = 200;

/// List, show, replay or delete events that the database refused.
#[derive(Debug, Clone, clap::Args)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    command: DeadLettersCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum DeadLettersCommand {
    /// List dead letters, oldest first.
    List(ListDeadLettersArgs),
    /// Show a whole dead letter as JSON.
    Show(ShowDeadLetterArgs),
    /// Send dead letters to a daemon again, after their cause is mended. Skips those that
    /// were replayed already; repeating this is harmless.
    Replay(ReplayDeadLettersArgs),
    /// Delete dead letters for good.
    Drop(DropDeadLettersArgs),
}

#[derive(Debug, Clone, clap::Args)]
struct ListDeadLettersArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Most dead letters to list.
    #[arg(long, short = 'n', default_value = "20", value_name = "N")]
    limit: FlagValue,
    /// Only dead letters with this code.
    #[arg(long)]
    code: Option<String>,
    /// Also dead letters that were replayed.
    #[arg(long)]
    replayed: bool,
}

#[derive(Debug, Clone, clap::Args)]
struct ShowDeadLetterArgs {
    /// Id of the dead letter.
    id: FlagValue,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Selects dead letters; one of these is required.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
struct DeadLetterSelection {
    /// Ids of dead letters.
    ids: Vec<FlagValue>,
    /// All dead letters with this code.
    #[arg(long)]
    code: Option<String>,
    /// All dead letters that were not replayed.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Clone, clap::Args)]
struct ReplayDeadLettersArgs {
    #[command(flatten)]
    selection: DeadLetterSelection,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    daemon: EndpointArgs,
}

#[derive(Debug, Clone, clap::Args)]
struct DropDeadLettersArgs {
    #[command(flatten)]
    selection: DeadLetterSelection,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// A subcommand with valid values.
pub(super) enum DeadLettersAction<'a> {
    List(DeadLetterFilter),
    Show(Uuid),
    Replay(DeadLetterFilter, &'a EndpointArgs),
    Drop(DeadLetterFilter),
}

impl DeadLetterSelection {
    fn filter(&self, flags: &mut FlagReader) -> DeadLetterFilter {
        let ids: Vec<Uuid> = self.ids.iter().filter_map(|id| flags.uuid(id)).collect();
        DeadLetterFilter {
            ids: (!self.ids.is_empty()).then_some(ids),
            code: self.code.clone(),
            limit: PAGE,
            ..DeadLetterFilter::default()
        }
    }
}

impl DeadLettersArgs {
    pub(super) fn action(&self) -> Result<DeadLettersAction<'_>, Faults> {
        let mut flags = FlagReader::default();
        self.database().check(&mut flags);
        let action = match &self.command {
            DeadLettersCommand::List(args) => DeadLettersAction::List(DeadLetterFilter {
                code: args.code.clone(),
                replayed_too: args.replayed,
                limit: flags.integer(&args.limit, 1..=u32::MAX).into(),
                ..DeadLetterFilter::default()
            }),
            DeadLettersCommand::Show(args) => {
                DeadLettersAction::Show(flags.uuid(&args.id).unwrap_or_default())
            }
            DeadLettersCommand::Replay(args) => {
                args.daemon.check(&mut flags);
                DeadLettersAction::Replay(args.selection.filter(&mut flags), &args.daemon)
            }
            DeadLettersCommand::Drop(args) => {
                DeadLettersAction::Drop(args.selection.filter(&mut flags))
            }
        };
        flags.finish(action)
    }

    fn database(&self) -> &DatabaseArgs {
        match &self.command {
            DeadLettersCommand::List(args) => &args.database,
            DeadLettersCommand::Show(args) => &args.database,
            DeadLettersCommand::Replay(args) => &args.database,
            DeadLettersCommand::Drop(args) => &args.database,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// If a value is invalid, or stdout, a query or the daemon fails.
pub async fn run(args: DeadLettersArgs) -> anyhow::Result<ExitCode> {
    let action = args.action()?;
    let mut servers = args.database().connect_all().await?;
    match action {
        DeadLettersAction::List(filter) => list(&mut servers, &filter).await,
        DeadLettersAction::Show(id) => show(&mut servers, id).await,
        DeadLettersAction::Replay(filter, daemon) => replay(&mut servers, &filter, daemon).await,
        DeadLettersAction::Drop(filter) => drop_letters(&mut servers, &filter).await,
    }
}

/// The dead letters of all servers, oldest first.
async fn letters_of(
    servers: &mut [StoreConnection],
    filter: &DeadLetterFilter,
) -> anyhow::Result<Vec<DeadLetterRow>> {
    let mut lists = Vec::with_capacity(servers.len());
    for server in servers {
        let letters = query::dead_letters(&mut server.conn, filter).await;
        lists.push(letters.map_err(|error| server.failed(error))?);
    }
    let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
    Ok(merge(lists, limit, |letter| {
        (Moment::read(&letter.received_at), letter.id)
    }))
}

async fn drop_letters(
    servers: &mut [StoreConnection],
    filter: &DeadLetterFilter,
) -> anyhow::Result<ExitCode> {
    let mut dropped = 0;
    for server in servers {
        let (ids, code) = (filter.ids.clone(), filter.code.clone());
        let done = store::drop_dead_letters(&mut server.conn, ids, code).await;
        dropped += done
            .map_err(|error| server.failed(error))
            .with_context(|| match dropped {
                0 => "cannot delete dead letters".to_owned(),
                _ => format!(
                    "cannot delete all dead letters, only the {dropped} of the servers before"
                ),
            })?;
    }
    output::print(&format!("{dropped} dropped\n"))?;
    Ok(ExitCode::SUCCESS)
}

async fn list(
    servers: &mut [StoreConnection],
    filter: &DeadLetterFilter,
) -> anyhow::Result<ExitCode> {
    let letters = letters_of(servers, filter).await?;
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

async fn show(servers: &mut [StoreConnection], id: Uuid) -> anyhow::Result<ExitCode> {
    let filter = DeadLetterFilter {
        ids: Some(vec![id]),
        replayed_too: true,
        limit: 1,
        ..DeadLetterFilter::default()
    };
    let Some(letter) = letters_of(servers, &filter).await?.pop() else {
        return Ok(output::fail(
            EXIT_REFUSED,
            format!("there is no dead letter {id}"),
        ));
    };
    output::print(&format!("{}\n", serde_json::to_string_pretty(&letter)?))?;
    Ok(ExitCode::SUCCESS)
}

async fn replay(
    servers: &mut [StoreConnection],
    filter: &DeadLetterFilter,
    daemon: &EndpointArgs,
) -> anyhow::Result<ExitCode> {
    let client = daemon.connect(RetryPolicy::default()).await?;
    let mut sent = ReplayCounts::default();
    for server in servers {
        replay_of(server, filter.clone(), daemon, &client, &mut sent).await?;
    }
    let ReplayCounts { replayed, refused } = sent;
    output::print(&format!("{replayed} replayed, {refused} refused\n"))?;
    Ok(if refused == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_REFUSED)
    })
}

/// What became of dead letters that were sent again.
#[derive(Default)]
struct ReplayCounts {
    replayed: usize,
    refused: usize,
}

/// Sends the dead letters of one server, a page at a time.
async fn replay_of(
    server: &mut StoreConnection,
    mut filter: DeadLetterFilter,
    daemon: &EndpointArgs,
    client: &Client,
    sent: &mut ReplayCounts,
) -> anyhow::Result<()> {
    loop {
        let letters = query::dead_letters(&mut server.conn, &filter).await;
        let letters = letters.map_err(|error| server.failed(error))?;
        let Some(last) = letters.last() else {
            return Ok(());
        };
        // Letters that are refused again stay; the next page must not start with them.
        filter.after = Some((last.received_at.clone(), last.id));
        let mut done = Vec::new();
        for letter in &letters {
            let outcome = send(client, letter).await;
            match outcome.map_err(|error| daemon.error(&error))? {
                None => done.push(letter.id),
                Some(why) => {
                    sent.refused += 1;
                    output::warn(format!("{}: {why}", letter.id));
                }
            }
        }
        store::mark_replayed(&mut server.conn, &done)
            .await
            .map_err(|error| server.failed(error))
            .context("cannot mark dead letters as replayed")?;
        sent.replayed += done.len();
    }
}

/// Sends a dead letter; gives the reason if it was refused.
async fn send(client: &Client, letter: &DeadLetterRow) -> Result<Option<String>, ClientError> {
    let event = match event_of(letter.payload.get()) {
        Ok(event) => event,
        Err(error) => return Ok(Some(format!("{error:#}"))),
    };
    // A tenant's event must not gain rights by being replayed.
    let sender = match letter.tenant_id {
        Some(tenant) => client.clone().for_customer(tenant),
        None => client.clone(),
    };
    let response = sender.submit_committed(vec![event]).await?;
    let refused = response.outcome.unwrap_or_default().refused;
    Ok(refused.into_iter().next().map(|refusal| refusal.reason))
}

/// The event of a payload: from its JSON form, or from its wire form if it has no JSON form.
fn event_of(payload: &str) -> anyhow::Result<Event> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct WireForm {
        protobuf_hex: String,
    }
    let Ok(WireForm { protobuf_hex: hex }) = serde_json::from_str(payload) else {
        return Ok(event_from_json(payload)?);
    };
    if !hex.len().is_multiple_of(2) || !hex.is_ascii() {
        bail!("protobufHex is not hexadecimal");
    }
    let bytes: Result<Vec<u8>, _> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16))
        .collect();
    Event::decode(&bytes.context("protobufHex is not hexadecimal")?[..])
        .context("protobufHex is not an event")
}
