//! What a client is told, as OTLP asks for: the one table from what became of a
//! request to gRPC and HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::StatusCode;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::decode::{DecodeError, Encoding};
use super::wire::ScanError;
use super::{Decoded, Signal};
use crate::auth::Denied;
use crate::event::Refusal;
use crate::ingest::body::BodyError;
use crate::ingest::settle::Unsettled;

/// So many kinds of refusals are told apart in an answer.
const KINDS_TOLD: usize = 8;

/// A request that is settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Spans, log records or data points that were refused.
    pub rejected: u64,
    /// Why, or what was repaired; empty where all is well.
    pub message: String,
}

/// Why a request was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// It may come again.
    #[error(transparent)]
    Unsettled(#[from] Unsettled),
    /// It is not let in.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Its body could not be taken in.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// It can never be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A fault of the daemon.
    #[error("the request could not be worked on")]
    Internal,
}

impl ExportError {
    /// For gRPC. `OUT_OF_RANGE`, the usual code for what is too large, is one
    /// that exporters retry; `RESOURCE_EXHAUSTED` without `RetryInfo` is not.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::Unsettled(unsettled) => unsettled.code(),
            Self::Denied(denied) => denied.code(),
            Self::Body(BodyError::TooLarge { .. })
            | Self::Decode(DecodeError::Scan(ScanError::TooLarge { .. })) => {
                Code::ResourceExhausted
            }
            Self::Body(BodyError::UnknownEncoding) => Code::Unimplemented,
            Self::Body(BodyError::Slow) => Code::DeadlineExceeded,
            Self::Body(BodyError::Broken | BodyError::Corrupt | BodyError::Frame)
            | Self::Decode(_) => Code::InvalidArgument,
            Self::Internal => Code::Internal,
        }
    }

    /// For HTTP.
    #[must_use]
    pub fn http_status(self) -> StatusCode {
        match self {
            Self::Unsettled(unsettled) => unsettled.http_status(),
            Self::Denied(denied) => denied.http_status(),
            Self::Body(BodyError::TooLarge { .. })
            | Self::Decode(DecodeError::Scan(ScanError::TooLarge { .. })) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::Body(BodyError::UnknownEncoding) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(BodyError::Slow) => StatusCode::REQUEST_TIMEOUT,
            Self::Body(BodyError::Broken | BodyError::Corrupt | BodyError::Frame)
            | Self::Decode(_) => StatusCode::BAD_REQUEST,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// How long to wait before it is sent again, where that is of use.
    #[must_use]
    pub fn retry_delay(self) -> Option<Duration> {
        match self {
            Self::Unsettled(unsettled) => Some(unsettled.retry_delay()),
            Self::Denied(denied) => denied.retry_delay(),
            _ => None,
        }
    }

    /// The status, with the details that OTLP names.
    #[must_use]
    pub fn status(self) -> Status {
        let message = self.to_string();
        match self {
            Self::Unsettled(unsettled) => unsettled.into(),
            Self::Denied(denied) => denied.into(),
            _ if self.code() == Code::InvalidArgument => Status::with_error_details(
                Code::InvalidArgument,
                message.clone(),
                ErrorDetails::with_bad_request_violation("body", message),
            ),
            _ => Status::new(self.code(), message),
        }
    }
}

impl Accepted {
    /// Puts together what was refused before and behind the pipeline.
    #[must_use]
    pub fn new(signal: Signal, decoded: &Decoded, refused_events: &[(u32, Refusal)]) -> Self {
        let mapped = &decoded.mapped;
        let before = mapped
            .refused
            .iter()
            .map(|(at, refusal)| (*at, refusal.code.as_str(), &*refusal.reason));
        let behind = refused_events
            .iter()
            .map(|(at, refusal)| (*at, refusal.code.as_str(), &*refusal.reason));
        // A span of which several events are refused is one span.
        let mut spans: BTreeMap<u32, (&str, &str)> = BTreeMap::new();
        for (at, code, reason) in before.chain(behind) {
            spans.entry(at).or_insert((code, reason));
        }
        let rejected = spans.len() as u64;
        let mut parts = Vec::new();
        if rejected > 0 {
            let record = signal.record();
            parts.push(format!(
                "{rejected} of {} {record}s refused",
                decoded.records
            ));
        }
        let mut kinds: BTreeMap<&str, (u64, u32, &str)> = BTreeMap::new();
        for (at, (code, reason)) in spans {
            kinds.entry(code).or_insert((0, at, reason)).0 += 1;
        }
        parts.extend(
            kinds
                .iter()
                .take(KINDS_TOLD)
                .map(|(code, (count, at, reason))| {
                    format!("{count} {code}: {reason} (the first at {at})")
                }),
        );
        let repairs = decoded.repairs;
        for (count, what) in [
            (
                repairs.invalid_utf8,
                "texts that are not UTF-8 were repaired",
            ),
            (repairs.too_deep, "values nested too deep were left out"),
            (mapped.truncated, "texts too long were cut"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        Self {
            rejected,
            message: parts.join("; "),
        }
    }

    /// The response message: the three signals' have the same form.
    #[must_use]
    pub fn encode(&self, signal: Signal, encoding: Encoding) -> Vec<u8> {
        match encoding {
            Encoding::Protobuf => Response {
                partial_success: (!self.message.is_empty()).then(|| PartialSuccess {
                    rejected: i64::try_from(self.rejected).unwrap_or(i64::MAX),
                    error_message: self.message.clone(),
                }),
            }
            .encode_to_vec(),
            Encoding::Json => {
                let mut response = serde_json::Map::new();
                if !self.message.is_empty() {
                    let partial = serde_json::json!({
                        signal.rejected_field(): self.rejected.to_string(),
                        "errorMessage": self.message,
                    });
                    response.insert("partialSuccess".into(), partial);
                }
                serde_json::Value::Object(response).to_string().into_bytes()
            }
        }
    }
}

/// `Export…ServiceResponse` of any signal.
#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// `Export…PartialSuccess` of any signal.
#[derive(Clone, PartialEq, prost::Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// The body of an HTTP answer that is an error: `google.rpc.Status`.
#[must_use]
pub fn encode_status(status: &Status, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf if !status.details().is_empty() => status.details().to_vec(),
        Encoding::Protobuf => tonic_types::Status {
            code: status.code().into(),
            message: status.message().to_owned(),
            details: Vec::new(),
        }
        .encode_to_vec(),
        Encoding::Json => {
            let mut details = Vec::new();
            let retry = status.get_details_retry_info();
            if let Some(delay) = retry.and_then(|info| info.retry_delay) {
                details.push(serde_json::json!({
                    "@type": "type.googleapis.com/google.rpc.RetryInfo",
                    "retryDelay": format!("{}s", delay.as_secs_f64()),
                }));
            }
            if let Some(bad) = status.get_details_bad_request() {
                let violations = bad.field_violations.iter().map(|violation| {
                    serde_json::json!({
                        "field": violation.field,
                        "description": violation.description,
                    })
                });
                details.push(serde_json::json!({
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": violations.collect::<Vec<_>>(),
                }));
            }
            serde_json::json!({
                "code": i32::from(status.code()),
                "message": status.message(),
                "details": details,
            })
            .to_string()
            .into_bytes()
        }
    }
}
