//! Events as JSON and back: the proto3 JSON mapping with two extensions.
//!
//! `runtraced send` reads it, dead letters are kept in it. The protocol's own
//! descriptors drive it, so a field added to `event.proto` is known here.
//!
//! Beyond proto3 JSON:
//! - ids (`bytes` fields) are UUID text; base64 is accepted too;
//! - `…_json` fields may hold plain JSON values instead of JSON text in a
//!   string. They are kept verbatim: numbers and key order survive. A string
//!   there is always taken as JSON text, so the JSON string `hi` is `"\"hi\""`;
//! - lone surrogates in text become U+FFFD.
//!
//! Stricter than proto3 JSON asks: unknown and repeated fields are refused.
//!
//! No validation belongs here: what an event means is the daemon's to judge.

mod id;
mod read;
mod scalar;
#[cfg(test)]
mod tests;
mod write;

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, MessageDescriptor};

pub use read::event_from_json;
pub use write::event_to_json;

/// The full name of the one message that is mapped.
const EVENT: &str = "runtraced.v1.Event";

/// Why a text is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {reason}")]
pub struct JsonError {
    /// The line within the text, from 1; 0 where the text as a whole is meant.
    pub line: usize,
    /// The column within the line in bytes, from 1; 0 like `line`.
    pub column: usize,
    /// What is wrong there, for people.
    pub reason: String,
}

impl JsonError {
    /// An error that no position in the text stands for.
    fn whole(reason: impl Into<String>) -> Self {
        Self {
            line: 0,
            column: 0,
            reason: reason.into(),
        }
    }
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let place = format!(" at line {line} column {column}");
        let reason = text.strip_suffix(&place).unwrap_or(&text).to_owned();
        Self {
            line,
            column,
            reason,
        }
    }
}

/// The descriptor of `Event`, decoded once.
fn event_descriptor() -> Result<MessageDescriptor, JsonError> {
    static DESCRIPTOR: LazyLock<Option<MessageDescriptor>> = LazyLock::new(|| {
        DescriptorPool::decode(crate::proto::DESCRIPTORS)
            .ok()?
            .get_message_by_name(EVENT)
    });
    DESCRIPTOR
        .clone()
        .ok_or_else(|| JsonError::whole(format!("{EVENT} is not among the descriptors")))
}
