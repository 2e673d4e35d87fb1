//! Answers of OTLP: maps the outcome of a request to gRPC and HTTP.

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
use crate::ingest::intake::DecodePanicked;
use crate::ingest::settle::Unsettled;

/// An answer names at most this many kinds of refusals, to stay short.
const MAX_REFUSAL_KINDS: usize = 8;

/// The answer to a settled request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The number of refused spans, log records or data points.
    pub rejected: u64,
    /// The reasons for refusals and the repairs; empty if there are none.
    pub message: String,
}

/// Why a request was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The request is not settled. The client may send it again.
    #[error(transparent)]
    Unsettled(#[from] Unsettled),
    /// The client is not authorized.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The body could not be received or decompressed.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The request can never be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A bug of the daemon.
    #[error("the daemon failed to process the request")]
    Internal,
}

impl From<DecodePanicked> for ExportError {
    fn from(DecodePanicked: DecodePanicked) -> Self {
        Self::Internal
    }
}

impl ExportError {
    /// The gRPC code. A request that is too large gets `RESOURCE_EXHAUSTED`
    /// without `RetryInfo`, because exporters retry the usual `OUT_OF_RANGE`.
    #[must_use]
    pub fn code(&self) -> Code {
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

    /// The HTTP status.
    #[must_use]
    pub fn http_status(&self) -> StatusCode {
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

    /// The field of the request that is wrong.
    fn field(&self) -> &str {
        match self {
            Self::Decode(DecodeError::Json(error)) if !error.field.is_empty() => &error.field,
            _ => "body",
        }
    }

    /// The delay before a retry. `None` if a retry is of no use.
    #[must_use]
    pub fn retry_delay(&self) -> Option<Duration> {
        match self {
            Self::Unsettled(unsettled) => Some(unsettled.retry_delay()),
            Self::Denied(denied) => denied.retry_delay(),
            _ => None,
        }
    }

    /// The gRPC status with the details that OTLP specifies.
    #[must_use]
    pub fn status(&self) -> Status {
        let message = self.to_string();
        match self {
            Self::Unsettled(unsettled) => (*unsettled).into(),
            Self::Denied(denied) => (*denied).into(),
            _ if self.code() == Code::InvalidArgument => Status::with_error_details(
                Code::InvalidArgument,
                message.clone(),
                ErrorDetails::with_bad_request_violation(self.field(), message),
            ),
            _ => Status::new(self.code(), message),
        }
    }
}

impl Accepted {
    /// Combines the refusals of the mapping with those of the pipeline.
    #[must_use]
    pub fn new(signal: Signal, decoded: &Decoded, refused_events: &[(u32, Refusal)]) -> Self {
        let mapped = &decoded.mapped;
        let by_mapping = mapped
            .refused
            .iter()
            .map(|(at, refusal)| (*at, refusal.code.as_str(), &*refusal.reason));
        let by_pipeline = refused_events
            .iter()
            .map(|(at, refusal)| (*at, refusal.code.as_str(), &*refusal.reason));
        // Several refused events of one span count as one refused span.
        let mut spans: BTreeMap<u32, (&str, &str)> = BTreeMap::new();
        for (at, code, reason) in by_mapping.chain(by_pipeline) {
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
                .take(MAX_REFUSAL_KINDS)
                .map(|(code, (count, at, reason))| {
                    format!("{count} {code}: {reason} (first at position {at})")
                }),
        );
        let repairs = decoded.repairs;
        let surrogates = repairs.surrogates + mapped.repairs.surrogates;
        for (count, what) in [
            (
                repairs.invalid_utf8,
                "texts that are not UTF-8 were repaired",
            ),
            (surrogates, "lone surrogates were replaced by U+FFFD"),
            (
                mapped.repairs.nuls,
                "NUL characters were replaced by U+FFFD",
            ),
            (repairs.too_deep, "values nested too deep were replaced"),
            (mapped.truncated, "texts too long were truncated"),
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

    /// Encodes the response message. It has the same layout for every signal.
    #[must_use]
    pub fn encode(&self, signal: Signal, encoding: Encoding) -> Vec<u8> {
        match encoding {
            Encoding::Protobuf => ExportResponse {
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
struct ExportResponse {
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

/// Encodes the body of an HTTP error: a `google.rpc.Status`.
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
