//! OTLP, the protocol of OpenTelemetry, over gRPC and HTTP.
//!
//! [`map`] turns spans of every dialect into events. It is pure: no IO, no clock.
//! The code around it decodes, limits, admits and answers requests and knows no
//! dialect.

mod answer;
mod counts;
mod decode;
mod explain;
mod export;
mod grpc;
mod http;
pub mod map;
mod mapped;
mod signal;
pub mod wire;

pub use answer::{Accepted, ExportError};
pub use counts::{OtlpCounts, Tally};
pub use decode::{DecodeError, Decoded, Encoding, decode};
pub use explain::{ExplainError, explain_body};
pub use export::{OtlpConfig, OtlpIngest};
pub use grpc::{grpc_routes, grpc_timeout, is_grpc};
pub use http::{answer_denied, answer_http};
pub use mapped::{MapOptions, Mapped, RefusalReason, SpanOutcome, SpanRefusal};
pub use signal::Signal;
