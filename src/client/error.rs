//! What can go wrong between client and daemon.

use std::{error::Error as _, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Why events could not be delivered.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none.
    #[error("`{0}` is not an address like http://127.0.0.1:4317")]
    Endpoint(String),
    /// The certificates or the key for TLS cannot be used.
    #[error("these certificates or this key cannot be used for TLS")]
    Tls(#[source] tonic::transport::Error),
    /// No header can hold the key.
    #[error("the key has characters that no key has")]
    Key,
    /// Nobody answered at the address for as long as the retry policy allows.
    #[error("no daemon answers at {endpoint}")]
    Unreachable {
        /// The address.
        endpoint: String,
        /// The last attempt's error.
        source: tonic::transport::Error,
    },
    /// The daemon refused the call, or an error lasted longer than the retry
    /// policy allows.
    #[error("the daemon answered {:?}: {}", .0.code(), .0.message())]
    Refused(#[source] Box<Status>),
    /// The connection stands, but no ack came for so long.
    #[error("no ack came for {0:?}")]
    Stalled(Duration),
    /// Not everything was acknowledged in time.
    #[error("not everything was acknowledged within {0:?}")]
    Late(Duration),
    /// The daemon's acks contradict the protocol.
    #[error("the daemon broke the protocol: {0}")]
    Protocol(String),
    /// The sender ended earlier; `finish` says why.
    #[error("the stream has ended")]
    Ended,
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

/// What to do about a failed call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send again, after at least this delay if the daemon named one.
    Retry(Option<Duration>),
    /// It will not get better.
    GiveUp,
}

/// Reads a status the way `trace_ingest.proto` promises it.
pub(super) fn judge(status: &Status) -> Verdict {
    let delay = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    match status.code() {
        Code::Unavailable => Verdict::Retry(delay),
        // Without a delay it means "this will never fit".
        Code::ResourceExhausted if delay.is_some() => Verdict::Retry(delay),
        // A status with a source was made on this side: the connection broke.
        _ if status.source().is_some() => Verdict::Retry(None),
        _ => Verdict::GiveUp,
    }
}
