//! From a handler that answers once to the pipeline and back, and what it tells
//! a client whose events are not settled: the one place for both.

use std::time::Duration;

use axum::http::StatusCode;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::auth::QuotaExceeded;
use crate::pipeline::{Batch, BatchOutcome, Durability, Pipeline, Ticket};

/// What clients are told to wait before they send again.
pub const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Why a batch is not settled. The same batch may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsettled {
    /// It was not taken in.
    #[error("the memory budget is full")]
    Full,
    /// It was not looked at.
    #[error("as many requests and streams as --max-streams are open")]
    Crowded,
    /// It was not taken in.
    #[error("the message did not come in time")]
    Slow,
    /// It was not taken in: the key has sent as much as it may, until then.
    #[error("the key's limit is reached; it may send again in {0:?}")]
    Limited(Duration),
    /// It may be settled, but the client does not read that it is.
    #[error("acks were not taken in time; send again what was not acked")]
    Unread,
    /// It was taken in, and is written when the database can.
    #[error("the database did not answer in time")]
    Late,
    /// It was not taken in, or dropped.
    #[error("the daemon is shutting down; send again what was not acked")]
    ShuttingDown,
}

impl Unsettled {
    /// How long a client is told to wait.
    #[must_use]
    pub fn retry_delay(self) -> Duration {
        match self {
            Self::Limited(delay) => delay,
            _ => RETRY_DELAY,
        }
    }

    /// For gRPC. Both are retried where `RetryInfo` is given.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::Full | Self::Crowded | Self::Limited(_) => Code::ResourceExhausted,
            Self::Slow | Self::Unread | Self::Late | Self::ShuttingDown => Code::Unavailable,
        }
    }

    /// For HTTP. Both are retried, after the time in `Retry-After`.
    #[must_use]
    pub fn http_status(self) -> StatusCode {
        match self {
            Self::Full | Self::Crowded | Self::Limited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Slow | Self::Unread | Self::Late | Self::ShuttingDown => {
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

/// Admits a batch if there is room now.
///
/// # Errors
/// [`Unsettled::Full`].
pub fn admit(pipeline: &Pipeline, batch: Batch, least: Durability) -> Result<Ticket, Unsettled> {
    pipeline
        .try_admit(batch, least)
        .map_err(|_| Unsettled::Full)
}

/// Waits for an admitted batch.
///
/// # Errors
/// [`Unsettled::Late`] after `timeout`, [`Unsettled::ShuttingDown`].
pub async fn settled(mut ticket: Ticket, timeout: Duration) -> Result<BatchOutcome, Unsettled> {
    tokio::time::timeout(timeout, ticket.settled())
        .await
        .map_err(|_| Unsettled::Late)?
        .map_err(|_| Unsettled::ShuttingDown)
}
