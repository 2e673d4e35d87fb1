//! Why a batch was not written.

use sqlx::postgres::PgDatabaseError;

use super::gone::GoneIds;

/// Why a batch was not written. Its transaction must be rolled back.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The database refused a statement or cannot be reached.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// The database refused a row of COPY.
    #[error("{source}")]
    RefusedRow {
        /// The database's error.
        source: sqlx::Error,
        /// The position in the batch of an event of that row.
        event: usize,
    },
    /// A row is neither there nor was it inserted or updated. Either another daemon
    /// inserted it between two statements, and a new attempt sees it; or the database
    /// skips it, and attempts do not help.
    #[error("the database skips a row: a trigger or a rule may be the cause")]
    MissingRow,
    /// The batch names too many new runs that must be reserved. Its halves may be small
    /// enough.
    #[error("the batch has too many new runs")]
    NeedsSplit,
    /// Some events are of runs or sessions that were deleted. Without them, the batch can be
    /// written.
    #[error("the run or session was deleted")]
    Gone(Box<GoneIds>),
}

impl BatchError {
    /// An error of COPY. If Postgres names the row, `event_of` gives an event of it.
    pub(super) fn of_copy(
        source: sqlx::Error,
        event_of: impl FnOnce(usize) -> Option<usize>,
    ) -> Self {
        match copied_row(&source).and_then(event_of) {
            Some(event) => Self::RefusedRow { source, event },
            None => Self::Sql(source),
        }
    }

    /// Converts the position of a refused event among the allowed ones.
    pub(super) fn in_batch(self, position: impl FnOnce(usize) -> usize) -> Self {
        match self {
            Self::RefusedRow { source, event } => Self::RefusedRow {
                source,
                event: position(event),
            },
            other => other,
        }
    }

    /// Converts the error for callers that handle database errors only.
    pub fn into_sql(self) -> sqlx::Error {
        match self {
            Self::Sql(error) | Self::RefusedRow { source: error, .. } => error,
            other => sqlx::Error::Protocol(other.to_string()),
        }
    }
}

/// The index of the row at which a COPY failed. Postgres names it for constraints and
/// triggers that look at single rows.
fn copied_row(error: &sqlx::Error) -> Option<usize> {
    let error = error.as_database_error()?;
    let context = error.try_downcast_ref::<PgDatabaseError>()?.r#where()?;
    row_in(context)
}

/// Reads for example "COPY agent_steps, line 17, column name". The words may be translated.
fn row_in(context: &str) -> Option<usize> {
    let line = context
        .lines()
        .rev()
        .find(|line| line.starts_with("COPY "))?;
    let (_, place) = line.split_once(", ")?;
    let digits = place.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit());
    let number: usize = digits[..end.unwrap_or(digits.len())].parse().ok()?;
    number.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_is_read_from_the_context() {
        assert_eq!(row_in("COPY agent_steps, line 17"), Some(16));
        let nested =
            "PL/pgSQL function f() line 3 at RAISE\nCOPY agent_steps, Zeile 2, Spalte name";
        assert_eq!(row_in(nested), Some(1));
        assert_eq!(row_in("COPY agent_steps"), None);
        assert_eq!(row_in("PL/pgSQL function f() line 3 at RAISE"), None);
    }
}
