//! Hands batches to the pipeline, waits until they are settled, and defines the errors
//! for batches that are not. Both protocols use it.

use std::time::Duration;

use axum::http::StatusCode;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::auth::QuotaExceeded;
use crate::pipeline::{Batch, BatchOutcome, Durability, Pipeline, Ticket};

/// The retry delay for clients, unless their key has another one.
pub const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Why a batch is not settled. The client may send the same batch again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsettled {
    /// A budget is full; the batch was not admitted.
    #[error("the memory budget is full")]
    Full,
    /// Too many requests are open; the body was not read.
    #[error("the limit of open requests and streams (--max-streams) is reached")]
    TooManyRequests,
    /// The message was not received in time; it was not admitted.
    #[error("the message was not received in time")]
    ReceiveTimeout,
    /// The key has reached its limit; the batch was not admitted. Holds the time to wait.
    #[error("the limit of the key is reached; it may send again in {0:?}")]
    Limited(Duration),
    /// The client did not read its acks; the batch may be settled.
    #[error("acks were not read in time; send again what was not acked")]
    AckTimeout,
    /// The batch is admitted, but not settled yet; it will still be written.
    #[error("the database did not answer in time")]
    CommitTimeout,
    /// The batch was not admitted, or it was dropped.
    #[error("the daemon is shutting down; send again what was not acked")]
    ShuttingDown,
}

impl Unsettled {
    /// How long the client should wait before it sends again.
    #[must_use]
    pub fn retry_delay(self) -> Duration {
        match self {
            Self::Limited(delay) => delay,
            _ => RETRY_DELAY,
        }
    }

    /// The gRPC status code. Clients retry both codes, because `RetryInfo` is attached.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::Full | Self::TooManyRequests | Self::Limited(_) => Code::ResourceExhausted,
            Self::ReceiveTimeout | Self::AckTimeout | Self::CommitTimeout | Self::ShuttingDown => {
                Code::Unavailable
            }
        }
    }

    /// The HTTP status. Clients retry both after the time in `Retry-After`.
    #[must_use]
    pub fn http_status(self) -> StatusCode {
        match self {
            Self::Full | Self::TooManyRequests | Self::Limited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::ReceiveTimeout | Self::AckTimeout | Self::CommitTimeout | Self::ShuttingDown => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}

impl From<QuotaExceeded> for Unsettled {
    fn from(QuotaExceeded(wait): QuotaExceeded) -> Self {
        Self::Limited(wait)
    }
}

impl From<Unsettled> for Status {
    fn from(unsettled: Unsettled) -> Self {
        Self::with_error_details(
            unsettled.code(),
            unsettled.to_string(),
            ErrorDetails::with_retry_info(Some(unsettled.retry_delay())),
        )
    }
}

/// Admits a batch without waiting.
///
/// # Errors
/// [`Unsettled::Full`] when the memory budget is full.
pub fn admit(
    pipeline: &Pipeline,
    batch: Batch,
    min_durability: Durability,
) -> Result<Ticket, Unsettled> {
    pipeline
        .try_admit(batch, min_durability)
        .map_err(|_| Unsettled::Full)
}

/// Waits until an admitted batch is settled.
///
/// # Errors
/// [`Unsettled::CommitTimeout`] after `timeout`, [`Unsettled::ShuttingDown`].
pub async fn settled(mut ticket: Ticket, timeout: Duration) -> Result<BatchOutcome, Unsettled> {
    tokio::time::timeout(timeout, ticket.settled())
        .await
        .map_err(|_| Unsettled::CommitTimeout)?
        .map_err(|_| Unsettled::ShuttingDown)
}
