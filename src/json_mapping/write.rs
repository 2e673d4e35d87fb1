//! An event to JSON text.

use std::fmt::Display;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};
use serde::ser::{Error, Serialize, SerializeMap, Serializer};

use super::{JsonError, event_descriptor, id::id_to_text, read::is_time};
use crate::proto::Event;

/// Writes an event as one line of JSON: proto3 JSON, but ids are UUID text.
/// JSON fields stay strings, so that faulty ones survive too.
///
/// [`event_from_json`](super::event_from_json) reads it back; of ids that are
/// no UUIDs it says so.
///
/// # Errors
/// None in practice: only where the protocol's descriptors lack what the
/// generated code has.
pub fn event_to_json(event: &Event) -> Result<String, JsonError> {
    let mut message = DynamicMessage::new(event_descriptor()?);
    message
        .transcode_from(event)
        .map_err(|error| JsonError::whole(error.to_string()))?;
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
            // Quoted, as readers with 53-bit numbers need it.
            Value::I64(value) => json.collect_str(value),
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

/// A time as text, where that says all there is: not for nanoseconds beyond a
/// second, which are written as the object they are.
fn time_text(message: &DynamicMessage) -> Option<String> {
    if !is_time(&message.descriptor()) {
        return None;
    }
    if message.descriptor().name() == "Timestamp" {
        faithful(message.transcode_to::<prost_types::Timestamp>().ok()?)
    } else {
        faithful(message.transcode_to::<prost_types::Duration>().ok()?)
    }
}

/// The text of a value, if it parses to the same value.
fn faithful<T: Display + std::str::FromStr + PartialEq>(value: T) -> Option<String> {
    let text = value.to_string();
    (text.parse().ok().as_ref() == Some(&value)).then_some(text)
}
