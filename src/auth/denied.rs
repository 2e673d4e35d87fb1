//! Why a request is rejected, and how gRPC and HTTP report it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::http::StatusCode;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::table::AuthCounts;

/// The retry delay for refusals that pass by themselves.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Why a request is rejected. The messages repeat nothing that the client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The request has no runtraced key, and it needs one.
    #[error("a key is needed: send the header authorization: Bearer rt_…")]
    Missing,
    /// The token has the prefix of a key but not its form.
    #[error("the key is not valid")]
    Malformed,
    /// The key does not exist or is revoked. Clients cannot tell this from [`Self::Malformed`].
    #[error("the key is not valid")]
    Unknown,
    /// The daemon has not loaded the keys yet.
    #[error("keys cannot be checked yet: the daemon has not reached the database")]
    NotLoaded,
    /// The header `runtraced-customer` holds no valid id.
    #[error("runtraced-customer is not the UUID of a customer")]
    Customer,
    /// The key belongs to another customer than the one in `runtraced-customer`.
    #[error("the key belongs to another customer than runtraced-customer names")]
    OtherCustomer,
    /// The key may read and not write.
    #[error("the key may only read; send events with a key made without --read or --decide")]
    ReadKey,
    /// The request has no key, and comes from a site that a browser on this machine shows.
    #[error("a site makes a browser send the request; present a key")]
    OtherSite,
    /// The request needs no key and has none, and too many of its kind are open.
    #[error("too many requests without a key are open; present a key, or try again later")]
    Crowded,
}

impl Denied {
    /// The gRPC status code.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::Missing | Self::Malformed | Self::Unknown => Code::Unauthenticated,
            Self::NotLoaded => Code::Unavailable,
            Self::Customer => Code::InvalidArgument,
            Self::OtherCustomer | Self::ReadKey | Self::OtherSite => Code::PermissionDenied,
            Self::Crowded => Code::ResourceExhausted,
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn http_status(self) -> StatusCode {
        match self {
            Self::Missing | Self::Malformed | Self::Unknown => StatusCode::UNAUTHORIZED,
            Self::NotLoaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Customer => StatusCode::BAD_REQUEST,
            Self::OtherCustomer | Self::ReadKey | Self::OtherSite => StatusCode::FORBIDDEN,
            Self::Crowded => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// How long a client must wait before it tries again. `None`: the same request
    /// fails again.
    #[must_use]
    pub fn retry_delay(self) -> Option<Duration> {
        matches!(self, Self::NotLoaded | Self::Crowded).then_some(RETRY_DELAY)
    }

    pub(super) fn count(self, counts: &AuthCounts) {
        let counter: &AtomicU64 = match self {
            Self::Missing => &counts.missing,
            Self::Malformed => &counts.malformed,
            Self::Unknown => &counts.unknown,
            Self::NotLoaded => &counts.not_loaded,
            Self::Customer | Self::OtherCustomer => &counts.customer,
            // Says nothing about a key, or the key is good for something else.
            Self::Crowded | Self::ReadKey | Self::OtherSite => return,
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
