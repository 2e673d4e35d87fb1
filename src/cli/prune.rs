//! `runtraced prune`.

use std::process::ExitCode;

use sqlx::PgConnection;

use super::customer_flag::customer_of;
use super::database::DatabaseArgs;
use super::delete_sessions::{DeleteSession, delete_sessions};
use super::erase::{held_text, rows_json, rows_table, stopped};
use super::output::{self, EXIT_REFUSED};
use crate::config::{self, Faults, FlagReader, FlagValue};
use crate::reap::{Customer, PruneFilter, PrunedRows, ReapPace, RowCounts, prune};

/// Delete runs that ended and have not changed for some time, with all that is in them.
///
/// Runs that go on, and runs about which somebody is asked, stay. The table
/// retention_rules is not asked. Late events of deleted runs are ignored. Without
/// --status and --agent, sessions that have no run and have not changed for as long
/// go too; --dry-run does not count them.
///
/// Exit codes: 0 done, 1 some runs stay, because others are working on them, or because
/// tables of yours refer to them.
#[derive(Debug, Clone, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct PruneArgs {
    /// Time since the last change of a run, by the database's clock.
    #[arg(long, value_name = "DURATION")]
    older_than: FlagValue,
    /// Only runs with this status: completed or failed.
    #[arg(long, value_name = "STATUS")]
    status: Option<FlagValue>,
    /// Only runs of this agent.
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Only runs of this customer, by id or name.
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// Only count the rows that would be deleted.
    #[arg(long)]
    dry_run: bool,
    /// Share of the time in which it works, in percent. The rest is left to the daemons.
    #[arg(long, default_value = "50", value_name = "PERCENT")]
    share: FlagValue,
    /// Print a JSON object instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Valid values of the flags.
pub(super) struct PruneRequest {
    filter: PruneFilter,
    share_percent: u32,
}

impl PruneArgs {
    pub(super) fn request(&self) -> Result<PruneRequest, Faults> {
        let mut flags = FlagReader::default();
        self.database.check(&mut flags);
        let statuses = ["completed", "failed"];
        let status = self.status.as_ref();
        let request = PruneRequest {
            filter: PruneFilter {
                older_than: config::keep(&mut flags, &self.older_than),
                status: status.map(|status| flags.one_of(status, &statuses)),
                agent: self.agent.clone(),
                customer: None,
            },
            share_percent: flags.integer(&self.share, 1..=100),
        };
        flags.finish(request)
    }
}

/// Runs the command.
///
/// # Errors
/// If a value is invalid, the database fails, or its role may not delete.
pub async fn run(args: PruneArgs) -> anyhow::Result<ExitCode> {
    let PruneRequest {
        mut filter,
        share_percent,
    } = args.request()?;
    let mut sessions = delete_sessions(&args.database, "runtraced prune").await?;
    filter.customer = customer(&mut sessions, args.customer.as_deref()).await?;
    let mut all = PrunedRows::default();
    for one in &mut sessions {
        let pruned = {
            let mut open = one.session.acquire().await?;
            let pace = ReapPace::of_share(share_percent);
            prune(open.conn(), &filter, args.dry_run, &pace).await
        };
        one.session.release(pruned.as_ref().err());
        match pruned {
            Ok(pruned) => all += pruned,
            Err(error) => return stopped(error, one, all.rows, args.json),
        }
    }
    let PrunedRows {
        rows,
        busy,
        held,
        unswept,
    } = all;
    output::print(&match args.json {
        true => format!("{}\n", serde_json::to_string_pretty(&rows_json(rows))?),
        false if rows == RowCounts::default() => "No such runs.\n".to_owned(),
        false => rows_table(rows, args.dry_run),
    })?;
    if busy > 0 {
        let runs = super::count(busy);
        output::warn(format!(
            "runs that others are working on and that stay: {runs}; repeat the command"
        ));
    }
    if unswept > 0 {
        let scopes = super::count(unswept);
        output::warn(format!(
            "sessions whose shared contents are in use and were not looked at: {scopes}; repeat the command"
        ));
    }
    for held in &held {
        output::warn(format!("runs {}", held_text(held)));
    }
    Ok(match busy > 0 || unswept > 0 || !held.is_empty() {
        true => ExitCode::from(EXIT_REFUSED),
        false => ExitCode::SUCCESS,
    })
}

/// The customer of the flag. Any server may know its name.
async fn customer(
    sessions: &mut [DeleteSession],
    flag: Option<&str>,
) -> anyhow::Result<Option<Customer>> {
    let mut open = Vec::with_capacity(sessions.len());
    for one in sessions.iter_mut() {
        open.push(one.session.acquire().await?);
    }
    let mut servers: Vec<&mut PgConnection> = open.iter_mut().map(|one| one.conn()).collect();
    let found = customer_of(&mut servers, flag).await;
    drop(open);
    for one in sessions {
        one.session.release(None);
    }
    found
}
