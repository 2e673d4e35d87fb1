//! Why a batch was not written.

/// Why a batch was not written. Its transaction must be rolled back.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The database refused a statement or cannot be reached.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// Another daemon inserted a row between two statements. A new attempt sees the row.
    #[error("a concurrent writer inserted the same row")]
    ConcurrentInsert,
    /// The batch names too many new runs that must be reserved. Its halves may be small
    /// enough.
    #[error("the batch has too many new runs")]
    NeedsSplit,
}

impl BatchError {
    /// Converts the error for callers that handle database errors only.
    pub fn into_sql(self) -> sqlx::Error {
        match self {
            Self::Sql(error) => error,
            other => sqlx::Error::Protocol(other.to_string()),
        }
    }
}
