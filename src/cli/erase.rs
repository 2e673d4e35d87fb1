//! `runtraced erase`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use sqlx::PgConnection;
use uuid::Uuid;

use super::customer_flag::customer_of;
use super::database::DatabaseArgs;
use super::delete_sessions::{DeleteSession, cannot_delete, delete_sessions};
use super::output::{self, EXIT_REFUSED};
use super::spool::{SpoolFolderArgs, server_folders};
use super::unused_spool::UnusedSpool;
use crate::config::{Faults, FlagReader, FlagValue};
use crate::reap::{
    EraseFailure, Erased, ForeignKey, HeldRows, RowCounts, Subject, erase, erase_everywhere,
};
use crate::store::identify_database;

/// Erase all traces of a customer, a session or a user, and their dead letters.
///
/// Also runs that go on. Late events of what was erased are ignored. Repeating this is
/// harmless. It does not reach backups, the write-ahead log, replicas, and the tables
/// about customers and users themselves.
///
/// Exit codes: 0 done, 1 more is still being sent or waits in a spool: repeat it, or
/// a table of yours refers to what should go, or nothing is erased: --yes is missing, or
/// several users have the name.
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
    /// Exit with 0 although there are events in spools that no daemon uses.
    #[arg(long)]
    ignore_old_spools: bool,
    /// Folder of a spool to look into, if no daemon uses it; without it, `spool` in --data-dir.
    #[arg(long, env = "RUNTRACED_SPOOL_DIR", value_name = "DIR")]
    spool_dir: Option<PathBuf>,
    /// Print a JSON object instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Whom or what to erase.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = true)]
struct SubjectArgs {
    /// Customer, by id or name: what came with its keys, and what names it. With --user: only the
    /// user's traces there.
    #[arg(long, value_name = "ID", conflicts_with = "session")]
    customer: Option<String>,
    /// Session, with its runs and the runs that they started.
    #[arg(long, value_name = "ID", conflicts_with = "user")]
    session: Option<FlagValue>,
    /// User: the user's sessions, and runs whose metadata names this user.
    #[arg(long, value_name = "ID")]
    user: Option<String>,
}

impl EraseArgs {
    /// Checks the flags, and returns the session to erase, if it is one.
    pub(super) fn session(&self) -> Result<Option<Uuid>, Faults> {
        let mut flags = FlagReader::default();
        self.database.check(&mut flags);
        let session = self.subject.session.as_ref();
        let session = session.and_then(|id| flags.uuid(id));
        flags.finish(session)
    }

    /// The spools of the servers that no daemon uses. With several servers, each has a folder.
    async fn unused_spools(
        &self,
        servers: &mut [&mut PgConnection],
    ) -> Result<Vec<UnusedSpool>, sqlx::Error> {
        let folder = SpoolFolderArgs {
            spool_dir: self.spool_dir.clone(),
            data_dir: self.database.data_dir.clone(),
        };
        let folders = server_folders(&folder.path(), servers.len());
        let mut spools = Vec::new();
        for (conn, folder) in servers.iter_mut().zip(folders) {
            let identity = identify_database(conn).await?;
            spools.extend(UnusedSpool::in_folder(&folder, &identity));
        }
        Ok(spools)
    }

    async fn subject(&self, servers: &mut [&mut PgConnection]) -> anyhow::Result<Subject> {
        if let Some(session) = self.session()? {
            return Ok(Subject::Session(session));
        }
        let customer = customer_of(servers, self.subject.customer.as_deref()).await?;
        match (&self.subject.user, customer) {
            (Some(user), customer) => Ok(Subject::User {
                user: user.clone(),
                customer,
            }),
            (None, Some(customer)) => Ok(Subject::Customer(customer)),
            // The flags are a group of which one is required.
            (None, None) => bail!("nothing says whom or what to erase"),
        }
    }
}

/// What the command did, and what it found beside the database.
struct EraseReport {
    erased: Erased,
    unused_spools: Vec<UnusedSpool>,
    /// Nothing was erased: the rows are those that would be.
    counts_only: bool,
}

/// Runs the command.
///
/// # Errors
/// If a value is invalid, the database fails, or its role may not delete.
pub async fn run(args: EraseArgs) -> anyhow::Result<ExitCode> {
    args.session()?;
    let counts_only = args.dry_run || !args.yes;
    let mut sessions = delete_sessions(&args.database, "runtraced erase").await?;
    let (erased, unused_spools) = erase_on(&mut sessions, &args, counts_only).await?;
    let erased = match erased {
        Ok(erased) => erased,
        Err(failure) => return failed(failure, &sessions, args.json),
    };
    let refusal = refusal(args.subject.user.as_deref(), erased.customers);
    let report = EraseReport {
        erased,
        unused_spools,
        counts_only: counts_only || refusal.is_some(),
    };
    output::print(&match args.json {
        true => format!("{}\n", serde_json::to_string_pretty(&report.json())?),
        false => report.text(),
    })?;
    if let Some(refusal) = &refusal {
        output::warn(refusal);
    } else if counts_only && !args.dry_run {
        output::warn("nothing is erased: --yes is missing");
    }
    let is_refused = refusal.is_some() || counts_only && !args.dry_run;
    let is_complete = report.is_complete(args.ignore_old_spools);
    Ok(match !is_refused && (args.dry_run || is_complete) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_REFUSED),
    })
}

/// Erases on all servers, or counts. Also returns the spools that no daemon uses.
async fn erase_on(
    sessions: &mut [DeleteSession],
    args: &EraseArgs,
    counts_only: bool,
) -> anyhow::Result<(Result<Erased, EraseFailure>, Vec<UnusedSpool>)> {
    let mut open = Vec::with_capacity(sessions.len());
    for one in sessions.iter_mut() {
        open.push(one.session.acquire().await?);
    }
    let mut servers: Vec<&mut PgConnection> = open.iter_mut().map(|one| one.conn()).collect();
    let subject = args.subject(&mut servers).await?;
    let spools = args.unused_spools(&mut servers).await?;
    let erased = match servers.as_mut_slice() {
        [only] => erase(only, &subject, counts_only)
            .await
            .map_err(EraseFailure::alone),
        all => erase_everywhere(all, &subject, counts_only).await,
    };
    drop(open);
    let failure = erased.as_ref().err();
    for (place, one) in sessions.iter_mut().enumerate() {
        let failure = failure.filter(|failure| failure.server == place);
        one.session.release(failure.map(|failure| &failure.source));
    }
    Ok((erased, spools))
}

/// Why rows cannot be erased; with several servers, also what is erased already.
fn failed(
    failure: EraseFailure,
    sessions: &[DeleteSession],
    is_json: bool,
) -> anyhow::Result<ExitCode> {
    match sessions.get(failure.server) {
        Some(server) => stopped(failure.source, server, failure.erased.rows, is_json),
        None => cannot_delete(failure.source, None),
    }
}

/// Why rows of a server cannot be deleted; with several servers, also what is known to be deleted before.
pub(super) fn stopped(
    error: sqlx::Error,
    server: &DeleteSession,
    rows: RowCounts,
    is_json: bool,
) -> anyhow::Result<ExitCode> {
    if !server.server.has_others() {
        return cannot_delete(error, None);
    }
    output::print(&match (is_json, rows == RowCounts::default()) {
        (true, _) => format!("{}\n", serde_json::json!({ "rows": rows_json(rows) })),
        (false, true) => "No rows are known to be deleted so far.\n".to_owned(),
        (false, false) => rows_table(rows, false),
    })?;
    cannot_delete(error, Some(&server.name))
}

/// Why nothing was erased, if the user's name is in the traces of several customers.
fn refusal(user: Option<&str>, customers: usize) -> Option<String> {
    (customers > 1).then(|| {
        let user = user.unwrap_or_default();
        format!("nothing is erased: {user} is a user of {customers} customers; say which one with --customer")
    })
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

impl EraseReport {
    /// Whether nothing is left to erase, as far as one can see.
    fn is_complete(&self, ignores_old_spools: bool) -> bool {
        let erased = &self.erased;
        let has_left = erased.left_behind > 0 || !self.unused_spools.is_empty();
        !erased.comes_again
            && erased.held.is_empty()
            && erased.unswept == 0
            && erased.spooled == 0
            && (ignores_old_spools || !has_left)
    }

    fn text(&self) -> String {
        let erased = &self.erased;
        let mut lines = vec![match erased.rows == RowCounts::default() {
            true => "No rows.".to_owned(),
            false => rows_table(erased.rows, self.counts_only)
                .trim_end()
                .to_owned(),
        }];
        lines.extend(counted(
            erased.decisions,
            "Decisions of the user about others, which lose the user and the notes",
            "",
        ));
        lines.extend(counted(
            erased.mentions,
            "Steps and scores of others, which lose the user and the comments",
            "",
        ));
        if erased.comes_again {
            lines.push("More is being sent: stop the senders, then repeat the command.".to_owned());
        }
        let held = erased.held.iter();
        lines.extend(held.map(|held| format!("Runs and sessions {}.", held_text(held))));
        lines.extend(counted(
            erased.unswept,
            "Sessions whose shared contents are in use, and may hold what was erased",
            ". Repeat the command.",
        ));
        if erased.has_old_sums {
            lines.push("Statistics may name the user until a daemon sums up again, within a minute. The owner of the tables erases these names at once.".to_owned());
        }
        lines.extend(counted(
            erased.spooled.unsigned_abs(),
            "Events of anybody in spools",
            ". Repeat the command when there are none.",
        ));
        lines.extend(counted(
            erased.left_behind.unsigned_abs(),
            "Events of anybody in spools that no daemon has used for two days",
            ". Delete these spools, or replay them and repeat the command.",
        ));
        lines.extend(self.unused_spools.iter().map(UnusedSpool::text));
        lines.push("Not reached: backups, the write-ahead log, replicas, tables about customers and users, quarantined spool files.\n".to_owned());
        lines.join("\n")
    }

    fn json(&self) -> serde_json::Value {
        let erased = &self.erased;
        let spools = self.unused_spools.iter();
        let mut spools =
            spools.map(|spool| serde_json::json!({"folder": spool.folder, "events": spool.events}));
        serde_json::json!({
            "dry_run": self.counts_only,
            "rows": rows_json(erased.rows),
            "decisions": erased.decisions,
            "mentions": erased.mentions,
            "comes_again": erased.comes_again,
            "held": erased.held.iter().map(held_json).collect::<Vec<_>>(),
            "unswept_sessions": erased.unswept,
            "names_in_statistics": erased.has_old_sums,
            "customers": erased.customers,
            "spooled_events": erased.spooled,
            "left_behind_events": erased.left_behind,
            "unused_spool": spools.next(),
            "more_unused_spools": spools.collect::<Vec<_>>(),
            "not_reached": ["backups", "write-ahead log", "replicas", "tables about customers and users", "quarantined spool files"],
        })
    }
}

/// A line with a number, unless it is 0.
fn counted(number: u64, of: &str, advice: &str) -> Option<String> {
    (number > 0).then(|| format!("{of}: {}{advice}", super::count(number)))
}

/// Which rows stay, and what a person can do about it.
pub(super) fn held_text(held: &HeldRows) -> String {
    let HeldRows { by, rows, example } = held;
    let rows = super::count(*rows);
    let ForeignKey { name, table } = by;
    format!(
        "that stay: {rows}, for example {example}: foreign key {name} of table {table} refers to them; delete these rows of {table}, then repeat the command"
    )
}

fn held_json(held: &HeldRows) -> serde_json::Value {
    serde_json::json!({
        "table": held.by.table,
        "foreign_key": held.by.name,
        "rows": held.rows,
        "example": held.example,
    })
}
