//! What an error of the database means for the batch that met it.

use sqlx::Error;

/// What to do about a failed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// An appended row was there already: merge instead.
    Exists,
    /// COPY does not write to tables whose policies bind this role: merge.
    Guarded,
    /// Some event of the batch cannot be stored: find it.
    BadData,
    /// The rest of the batch is fine; a concurrent writer was in the way.
    Conflict,
    /// The database is away or unfit; the batch waits.
    Unavailable,
}

/// Judges by SQLSTATE (PostgreSQL manual, appendix A).
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
        "23505" => FailureClass::Exists,
        "0A000" if error.message().contains("row-level security") => FailureClass::Guarded,
        "40001" | "40P01" | "55P03" => FailureClass::Conflict,
        // Cardinality, data, constraint, check option, limits, raised by a
        // trigger, internal (an allocation too large, for example).
        code if ["21", "22", "23", "44", "54", "P0", "XX"]
            .iter()
            .any(|c| code.starts_with(c)) =>
        {
            FailureClass::BadData
        }
        _ => FailureClass::Unavailable,
    }
}

/// Whether the database is away or busy, rather than at odds with the statement.
#[must_use]
pub fn is_outage(error: &Error) -> bool {
    matches!(
        classify_failure(error),
        FailureClass::Unavailable | FailureClass::Conflict
    )
}

/// SQLSTATEs of a table and a column that are not there (PostgreSQL manual,
/// appendix A).
const NOT_MIGRATED: [&str; 2] = ["42P01", "42703"];

/// Whether the schema is not there, or not all of it.
#[must_use]
pub fn is_not_migrated(error: &Error) -> bool {
    NOT_MIGRATED.contains(&sqlstate(error).as_str())
}

/// Whether the database did not answer within a deadline of ours.
#[must_use]
pub fn is_late(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}

/// The SQLSTATE, or `client` where the statement did not get that far.
#[must_use]
pub fn sqlstate(error: &Error) -> String {
    let code = error.as_database_error().and_then(|error| error.code());
    code.map_or_else(|| "client".to_owned(), std::borrow::Cow::into_owned)
}

/// The message for a dead letter or a refusal: without detail lines, which may
/// repeat the content of rows.
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
