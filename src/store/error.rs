//! Classifies database errors by what the writer must do about them.

use sqlx::Error;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

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
    /// The database is away or unfit: the batch waits.
    Unavailable,
}

/// Classifies an error by its SQLSTATE (PostgreSQL manual, appendix A).
#[must_use]
pub fn classify_failure(error: &Error) -> FailureClass {
    let Error::Database(database) = error else {
        return match error {
            Error::Encode(_) | Error::InvalidArgument(_) => FailureClass::BadData,
            _ => FailureClass::Unavailable,
        };
    };
    if ends_session(error) {
        return FailureClass::Unavailable;
    }
    let code = database.code().unwrap_or_default();
    match code.as_ref() {
        "23505" => FailureClass::RowExists,
        "0A000" if database.message().contains("row-level security") => FailureClass::CopyForbidden,
        "40001" | "40P01" => FailureClass::Conflict,
        // The session was there, and was deleted since. The next attempt makes it again.
        "23503" if database.constraint().is_some_and(is_of_session) => FailureClass::Conflict,
        "55P03" if !is_lock_timeout(error) => FailureClass::Conflict,
        // Classes, in this order: cardinality, data, constraint, check option, program
        // limits, raised by a trigger, internal (for example: an allocation too large).
        code if ["21", "22", "23", "44", "54", "P0", "XX"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            FailureClass::BadData
        }
        code if depends_on_row(error, code) && !is_lock_timeout(error) => FailureClass::BadData,
        _ => FailureClass::Unavailable,
    }
}

/// Whether the server ended the session with the error, or did not begin it: no event is to blame, whatever the code says. A
/// setting that the server refuses has a code of bad data.
fn ends_session(error: &Error) -> bool {
    let severity = server_error(error).map(PgDatabaseError::severity);
    matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic))
}

/// Whether a constraint is a reference to a session.
fn is_of_session(constraint: &str) -> bool {
    [
        "agent_runs_session_id_fkey",
        "agent_messages_session_id_fkey",
        "approvals_session_id_fkey",
    ]
    .contains(&constraint)
}

/// Whether an error of any other code is about a row: a trigger or a policy of the product
/// refuses it. RAISE may use any code, and a trigger may name what does not exist.
fn depends_on_row(error: &Error, code: &str) -> bool {
    // Connection, resources, operator, system: whoever says so, it may pass.
    if ["08", "53", "57", "58"]
        .iter()
        .any(|class| code.starts_with(class))
    {
        return false;
    }
    let error = server_error(error);
    match error.and_then(PgDatabaseError::routine) {
        Some("exec_stmt_raise" | "ExecWithCheckOptions") => true,
        // Features, syntax and privileges, object states.
        _ if ["0A", "42", "55"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            // The daemon's own statements call no function in a procedural language.
            let context = error.and_then(PgDatabaseError::r#where);
            context.is_some_and(|context| context.contains("PL/"))
        }
        _ => false,
    }
}

/// Whether a later attempt may succeed: the database is away or busy.
#[must_use]
pub fn is_outage(error: &Error) -> bool {
    matches!(
        classify_failure(error),
        FailureClass::Unavailable | FailureClass::Conflict
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
    let code = sqlstate(error);
    unfit(error) == Some(Unfit::Behind)
        || NOT_MIGRATED.contains(&code.as_str()) && !depends_on_row(error, &code)
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
    // `NOWAIT` has the same SQLSTATE, and the message depends on the server's language.
    sqlstate(error) == "55P03"
        && server_error(error).and_then(PgDatabaseError::routine) == Some("ProcessInterrupts")
}

fn server_error(error: &Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref()
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
    use super::*;

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        assert_eq!(shorten("short"), "short");
        assert_eq!(shorten(&"\u{e9}".repeat(300)).len(), 500);
        assert_eq!(shorten(&format!("a{}", "\u{e9}".repeat(300))).len(), 499);
    }
}
