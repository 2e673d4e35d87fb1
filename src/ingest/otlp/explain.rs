//! Explains a captured request: for people who teach the daemon a dialect.

use bytes::Bytes;

use super::map::{Explanation, explain};
use super::wire::{MalformedProtobuf, OtlpJsonError, Schema, SchemaError, json_to_protobuf};
use super::{MapOptions, Signal};
use crate::ingest::body::{BodyError, Compression, decompress};

/// The largest decompressed body.
const MAX_BODY_BYTES: usize = 256 << 20;

/// Why a body cannot be explained.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ExplainError {
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error("cannot decompress the body: {0}")]
    Body(#[from] BodyError),
    #[error("the body is not valid OTLP JSON: {0}")]
    Json(#[from] OtlpJsonError),
    #[error("the body is neither spans nor log records of OTLP")]
    Protobuf(#[from] MalformedProtobuf),
}

/// Explains the body of a request with spans or log records: protobuf or JSON,
/// as it is or compressed with gzip or zstd.
///
/// # Errors
/// If the body is none of these.
pub fn explain_body(body: &[u8], options: &MapOptions) -> Result<Explanation, ExplainError> {
    let compression = match body {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        _ => Compression::Identity,
    };
    let body = decompress(compression, Bytes::copy_from_slice(body), MAX_BODY_BYTES)?;
    let is_json = body.trim_ascii_start().starts_with(b"{");
    if !is_json {
        let traces = explain(&body, Signal::Traces, options);
        return Ok(traces.or_else(|_| explain(&body, Signal::Logs, options))?);
    }
    let schema = Schema::new()?;
    let has = |field: &[u8]| body.windows(field.len()).any(|window| window == field);
    let signal = if has(b"\"resourceLogs\"") || has(b"\"resource_logs\"") {
        Signal::Logs
    } else {
        Signal::Traces
    };
    let request = signal.request_message(&schema);
    let protobuf = json_to_protobuf(&schema, request, &body)?.wire;
    Ok(explain(&protobuf, signal, options)?)
}
