//! `runtraced erase`.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::database::DatabaseArgs;
use super::output::{self, EXIT_REFUSED};
use crate::config::{Faults, FlagReader, FlagValue};
use crate::reap::{Erased, RowCounts, Subject, erase, is_forbidden};
use crate::store::{Session, SessionUse};

/// How long one statement may take: some read a whole table.
const STATEMENT_LIMIT: Duration = Duration::from_secs(1_800);

/// Erase all traces of a customer, a session or a user, and their dead letters.
///
/// Also runs that go on. Late events of what was erased are ignored. Repeating this is
/// harmless. It does not reach backups, the write-ahead log, replicas, and the tables
/// about customers and users themselves.
///
/// Exit codes: 0 done, 1 more is still being sent or waits in a spool: repeat it, or
/// --yes is missing.
#[derive(Debug, Clone, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct EraseArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    /// Only count the rows that would be erased.
    #[arg(long)]
    dry_run: bool,
    /// Erase. There is no way back.
    #[arg(long)]
    yes: bool,
    /// Print a JSON object instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Whom or what to erase.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
struct SubjectArgs {
    /// Customer: what came with its keys, and what names it.
    #[arg(long, value_name = "ID")]
    customer: Option<FlagValue>,
    /// Session, with its runs and the runs that they started.
    #[arg(long, value_name = "ID")]
    session: Option<FlagValue>,
    /// User: the user's sessions, and runs whose metadata.user is this text.
    #[arg(long, value_name = "ID")]
    user: Option<String>,
}

impl EraseArgs {
    pub(super) fn request(&self) -> Result<Subject, Faults> {
        let mut flags = FlagReader::default();
        self.database.check(&mut flags);
        let SubjectArgs {
            customer,
            session,
            user,
        } = &self.subject;
        let mut id = |value: &Option<FlagValue>| flags.uuid(value.as_ref()?);
        let customer = id(customer).map(Subject::Customer);
        let session = id(session).map(Subject::Session);
        let user = user.clone().map(Subject::User);
        let subject = customer.or(session).or(user);
        // After a fault, what is in its place is not used.
        flags.finish(subject.unwrap_or(Subject::User(String::new())))
    }
}

/// Runs the command.
///
/// # Errors
/// If a value is invalid, the database fails, or its role may not delete.
pub async fn run(args: EraseArgs) -> anyhow::Result<ExitCode> {
    let subject = args.request()?;
    let counts_only = args.dry_run || !args.yes;
    let mut session = delete_session(&args.database, "runtraced erase").await?;
    let erased = {
        let mut open = session.acquire().await?;
        erase(open.conn(), &subject, counts_only).await
    };
    session.release(erased.as_ref().err());
    let erased = match erased {
        Ok(erased) => erased,
        Err(error) => return failed(error),
    };
    output::print(&match args.json {
        true => format!(
            "{}\n",
            serde_json::to_string_pretty(&json(&erased, counts_only))?
        ),
        false => report(&erased, counts_only)?,
    })?;
    let is_refused = counts_only && !args.dry_run;
    if is_refused {
        output::warn("nothing is erased: --yes is missing");
    }
    let is_done = !is_refused && (args.dry_run || !erased.comes_again && erased.spooled == 0);
    Ok(match is_done {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_REFUSED),
    })
}

/// A session that may delete.
///
/// # Errors
/// If there is no database.
pub(super) async fn delete_session(
    database: &DatabaseArgs,
    name: &'static str,
) -> anyhow::Result<Session> {
    // Says what is wrong with the address in words of its own.
    drop(database.connect().await?);
    let options = database.options()?;
    let write = SessionUse::Write;
    Ok(Session::new(options, name, write, STATEMENT_LIMIT, || ()))
}

/// Why rows cannot be deleted.
pub(super) fn failed(error: sqlx::Error) -> anyhow::Result<ExitCode> {
    match is_forbidden(&error) {
        true => Ok(output::fail(
            EXIT_REFUSED,
            "this role may not delete traces: use the owner of the tables, or run `runtraced grant --role ROLE --retention` as the owner",
        )),
        false => Err(error).context("not everything is deleted; repeat the command"),
    }
}

/// The rows by table.
pub(super) fn rows_table(rows: RowCounts, counts_only: bool) -> String {
    let heads = match counts_only {
        true => ["table", "rows to delete"],
        false => ["table", "deleted rows"],
    };
    let rows = RowCounts::TABLES.into_iter().zip(rows.values());
    let rows = rows.filter(|(_, rows)| *rows > 0);
    output::table(
        &heads,
        &[1],
        rows.map(|(table, rows)| [table.to_owned(), super::count(rows)]),
    )
}

/// The same as JSON, all tables.
pub(super) fn rows_json(rows: RowCounts) -> serde_json::Value {
    let rows = RowCounts::TABLES.into_iter().zip(rows.values());
    let rows = rows.map(|(table, rows)| (table.to_owned(), rows.into()));
    rows.collect::<serde_json::Map<_, _>>().into()
}

fn report(erased: &Erased, counts_only: bool) -> anyhow::Result<String> {
    let mut text = match erased.rows == RowCounts::default() {
        true => "No rows.\n".to_owned(),
        false => rows_table(erased.rows, counts_only),
    };
    if erased.decisions > 0 {
        let decisions = super::count(erased.decisions);
        writeln!(
            text,
            "Decisions without their user and notes from now on: {decisions}"
        )?;
    }
    if erased.comes_again {
        writeln!(
            text,
            "More is being sent: stop the senders, then repeat the command."
        )?;
    }
    if erased.spooled > 0 {
        let spooled = output::thousands(erased.spooled);
        writeln!(
            text,
            "Events of anybody in spools: {spooled}. Repeat the command when there are none."
        )?;
    }
    if erased.left_behind > 0 {
        let events = output::thousands(erased.left_behind);
        writeln!(
            text,
            "Events of anybody in spools that no daemon has used for two days: {events}. Delete these spools, or replay them and repeat the command."
        )?;
    }
    text.push_str("Not reached: backups, the write-ahead log, replicas, tables about customers and users, quarantined spool files.\n");
    Ok(text)
}

fn json(erased: &Erased, counts_only: bool) -> serde_json::Value {
    serde_json::json!({
        "dry_run": counts_only,
        "rows": rows_json(erased.rows),
        "decisions": erased.decisions,
        "comes_again": erased.comes_again,
        "spooled_events": erased.spooled,
        "left_behind_events": erased.left_behind,
        "not_reached": ["backups", "write-ahead log", "replicas", "tables about customers and users", "quarantined spool files"],
    })
}
