//! OTLP requests on the wire: measure, repair, convert JSON to protobuf, and
//! read messages in place.
//!
//! The descriptors of OpenTelemetry's own protocol drive everything. This
//! module knows no dialect.

mod fields;
mod json;
mod json_error;
mod json_reader;
mod message;
mod repair;
mod scan;
mod schema;
#[cfg(test)]
mod tests;

pub use fields::{MalformedProtobuf, WireMessage};
pub use json::{ConvertedJson, json_to_protobuf};
pub use json_error::OtlpJsonError;
pub use message::{
    AnyValue, ExportRequest, InstrumentationScope, KeyValue, LogRecord, Resource, ScopeRecords,
    Span, SpanEvent, SpanLink, SpanStatus,
};
pub use repair::{TOO_DEEP, WireRepairs, repair};
pub use scan::{MAX_DEPTH, ScanError, WireCounts, scan};
pub use schema::{MessageId, Schema, SchemaError};
