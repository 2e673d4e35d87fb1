//! `runtraced approvals`: what waits for a person, and deciding it.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;
use uuid::Uuid;

use super::database::{DatabaseArgs, StoreConnection};
use super::merged::{Moment, merge, merge_down};
use super::output::{self, EXIT_REFUSED, shortened};
use crate::config::{Faults, FlagReader, FlagValue};
use crate::query::{InspectError, SqlText, approval_statement, approvals_statement};
use crate::store::{self, DecidedBy};

/// Longer texts are cut in the table.
const TEXT_CHARS: usize = 40;
/// Most approvals that are listed.
const ROWS: usize = 200;
/// Whose name stands by a decision of this command.
const DECIDED_BY: &str = "operator on the command line";
/// So much of a revision tells it from others.
const REVISION_CHARS: usize = 12;

/// List what waits for a person, and decide it.
///
/// Exit codes: 0, 1 the approval does not wait any more, 69 no database.
#[derive(Debug, Clone, clap::Args)]
pub struct ApprovalsArgs {
    #[command(subcommand)]
    command: Option<ApprovalsCommand>,
    /// List all approvals, also decided ones.
    #[arg(long)]
    all: bool,
    /// Print a JSON array instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Clone, Subcommand)]
enum ApprovalsCommand {
    /// Approve a pending approval. Without --shown, print it.
    Approve(DecideArgs),
    /// Reject a pending approval. Without --shown, print it.
    Reject(DecideArgs),
}

#[derive(Debug, Clone, clap::Args)]
struct DecideArgs {
    /// Id of the approval.
    id: FlagValue,
    /// Which request you have seen, as the command prints it. An agent may change a request
    /// until it is decided.
    #[arg(long, value_name = "REVISION")]
    shown: Option<String>,
    /// Why, for the agent and for people.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// What to decide, and how.
pub(super) struct DecisionToMake {
    id: Uuid,
    status: &'static str,
    note: Option<String>,
    shown: Option<String>,
}

impl ApprovalsArgs {
    fn decide_args(&self) -> Option<(&DecideArgs, &'static str)> {
        Some(match self.command.as_ref()? {
            ApprovalsCommand::Approve(args) => (args, "approved"),
            ApprovalsCommand::Reject(args) => (args, "rejected"),
        })
    }

    /// The decision to make, if the command is to make one.
    pub(super) fn decision(&self) -> Result<Option<DecisionToMake>, Faults> {
        let mut flags = FlagReader::default();
        let decide = self.decide_args();
        let database = decide.map_or(&self.database, |(args, _)| &args.database);
        database.check(&mut flags);
        let decision = decide.map(|(args, status)| DecisionToMake {
            id: flags.uuid(&args.id).unwrap_or_default(),
            status,
            note: args.note.clone(),
            shown: args.shown.clone(),
        });
        flags.finish(decision)
    }
}

/// Runs the command.
///
/// # Errors
/// If a value is invalid, the database fails, or stdout does.
pub async fn run(args: ApprovalsArgs) -> anyhow::Result<ExitCode> {
    let decision = args.decision()?;
    let database = args
        .decide_args()
        .map_or(&args.database, |(args, _)| &args.database);
    let mut servers = database.connect_all().await?;
    if let Some(decision) = decision {
        return decide(&mut servers, &decision).await;
    }
    let status: &[String] = if args.all {
        &[]
    } else {
        &["pending".to_owned()]
    };
    let rows = listed(&mut servers, status).await?;
    let text = match args.json {
        true => format!("{}\n", serde_json::to_string_pretty(&rows)?),
        false if rows.is_empty() => "No approvals.\n".to_owned(),
        false => output::table(
            &[
                "id",
                "action",
                "arguments",
                "agent",
                "status",
                "asked",
                "expires",
            ],
            &[],
            rows.iter().map(|row| {
                let text = |name: &str| row[name].as_str().unwrap_or_default();
                [
                    text("id").to_owned(),
                    shortened(text("action_type"), TEXT_CHARS),
                    shortened(text("action_data"), TEXT_CHARS),
                    shortened(text("agent_id"), TEXT_CHARS),
                    if row["overdue"] == true {
                        "expired"
                    } else {
                        text("status")
                    }
                    .to_owned(),
                    text("created_at").to_owned(),
                    text("expires_at").to_owned(),
                ]
            }),
        ),
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The approvals of all servers, in the order of [`approvals_statement`].
async fn listed(servers: &mut [StoreConnection], status: &[String]) -> anyhow::Result<Vec<Value>> {
    let statement = approvals_statement(status, None, ROWS);
    let mut lists = Vec::with_capacity(servers.len());
    for server in servers {
        lists.push(read(server, &statement).await?);
    }
    let key = |row: &Value| {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let asked = row["created_at"].as_str().map(Moment::read);
        (asked.unwrap_or(Moment::Early), text("id"))
    };
    Ok(match status.is_empty() {
        true => merge_down(lists, ROWS, key),
        false => merge(lists, ROWS, key),
    })
}

async fn read(server: &mut StoreConnection, statement: &SqlText) -> anyhow::Result<Vec<Value>> {
    let rows = statement.json_rows(&mut server.conn).await;
    let rows = rows.map_err(|error| server.failed(InspectError::from(error)))?;
    let rows: Result<Vec<Value>, _> = rows.iter().map(|row| serde_json::from_str(row)).collect();
    rows.map_err(|error| server.failed(InspectError::from(error)))
}

/// An approval that waits for a decision, and the server that has it.
async fn waiting(
    servers: &mut [StoreConnection],
    id: Uuid,
) -> anyhow::Result<Option<(&mut StoreConnection, Value)>> {
    for server in servers {
        let found = read(server, &approval_statement(id)).await?.into_iter();
        let mut waits = found.filter(|row| row["status"] == "pending" && row["overdue"] != true);
        if let Some(request) = waits.next() {
            return Ok(Some((server, request)));
        }
    }
    Ok(None)
}

/// Decides an approval, if it is still what was shown.
async fn decide(
    servers: &mut [StoreConnection],
    decision: &DecisionToMake,
) -> anyhow::Result<ExitCode> {
    let DecisionToMake { id, status, .. } = decision;
    let none = format!("{id} does not wait for a decision");
    let Some((server, request)) = waiting(servers, *id).await? else {
        return Ok(output::fail(EXIT_REFUSED, none));
    };
    let revision = request["revision"].as_str().unwrap_or_default();
    let short = &revision[..REVISION_CHARS.min(revision.len())];
    let is_shown = |shown: &String| shown.len() >= REVISION_CHARS && revision.starts_with(shown);
    let reason = match &decision.shown {
        Some(shown) if is_shown(shown) => None,
        Some(_) => Some("the request is no longer what --shown names"),
        None => Some("nothing is decided yet"),
    };
    if let Some(reason) = reason {
        output::print(&in_full(&request))?;
        let reason = format!("{reason}; to decide what is printed here, add --shown {short}");
        return Ok(output::fail(EXIT_REFUSED, reason));
    }
    let (note, by) = (decision.note.as_deref(), DecidedBy::operator(DECIDED_BY));
    let conn = &mut server.conn;
    if !store::decide_approval(conn, *id, status, note, Some(&by), revision).await? {
        return Ok(output::fail(EXIT_REFUSED, none));
    }
    output::print(&format!("{id} {status}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Everything that a person decides about.
fn in_full(request: &Value) -> String {
    let mut text = String::new();
    for (name, field) in [
        ("action", "action_type"),
        ("what", "action_description"),
        ("agent", "agent_id"),
        ("run", "run_id"),
        ("asked", "created_at"),
        ("expires", "expires_at"),
        ("arguments", "action_data"),
    ] {
        if let Some(value) = request[field].as_str() {
            text.push_str(&format!("{name:10} {}\n", output::printable(value)));
        }
    }
    if !request["action_data_next"].is_null() {
        text.push_str("           … and more, which only the page shows\n");
    }
    text
}
