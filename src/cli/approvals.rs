//! `runtraced approvals`: what waits for a person, and deciding it.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;
use uuid::Uuid;

use super::database::DatabaseArgs;
use super::output::{self, EXIT_REFUSED, shortened};
use crate::config::{Faults, FlagReader, FlagValue};
use crate::query::{InspectError, approvals_statement};
use crate::store;

/// Longer texts are cut in the table.
const TEXT_CHARS: usize = 40;
/// Most approvals that are listed.
const ROWS: usize = 200;
/// Whose name stands by a decision of this command.
const DECIDED_BY: &str = "operator";

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
    /// Approve a pending approval.
    Approve(DecideArgs),
    /// Reject a pending approval.
    Reject(DecideArgs),
}

#[derive(Debug, Clone, clap::Args)]
struct DecideArgs {
    /// Id of the approval.
    id: FlagValue,
    /// Why, for the agent and for people.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Id, status and note.
type DecisionToMake = (Uuid, &'static str, Option<String>);

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
        let decision = decide.map(|(args, status)| {
            let id = flags.uuid(&args.id).unwrap_or_default();
            (id, status, args.note.clone())
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
    let mut conn = database.connect().await?;
    if let Some((id, status, note)) = decision {
        let decided = store::decide_approval(
            &mut conn,
            id,
            status,
            note.as_deref(),
            Some(DECIDED_BY),
            None,
        );
        if !decided.await? {
            let reason = format!("{id} does not wait for a decision");
            return Ok(output::fail(EXIT_REFUSED, reason));
        }
        output::print(&format!("{id} {status}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let status: &[String] = if args.all {
        &[]
    } else {
        &["pending".to_owned()]
    };
    let rows = approvals_statement(status, None, ROWS)
        .json_rows(&mut conn)
        .await;
    let rows = rows.map_err(InspectError::Query)?;
    let rows: Result<Vec<Value>, _> = rows.iter().map(|row| serde_json::from_str(row)).collect();
    let rows = rows.map_err(InspectError::Columns)?;
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
