//! Why a request is not let in, and how it is told so over gRPC and HTTP.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::http::StatusCode;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::table::AuthCounts;

/// What a client is told to wait while the keys are not loaded.
const NOT_LOADED_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Why a request is not let in. Nothing of what it presented is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is no key of ours, and one is needed.
    #[error("a key is needed: authorization: Bearer rt_…")]
    Missing,
    /// What is there begins as a key and is none.
    #[error("the key is not valid")]
    Malformed,
    /// There is no such key, or no longer. Told in the same words.
    #[error("the key is not valid")]
    Unknown,
    /// The daemon has not been told the keys yet.
    #[error("keys cannot be checked yet: the database has not been reached")]
    NotLoaded,
    /// `runtraced-customer` is no id.
    #[error("runtraced-customer is not the UUID of a customer")]
    Customer,
    /// The key is another customer's than `runtraced-customer` says.
    #[error("the key is not one of the customer that runtraced-customer names")]
    OtherCustomer,
}

impl Denied {
    /// For gRPC.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::Missing | Self::Malformed | Self::Unknown => Code::Unauthenticated,
            Self::NotLoaded => Code::Unavailable,
            Self::Customer => Code::InvalidArgument,
            Self::OtherCustomer => Code::PermissionDenied,
        }
    }

    /// For HTTP.
    #[must_use]
    pub fn http_status(self) -> StatusCode {
        match self {
            Self::Missing | Self::Malformed | Self::Unknown => StatusCode::UNAUTHORIZED,
            Self::NotLoaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Customer => StatusCode::BAD_REQUEST,
            Self::OtherCustomer => StatusCode::FORBIDDEN,
        }
    }

    /// After how long a client may try again; `None`: not with the same key.
    #[must_use]
    pub fn retry_delay(self) -> Option<Duration> {
        (self == Self::NotLoaded).then_some(NOT_LOADED_RETRY_DELAY)
    }

    pub(super) fn count(self, counts: &AuthCounts) {
        let counter: &AtomicU64 = match self {
            Self::Missing => &counts.missing,
            Self::Malformed => &counts.malformed,
            Self::Unknown => &counts.unknown,
            Self::NotLoaded => &counts.not_loaded,
            Self::Customer | Self::OtherCustomer => &counts.customer,
        };
        counter.fetch_add(1, Relaxed);
    }
}

impl From<Denied> for Status {
    fn from(denied: Denied) -> Self {
        match denied.retry_delay() {
            Some(delay) => Self::with_error_details(
                denied.code(),
                denied.to_string(),
                ErrorDetails::with_retry_info(Some(delay)),
            ),
            None => Self::new(denied.code(), denied.to_string()),
        }
    }
}
