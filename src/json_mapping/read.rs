//! Reads an event from JSON text. The reader follows the message descriptors, so its
//! recursion is as deep as the protocol. It skips values of `…_json` fields without
//! recursion.

use std::cell::Cell;
use std::fmt;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::{
    descriptor::{TIMESTAMP, event_descriptor, is_time},
    error::EventJsonError,
    reading::{JsonStrings, Reading},
    scalar::{BoolVisitor, EnumVisitor, IdVisitor, IntegerVisitor, TextVisitor, double, json_text},
};
use crate::proto::Event;

/// An event that somebody wrote, and what was repaired in it.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenEvent {
    /// The event.
    pub event: Event,
    /// Lone surrogates that became U+FFFD.
    pub surrogates: u64,
}

/// Reads one event as [`event_to_json`](super::event_to_json) writes it: a string in a
/// `…_json` field is JSON text.
///
/// # Errors
/// When the text is no JSON object, or does not match `Event`.
pub fn event_from_json(text: &str) -> Result<Event, EventJsonError> {
    read(text, JsonStrings::Text).map(|written| written.event)
}

/// Reads one event as people and programs write it: a string in a `…_json` field is that
/// string, unless it holds an object, an array, a string or null as JSON text.
///
/// # Errors
/// As [`event_from_json`].
pub fn event_from_line(text: &str) -> Result<WrittenEvent, EventJsonError> {
    read(text, JsonStrings::Plain)
}

fn read(text: &str, strings: JsonStrings) -> Result<WrittenEvent, EventJsonError> {
    let surrogates = Cell::new(0);
    let reading = Reading {
        strings,
        surrogates: &surrogates,
    };
    let mut json = serde_json::Deserializer::from_str(text);
    let message = json.deserialize_map(MessageVisitor(event_descriptor()?, reading))?;
    json.end()?;
    let event = message
        .transcode_to()
        .map_err(|error| EventJsonError::without_position(error.to_string()))?;
    Ok(WrittenEvent {
        event,
        surrogates: surrogates.get(),
    })
}

/// Reads an object as a message.
pub(super) struct MessageVisitor<'a>(pub(super) MessageDescriptor, pub(super) Reading<'a>);

impl<'de> Visitor<'de> for MessageVisitor<'_> {
    type Value = DynamicMessage;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object for {}", self.0.name())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DynamicMessage, A::Error> {
        let mut message = DynamicMessage::new(self.0.clone());
        let mut seen = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let field = find_field(&self.0, &key)?;
            if seen.contains(&field.number()) {
                return Err(A::Error::custom(format_args!("`{key}` appears twice")));
            }
            seen.push(field.number());
            let value = map.next_value_seed(FieldSeed(&field, self.1))?;
            if let Some(value) = value {
                check_oneof(&message, &field)?;
                message.set_field(&field, value);
            }
        }
        Ok(message)
    }
}

/// Finds a field by either spelling: `stepEnded` or `step_ended`.
fn find_field<E: Error>(message: &MessageDescriptor, key: &str) -> Result<FieldDescriptor, E> {
    message
        .get_field_by_json_name(key)
        .or_else(|| message.get_field_by_name(key))
        .ok_or_else(|| E::custom(format_args!("unknown field `{key}` in {}", message.name())))
}

fn check_oneof<E: Error>(message: &DynamicMessage, field: &FieldDescriptor) -> Result<(), E> {
    let Some(oneof) = field.containing_oneof() else {
        return Ok(());
    };
    match oneof.fields().find(|other| message.has_field(other)) {
        Some(other) => Err(E::custom(format_args!(
            "both `{}` and `{}` are set; only one may be",
            other.name(),
            field.name()
        ))),
        None => Ok(()),
    }
}

/// Reads the value of a field. `None` for null, which means absent.
struct FieldSeed<'a>(&'a FieldDescriptor, Reading<'a>);

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<Value>, D::Error> {
        json.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value for `{}`", self.0.name())
    }

    fn visit_none<E: Error>(self) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<Option<Value>, D::Error> {
        let field = self.0;
        let value = match field.kind() {
            Kind::String if field.name().ends_with("_json") => {
                Value::String(json_text(json, self.1)?)
            }
            Kind::String => json.deserialize_bytes(TextVisitor(field, self.1))?,
            Kind::Bytes => json.deserialize_str(IdVisitor(field))?,
            Kind::Bool => json.deserialize_bool(BoolVisitor(field))?,
            Kind::Enum(kind) => json.deserialize_any(EnumVisitor(field, kind))?,
            Kind::Int64 | Kind::Int32 | Kind::Sint32 => {
                json.deserialize_any(IntegerVisitor(field))?
            }
            Kind::Double => double(json, field)?,
            Kind::Message(message) if is_time(&message) => {
                json.deserialize_any(TimeVisitor(message, self.1))?
            }
            Kind::Message(message) => {
                Value::Message(json.deserialize_map(MessageVisitor(message, self.1))?)
            }
            kind => {
                let text = format_args!("`{}`: {kind:?} has no JSON form here", field.name());
                return Err(D::Error::custom(text));
            }
        };
        Ok(Some(value))
    }
}

/// Reads a time or duration in its proto3 JSON form. A value out of the range of that form
/// is an object with `seconds` and `nanos`, as on the wire.
struct TimeVisitor<'a>(MessageDescriptor, Reading<'a>);

impl<'de> Visitor<'de> for TimeVisitor<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.full_name() {
            TIMESTAMP => "a time like \"2026-01-31T12:00:00.000001Z\"",
            _ => "a duration like \"3.5s\"",
        })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        let mut message = DynamicMessage::new(self.0.clone());
        let transcoded = match self.0.full_name() {
            TIMESTAMP => text
                .parse::<prost_types::Timestamp>()
                .ok()
                .map(|time| message.transcode_from(&time)),
            _ => text
                .parse::<prost_types::Duration>()
                .ok()
                .map(|duration| message.transcode_from(&duration)),
        };
        match transcoded {
            Some(Ok(())) => Ok(Value::Message(message)),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        let fields = MessageVisitor(self.0, self.1);
        fields.visit_map(map).map(Value::Message)
    }
}
