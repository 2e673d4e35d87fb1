//! Classifies database errors by what the writer must do about them.

use sqlx::Error;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::servers::StoreServer;

/// Why this version must not write to a database that answers. It is carried by
/// [`Error::Configuration`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Migrations are missing.
    #[error(
        "the schema is missing or older than this version of runtraced: run `runtraced migrate` as the database's owner"
    )]
    Behind,
    /// The database was migrated to other rules of writing.
    #[error(
        "the database is written by the rules of epoch {theirs}, and this version of runtraced writes by those of epoch {ours}: run the version that the schema belongs to, or `runtraced migrate` if this version is newer"
    )]
    #[allow(missing_docs)]
    Epoch { ours: i32, theirs: i32 },
    /// A daemon that writes by other rules is connected.
    #[error(
        "a daemon that writes by the rules of epoch {theirs} is connected, and this version of runtraced writes by those of epoch {ours}: stop all daemons of the other version"
    )]
    #[allow(missing_docs)]
    Daemon { ours: i32, theirs: i32 },
    /// `runtraced migrate --slots` moves rows, or was interrupted.
    #[error(
        "the traces move to slots, and nobody writes meanwhile; if nothing moves them, run `runtraced migrate --slots` again"
    )]
    Moving,
    /// The database is another server of a store than the connection was meant for.
    #[error(
        "the database is server {there} of its store, and the daemon takes it for server {meant}: give `runtraced migrate` and all daemons the same --database-url in the same order, once for each server"
    )]
    #[allow(missing_docs)]
    Server {
        there: StoreServer,
        meant: StoreServer,
    },
    /// The servers do not belong to one store.
    #[error(
        "the servers belong to different stores, so nothing is written to any of them: give --database-url the servers of one store, and start again"
    )]
    OtherStore,
}

impl From<Unfit> for Error {
    fn from(unfit: Unfit) -> Self {
        Self::Configuration(unfit.into())
    }
}

/// Why the database is not fit to be written, if that is the error.
#[must_use]
pub fn unfit(error: &Error) -> Option<Unfit> {
    match error {
        Error::Configuration(error) => error.downcast_ref().copied(),
        _ => None,
    }
}

/// Whether the database is not the one that was meant: what is written for it must not go there, nor wait for it.
#[must_use]
pub fn is_misplaced(error: &Error) -> bool {
    matches!(unfit(error), Some(Unfit::Server { .. } | Unfit::OtherStore))
}

/// Whether the error is an [`Unfit`].
#[must_use]
pub fn is_unfit(error: &Error) -> bool {
    unfit(error).is_some()
}

/// What to do about a failed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// An appended row exists already: merge instead.
    RowExists,
    /// COPY refuses tables whose row-level security applies to this role: merge instead.
    CopyForbidden,
    /// Postgres cannot store some event of the batch: split the batch to find it.
    BadData,
    /// A concurrent writer got in the way: try again.
    Conflict,
    /// The database refuses the statement, whatever its rows are: the batch waits until a person helps.
    NeedsPerson,
    /// The database is away or unfit: the batch waits.
    Unavailable,
}

/// What the server says of an error, as far as its class depends on it.
#[derive(Clone, Copy, Debug, Default)]
struct ServerFault<'e> {
    code: &'e str,
    message: &'e str,
    constraint: Option<&'e str>,
    /// The function of the server that raised it. It does not depend on the server's language.
    routine: Option<&'e str>,
    /// Where in functions and in COPY it happened.
    context: Option<&'e str>,
    /// Whether the server ended the session with the error, or did not begin it.
    ends_session: bool,
}

/// Classifies an error by its SQLSTATE (PostgreSQL manual, appendix A).
#[must_use]
pub fn classify_failure(error: &Error) -> FailureClass {
    match error {
        Error::Encode(_) | Error::InvalidArgument(_) => FailureClass::BadData,
        error => server_fault(error).map_or(FailureClass::Unavailable, classify_fault),
    }
}

fn server_fault(error: &Error) -> Option<ServerFault<'_>> {
    let error: &PgDatabaseError = error.as_database_error()?.try_downcast_ref()?;
    Some(ServerFault {
        code: error.code(),
        message: error.message(),
        constraint: error.constraint(),
        routine: error.routine(),
        context: error.r#where(),
        ends_session: matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic),
    })
}

fn classify_fault(fault: ServerFault<'_>) -> FailureClass {
    // No event is to blame, whatever the code says: a setting that the server refuses has a code of bad data.
    if fault.ends_session {
        return FailureClass::Unavailable;
    }
    match fault.code {
        "23505" => FailureClass::RowExists,
        "XX000" if fault.is_without_its_code() => FailureClass::RowExists,
        "XX000" if fault.is_of_a_node() => FailureClass::Unavailable,
        "XX000" if fault.is_of_a_commit() => FailureClass::Conflict,
        "XX000" if fault.is_of_a_plan() => FailureClass::NeedsPerson,
        "0A000" if fault.message.contains("row-level security") => FailureClass::CopyForbidden,
        "40001" | "40P01" => FailureClass::Conflict,
        // The session was there, and was deleted since: the next attempt makes it again. Or another writer has created the
        // run in another month: the next attempt finds it there.
        "23503" if fault.constraint.is_some_and(may_pass) => FailureClass::Conflict,
        "55P03" if !fault.is_lock_timeout() => FailureClass::Conflict,
        // Classes, in this order: cardinality, data, constraint, check option, program
        // limits, raised by a trigger, internal (for example: an allocation too large).
        code if ["21", "22", "23", "44", "54", "P0", "XX"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            FailureClass::BadData
        }
        _ if fault.depends_on_row() && !fault.is_lock_timeout() => FailureClass::BadData,
        // A table has changed under a prepared statement. A new session prepares it anew.
        "0A000" if fault.routine == Some("RevalidateCachedQuery") => FailureClass::Unavailable,
        "0A000" => FailureClass::NeedsPerson,
        _ => FailureClass::Unavailable,
    }
}

/// Routines of Postgres that refuse a value with the code of a feature that is missing: escapes in
/// a database that is not UTF-8, and numbers and times that a type has no place for.
const REFUSES_VALUES: [&str; 7] = [
    "pg_unicode_to_server",
    "checkTimezoneIsUsedForCast",
    "numeric_int2",
    "numeric_int4_opt_error",
    "numeric_int4_safe",
    "numeric_int8_opt_error",
    "numeric_int8_safe",
];

/// Whether a reference may be right at the next attempt: to a session, or to a run and its month.
/// On a worker of Citus, the constraint of a shard has the shard's number after its name.
fn may_pass(constraint: &str) -> bool {
    let of_shard = constraint.rsplit_once('_');
    // Citus begins at 102008.
    let is_number = |text: &str| text.len() >= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    let name = match of_shard {
        Some((name, number)) if is_number(number) => name,
        _ => constraint,
    };
    [
        "agent_steps_run_id_fkey",
        "agent_messages_run_id_fkey",
        "agent_token_counts_run_id_fkey",
        "agent_contents_run_id_fkey",
        "agent_runs_session_id_fkey",
        "agent_messages_session_id_fkey",
        "approvals_session_id_fkey",
    ]
    .contains(&name)
}

impl ServerFault<'_> {
    /// Whether the code is not that of the error. Citus passes an error of COPY on from another node with its message alone.
    /// Rows that are merged go by INSERT, whose errors keep their codes.
    fn is_without_its_code(&self) -> bool {
        self.routine == Some("ReportCopyError")
            || self
                .message
                .contains("duplicate key value violates unique constraint")
    }

    /// Whether another node of Citus was away, or a shard has just moved.
    fn is_of_a_node(&self) -> bool {
        self.says_one_of(&[
            "failure on connection marked as essential",
            "could not find valid entry for shard",
        ])
    }

    /// Whether a node of Citus did not commit. It is away, as the next attempt tells; or a deferred constraint of a
    /// product refuses a row, and the same happens again.
    fn is_of_a_commit(&self) -> bool {
        self.says_one_of(&["could not commit transaction for shard"])
    }

    /// Whether Citus cannot run the statement on its tables, whatever the rows are.
    fn is_of_a_plan(&self) -> bool {
        self.says_one_of(&[
            "cannot execute a distributed query from a query on a shard",
            "is not distributed",
            "operation is not allowed on this node",
            "executor could not find named tuplestore",
            "bogus varno",
        ])
    }

    /// Internal errors have one code, and Citus does not translate its messages. A trigger of a product may raise
    /// anything.
    fn says_one_of(&self, words: &[&str]) -> bool {
        self.routine != Some("exec_stmt_raise")
            && words.iter().any(|words| self.message.contains(words))
    }

    /// Whether an error of any other code is about a row: a trigger or a policy of the product
    /// refuses it. RAISE may use any code, and a trigger may name what does not exist.
    fn depends_on_row(&self) -> bool {
        let is_of = |classes: &[&str]| classes.iter().any(|class| self.code.starts_with(class));
        // Connection, resources, operator, system: whoever says so, it may pass.
        if is_of(&["08", "53", "57", "58"]) {
            return false;
        }
        match self.routine {
            Some("exec_stmt_raise" | "ExecWithCheckOptions") => true,
            // A value that a type or the database's encoding does not have.
            Some(routine) if self.code == "0A000" && REFUSES_VALUES.contains(&routine) => true,
            // Features, syntax and privileges, object states. The daemon's own statements call no function in a
            // procedural language.
            _ if is_of(&["0A", "42", "55"]) => {
                self.context.is_some_and(|context| context.contains("PL/"))
            }
            _ => false,
        }
    }

    /// Whether a statement waited for a lock until our limit. `NOWAIT` has the same SQLSTATE, and the message depends on
    /// the server's language.
    fn is_lock_timeout(&self) -> bool {
        self.code == "55P03" && self.routine == Some("ProcessInterrupts")
    }
}

/// Whether the database refuses a statement whatever its rows are, until a person helps: it does not pass by itself, and no
/// event is to blame.
#[must_use]
pub fn needs_person(error: &Error) -> bool {
    classify_failure(error) == FailureClass::NeedsPerson
}

/// Whether a later attempt may succeed: the database is away or busy, or a person has helped.
#[must_use]
pub fn is_outage(error: &Error) -> bool {
    matches!(
        classify_failure(error),
        FailureClass::Unavailable | FailureClass::NeedsPerson | FailureClass::Conflict
    )
}

/// Whether a lock or another transaction was in the way.
#[must_use]
pub fn is_conflict(error: &Error) -> bool {
    classify_failure(error) == FailureClass::Conflict
}

/// SQLSTATEs of a missing table, column and function (PostgreSQL manual, appendix A).
const NOT_MIGRATED: [&str; 3] = ["42P01", "42703", "42883"];

/// Whether the schema is missing or incomplete.
#[must_use]
pub fn is_not_migrated(error: &Error) -> bool {
    unfit(error) == Some(Unfit::Behind)
        || server_fault(error)
            .is_some_and(|fault| NOT_MIGRATED.contains(&fault.code) && !fault.depends_on_row())
}

/// The error of what took longer than its deadline.
#[must_use]
pub fn timed_out() -> Error {
    let kind = std::io::ErrorKind::TimedOut;
    Error::Io(std::io::Error::new(
        kind,
        "the database did not answer in time",
    ))
}

/// Whether the database did not answer before our own deadline, which the server knows
/// too: then it has cancelled the statement (`query_canceled`).
#[must_use]
pub fn is_timeout(error: &Error) -> bool {
    match error {
        Error::Io(error) => error.kind() == std::io::ErrorKind::TimedOut,
        error => is_lock_timeout(error) || sqlstate(error) == "57014",
    }
}

/// Whether a statement waited for a lock until our limit. Somebody else holds the lock, so
/// no event is to blame.
#[must_use]
pub fn is_lock_timeout(error: &Error) -> bool {
    server_fault(error).is_some_and(|fault| fault.is_lock_timeout())
}

/// Whether the same statement may succeed a little later, without anybody's help: the
/// server is starting, stopping, full or a standby, or a lock was in the way.
#[must_use]
pub fn is_passing(error: &Error) -> bool {
    let Error::Database(error) = error else {
        return unfit(error).is_none_or(|unfit| matches!(unfit, Unfit::Daemon { .. }));
    };
    let code = error.code().unwrap_or_default();
    // Classes and codes, in this order: connection, rollback, resources, operator, system;
    // a lock that is not available, a standby, and a session that the server has ended.
    ["08", "40", "53", "57", "58", "55P03", "25006", "25P03"]
        .iter()
        .any(|class| code.starts_with(class))
}

/// The SQLSTATE, or `client` if the error is not from the server.
#[must_use]
pub fn sqlstate(error: &Error) -> String {
    let code = error.as_database_error().and_then(|error| error.code());
    code.map_or_else(|| "client".to_owned(), std::borrow::Cow::into_owned)
}

/// The most bytes of a message in [`reason`]. The message of a trigger may repeat a whole
/// row, and each refused event has a reason.
const MAX_MESSAGE_BYTES: usize = 500;

/// The error's message, for dead letters, refusals and logs; cut if it is long.
///
/// It leaves out Postgres's detail lines, which may contain values of rows.
#[must_use]
pub fn reason(error: &Error) -> String {
    match error {
        Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            format!("{} (SQLSTATE {code})", shorten(error.message()))
        }
        Error::Configuration(error) => shorten(&error.to_string()).to_owned(),
        other => shorten(&other.to_string()).to_owned(),
    }
}

fn shorten(message: &str) -> &str {
    let mut end = MAX_MESSAGE_BYTES.min(message.len());
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    &message[..end]
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// What a server said, and how it is to be taken.
    #[derive(Deserialize)]
    struct Said {
        code: String,
        message: String,
        routine: Option<String>,
        context: Option<String>,
        constraint: Option<String>,
        #[serde(default)]
        fatal: bool,
        class: String,
    }

    #[test]
    fn errors_of_citus_are_taken_for_what_they_are() {
        let file = include_str!("../../tests/data/citus/errors.json");
        let errors: Vec<Said> = serde_json::from_str(file).unwrap();
        for said in &errors {
            let class = classify_fault(ServerFault {
                code: &said.code,
                message: &said.message,
                constraint: said.constraint.as_deref(),
                routine: said.routine.as_deref(),
                context: said.context.as_deref(),
                ends_session: said.fatal,
            });
            assert_eq!(format!("{class:?}"), said.class, "{}", said.message);
        }
        assert!(errors.len() > 10);
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        assert_eq!(shorten("short"), "short");
        assert_eq!(shorten(&"\u{e9}".repeat(300)).len(), 500);
        assert_eq!(shorten(&format!("a{}", "\u{e9}".repeat(300))).len(), 499);
    }
}
