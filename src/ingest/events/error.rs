//! Why a request with events is not taken, and how the answer says it.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::auth::Denied;
use crate::ingest::body::{BodyError, Compression};
use crate::ingest::intake::DecodePanicked;
use crate::ingest::settle::Unsettled;

/// Where an array of events is not JSON, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayFault {
    /// The line, from 1.
    pub line: usize,
    /// The column, in bytes from 1.
    pub column: usize,
    /// The reason, for people.
    pub reason: String,
}

impl From<serde_json::Error> for ArrayFault {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let position = format!(" at line {line} column {column}");
        Self {
            line,
            column,
            reason: text.strip_suffix(&position).unwrap_or(&text).to_owned(),
        }
    }
}

/// Why a request is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventsError {
    /// The method is not POST.
    #[error("method not allowed; send events with POST")]
    Method,
    /// A browser sends the request for another site.
    #[error("the request comes from another site")]
    OtherSite,
    /// The content type names another format.
    #[error("the content type is not understood; send JSON, one event a line or an array")]
    ContentType,
    /// The parameter `durability` has another value.
    #[error("durability is neither spooled nor committed")]
    Durability,
    /// The batch is not settled. The client may send it again.
    #[error(transparent)]
    Unsettled(#[from] Unsettled),
    /// The client is not authorized.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The body could not be received or decompressed.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The body begins as an array and is not JSON.
    #[error("the body is not a JSON array of events: {}", .0.reason)]
    Array(ArrayFault),
    /// The body holds too many events.
    #[error("the body holds more than {limit} events; send several requests")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// A bug of the daemon.
    #[error("the daemon failed to process the request")]
    Internal,
}

impl From<DecodePanicked> for EventsError {
    fn from(DecodePanicked: DecodePanicked) -> Self {
        Self::Internal
    }
}

impl EventsError {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::OtherSite => StatusCode::FORBIDDEN,
            Self::ContentType | Self::Body(BodyError::UnknownEncoding) => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Self::TooMany { .. } | Self::Body(BodyError::TooLarge { .. }) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::Body(BodyError::Slow) => StatusCode::REQUEST_TIMEOUT,
            Self::Body(BodyError::Broken | BodyError::Corrupt | BodyError::Frame)
            | Self::Array(_)
            | Self::Durability => StatusCode::BAD_REQUEST,
            Self::Unsettled(unsettled) => unsettled.http_status(),
            Self::Denied(denied) => denied.http_status(),
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The word for programs. It follows from the status.
    pub(super) fn code(&self) -> &'static str {
        match self.status() {
            StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
            StatusCode::UNAUTHORIZED => "key_needed",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported",
            StatusCode::PAYLOAD_TOO_LARGE => "too_large",
            StatusCode::REQUEST_TIMEOUT => "slow",
            StatusCode::TOO_MANY_REQUESTS => "busy",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable",
            StatusCode::INTERNAL_SERVER_ERROR => "internal",
            _ => "bad_request",
        }
    }

    fn retry_delay(&self) -> Option<Duration> {
        match self {
            Self::Unsettled(unsettled) => Some(unsettled.retry_delay()),
            Self::Denied(denied) => denied.retry_delay(),
            _ => None,
        }
    }

    /// The answer for the client.
    pub(super) fn response(&self) -> Response<Body> {
        let mut body = json!({ "error": self.to_string(), "code": self.code() });
        if let Self::Array(fault) = self {
            body["line"] = fault.line.into();
            body["column"] = fault.column.into();
        }
        let mut response = json_response(self.status(), body.to_string());
        let headers = response.headers_mut();
        if let Some(delay) = self.retry_delay() {
            // Round up: an early retry would fail again.
            let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if *self == Self::Body(BodyError::UnknownEncoding) {
            let accepted = HeaderValue::from_static(Compression::ACCEPTED);
            headers.insert(header::ACCEPT_ENCODING, accepted);
        }
        if *self == Self::Method {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

/// An answer in JSON, with a line end for people who read it in a terminal.
pub(super) fn json_response(status: StatusCode, mut body: String) -> Response<Body> {
    body.push('\n');
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
