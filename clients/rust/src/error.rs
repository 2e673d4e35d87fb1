//! What can go wrong between client and daemon.

use std::{error::Error as StdError, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Why events could not be delivered.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The endpoint's address is malformed.
    #[error("{}", malformed_endpoint(.0))]
    Endpoint(String),
    /// The certificates or the private key for TLS cannot be used.
    #[error("the certificate or the private key for TLS cannot be used")]
    Tls(#[source] tonic::transport::Error),
    /// No header can hold the key.
    #[error("the key holds characters that no key has")]
    Key,
    /// No daemon answered at the address before the retry policy gave up.
    #[error("no daemon answers at {endpoint}")]
    Unreachable {
        /// The address.
        endpoint: String,
        /// The error of the last attempt.
        source: tonic::transport::Error,
    },
    /// The two sides cannot agree on TLS. The client does not retry this.
    #[error("the TLS handshake with {endpoint} failed")]
    Handshake {
        /// The address.
        endpoint: String,
        /// What either side objected to.
        source: rustls::Error,
    },
    /// The daemon refused the call, or the connection broke and the retry policy gave up.
    #[error("{}", refusal(.0))]
    Refused(Box<Status>),
    /// The connection stands, but the daemon sent no ack for this long.
    #[error("the daemon sent no ack for {0:?}")]
    Stalled(Duration),
    /// Not everything was acknowledged in time.
    #[error("not everything was acknowledged within {0:?}")]
    Late(Duration),
    /// An ack of the daemon contradicts the protocol.
    #[error("the daemon violated the protocol: {0}")]
    Protocol(String),
    /// The sender ended earlier; `finish` says why.
    #[error("the stream has ended")]
    Ended,
}

impl ClientError {
    /// Why the connection broke, if that is what happened to a call.
    #[must_use]
    pub fn broken_connection(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Refused(status) if is_local(status) => Some(innermost(&**status)),
            _ => None,
        }
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

fn malformed_endpoint(endpoint: &str) -> String {
    let example = if endpoint.is_empty() || endpoint.contains("://") {
        "write an address like http://127.0.0.1:4317".to_owned()
    } else {
        format!("write http://{endpoint}, or https://{endpoint} for a daemon with TLS")
    };
    format!("`{endpoint}` is not the address of a daemon: {example}")
}

fn refusal(status: &Status) -> String {
    if is_local(status) {
        format!("the connection to the daemon broke: {}", innermost(status))
    } else {
        let (code, message) = (status.code(), status.message());
        format!("the daemon refused the call: {message} ({code:?})")
    }
}

/// The bottom of a chain of errors: the layers above it say less.
fn innermost<'a>(mut error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

/// A status with a source was made on this side; the daemon's have none.
fn is_local(status: &Status) -> bool {
    status.source().is_some()
}

/// The status of a call that found no connection: nothing was sent.
pub(super) fn not_connected(error: tonic::transport::Error) -> Status {
    let mut status = Status::unavailable(innermost(&error).to_string());
    status.set_source(std::sync::Arc::new(error));
    status
}

/// The TLS fault that a failed connection is due to.
pub(super) fn tls_fault(error: &(dyn StdError + 'static)) -> Option<rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(fault) = error.downcast_ref::<rustls::Error>() {
            return Some(fault.clone());
        }
        // An I/O error does not name what it wraps as its source.
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// What to do about a failed call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RetryDecision {
    /// Send again, after at least this delay if the daemon named one.
    Retry(Option<Duration>),
    /// Retrying would not help.
    GiveUp,
}

/// Classifies a status as `trace_ingest.proto` defines it.
pub(super) fn decide_retry(status: &Status) -> RetryDecision {
    let delay = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    match status.code() {
        Code::Unavailable => RetryDecision::Retry(delay),
        // Without a delay it means that the message will never fit.
        Code::ResourceExhausted if delay.is_some() => RetryDecision::Retry(delay),
        _ if is_local(status) => RetryDecision::Retry(None),
        _ => RetryDecision::GiveUp,
    }
}
