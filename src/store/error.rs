//! Classifies database errors by what the writer must do about them.

use sqlx::Error;

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
    let Error::Database(error) = error else {
        return match error {
            Error::Encode(_) | Error::InvalidArgument(_) => FailureClass::BadData,
            _ => FailureClass::Unavailable,
        };
    };
    let code = error.code().unwrap_or_default();
    match code.as_ref() {
        "23505" => FailureClass::RowExists,
        "0A000" if error.message().contains("row-level security") => FailureClass::CopyForbidden,
        "40001" | "40P01" | "55P03" => FailureClass::Conflict,
        // Classes, in this order: cardinality, data, constraint, check option, program
        // limits, raised by a trigger, internal (for example: an allocation too large).
        code if ["21", "22", "23", "44", "54", "P0", "XX"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            FailureClass::BadData
        }
        _ => FailureClass::Unavailable,
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

/// SQLSTATEs of a missing table and a missing column (PostgreSQL manual, appendix A).
const NOT_MIGRATED: [&str; 2] = ["42P01", "42703"];

/// Whether the schema is missing or incomplete.
#[must_use]
pub fn is_not_migrated(error: &Error) -> bool {
    NOT_MIGRATED.contains(&sqlstate(error).as_str())
}

/// Whether the database did not answer before our own deadline.
#[must_use]
pub fn is_timeout(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}

/// The SQLSTATE, or `client` if the error is not from the server.
#[must_use]
pub fn sqlstate(error: &Error) -> String {
    let code = error.as_database_error().and_then(|error| error.code());
    code.map_or_else(|| "client".to_owned(), std::borrow::Cow::into_owned)
}

/// The error's message, for dead letters, refusals and logs.
///
/// It leaves out Postgres's detail lines, which may contain values of rows.
#[must_use]
pub fn reason(error: &Error) -> String {
    match error {
        Error::Database(error) => {
            format!(
                "{} (SQLSTATE {})",
                error.message(),
                error.code().unwrap_or_default()
            )
        }
        other => other.to_string(),
    }
}
