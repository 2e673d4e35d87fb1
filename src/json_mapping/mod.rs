//! Events as JSON and back: the proto3 JSON mapping with extensions.
//!
//! `runtraced send` and the HTTP endpoint read this form, and dead letters are stored in it.
//! The descriptors of the protocol drive the mapping, so a field added to `event.proto` works
//! here at once.
//!
//! Extensions of proto3 JSON:
//! - Ids (`bytes` fields) are UUID text. Base64 is accepted too.
//! - `…_json` fields may hold plain JSON values instead of JSON text in a string. They
//!   are kept verbatim, with their numbers and key order. A string in such a field is JSON
//!   text. In lines that people write it is itself, unless it holds the text of an object, an
//!   array, a string or null.
//! - Lone surrogates in text become U+FFFD.
//!
//! Stricter than proto3 JSON: unknown and repeated fields are refused.
//!
//! Validation does not belong here: the daemon validates events.

mod descriptor;
mod error;
mod id;
mod read;
mod reading;
mod scalar;
#[cfg(test)]
mod tests;
mod write;

pub use error::EventJsonError;
pub use read::{WrittenEvent, event_from_json, event_from_line};
pub use write::event_to_json;
