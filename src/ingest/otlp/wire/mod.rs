//! OTLP on the wire: how much a request holds, what of it can be repaired, and JSON
//! as protobuf, all driven by the descriptors of OpenTelemetry's own protocol; and
//! the messages that are mapped, read where they stand. Nothing here knows a dialect.

mod fields;
mod json;
mod message;
mod reader;
mod repair;
mod scan;
mod schema;
#[cfg(test)]
mod tests;

pub use fields::{Malformed, Message};
pub use json::json_to_wire;
pub use message::{
    Event, Export, InstrumentationScope, KeyValue, Link, LogRecord, Resource, Span, Status, Value,
};
pub use reader::JsonError;
pub use repair::repair;
pub use scan::{Extent, ScanError, scan};
pub use schema::{MessageId, Schema, SchemaError};

/// Values nested deeper are replaced by [`TOO_DEEP`], counted in messages from
/// the request down, of which a value in a list takes two. Other decoders give up
/// at 100; ours recurses, and has no limit but this one.
pub const MAX_DEPTH: usize = 96;

/// Stands where a value was nested too deep.
pub const TOO_DEEP: &str = "[nested too deep]";

/// What was replaced so that the rest can be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireRepairs {
    /// Texts with bytes that are not UTF-8, which became U+FFFD.
    pub invalid_utf8: u64,
    /// Lone surrogates in JSON escapes, which became U+FFFD.
    pub surrogates: u64,
    /// Values that were nested too deep.
    pub too_deep: u64,
}

impl WireRepairs {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            invalid_utf8: self.invalid_utf8 + other.invalid_utf8,
            surrogates: self.surrogates + other.surrogates,
            too_deep: self.too_deep + other.too_deep,
        }
    }
}
