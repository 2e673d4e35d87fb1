//! Writes an event as JSON text.

use std::fmt::Display;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};
use serde::ser::{Error, Serialize, SerializeMap, Serializer};

use super::descriptor::{event_descriptor, is_time};
use super::error::EventJsonError;
use super::id::id_to_text;
use crate::proto::Event;

/// Writes an event as one line of JSON: proto3 JSON with ids as UUID text. JSON fields stay
/// strings, so that invalid ones survive too.
///
/// [`event_from_json`](super::event_from_json) reads it back, but refuses ids that are no
/// UUIDs.
///
/// # Errors
/// Never in practice: only if the descriptors of the protocol did not match the generated
/// code.
pub fn event_to_json(event: &Event) -> Result<String, EventJsonError> {
    let mut message = DynamicMessage::new(event_descriptor()?);
    message
        .transcode_from(event)
        .map_err(|error| EventJsonError::without_position(error.to_string()))?;
    Ok(serde_json::to_string(&MessageJson(&message))?)
}

struct MessageJson<'a>(&'a DynamicMessage);

impl Serialize for MessageJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (field, value) in self.0.fields() {
            map.serialize_entry(field.json_name(), &FieldJson(&field, value))?;
        }
        map.end()
    }
}

struct FieldJson<'a>(&'a FieldDescriptor, &'a Value);

impl Serialize for FieldJson<'_> {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        match self.1 {
            Value::Bool(value) => json.serialize_bool(*value),
            Value::I32(value) => json.serialize_i32(*value),
            // Quoted, because some readers have only 53-bit integers.
            Value::I64(value) => json.collect_str(value),
            Value::F64(value) if value.is_finite() => json.serialize_f64(*value),
            Value::F64(value) if value.is_nan() => json.serialize_str("NaN"),
            Value::F64(value) if *value > 0.0 => json.serialize_str("Infinity"),
            Value::F64(_) => json.serialize_str("-Infinity"),
            Value::String(text) => json.serialize_str(text),
            Value::Bytes(id) => json.serialize_str(&id_to_text(id)),
            Value::EnumNumber(number) => serialize_enum(json, self.0, *number),
            Value::Message(message) => serialize_message(json, message),
            other => Err(S::Error::custom(format_args!(
                "`{}`: {other:?} has no JSON form here",
                self.0.name()
            ))),
        }
    }
}

fn serialize_enum<S: Serializer>(
    json: S,
    field: &FieldDescriptor,
    number: i32,
) -> Result<S::Ok, S::Error> {
    match field.kind() {
        Kind::Enum(kind) => match kind.get_value(number) {
            Some(value) => json.serialize_str(value.name()),
            None => json.serialize_i32(number),
        },
        _ => json.serialize_i32(number),
    }
}

fn serialize_message<S: Serializer>(json: S, message: &DynamicMessage) -> Result<S::Ok, S::Error> {
    match time_text(message) {
        Some(text) => json.serialize_str(&text),
        None => MessageJson(message).serialize(json),
    }
}

/// The text of a time or duration. `None` if the text would lose something, such as
/// nanoseconds beyond a second; then the message is written as an object.
fn time_text(message: &DynamicMessage) -> Option<String> {
    if !is_time(&message.descriptor()) {
        return None;
    }
    if message.descriptor().name() == "Timestamp" {
        lossless_text(message.transcode_to::<prost_types::Timestamp>().ok()?)
    } else {
        lossless_text(message.transcode_to::<prost_types::Duration>().ok()?)
    }
}

/// The text of a value, if it parses back to the same value.
fn lossless_text<T: Display + std::str::FromStr + PartialEq>(value: T) -> Option<String> {
    let text = value.to_string();
    (text.parse().ok().as_ref() == Some(&value)).then_some(text)
}
