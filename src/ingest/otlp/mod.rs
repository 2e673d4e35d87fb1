//! OpenTelemetry's protocol, over gRPC and HTTP.
//!
//! [`map`] turns spans of any dialect into events and is pure; the doors around
//! it decode, bound, admit and answer, and know nothing of any dialect.

pub mod map;
mod mapped;

pub use mapped::{Fate, MapOptions, Mapped, RefusalReason, SpanRefusal};
