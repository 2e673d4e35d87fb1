//! What a step keeps in its metadata: everything that has no column.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::hex::hex;
use super::placed::Placed;
use super::span_events::{self, Exception};
use super::value::{self, AsJson};
use crate::ingest::otlp::wire::Link;

/// The attributes of a span as they came, its events and links, and what tells it
/// from others; to be written as JSON.
pub struct Metadata<'a>(pub &'a Placed<'a>);

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(placed) = self;
        let mut object = to.serialize_map(None)?;
        // Of a key that comes twice the last stands, as in `jsonb`.
        for attribute in &placed.facts.rest {
            object.serialize_entry(attribute.key, &AsJson::of_attribute(attribute))?;
        }
        object.serialize_entry("otel", &Otel::of(placed))?;
        object.end()
    }
}

/// What OTLP has fields for.
#[derive(Serialize)]
struct Otel<'a> {
    span_id: String,
    name: &'a str,
    dialect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<Exception>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Linked>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_attributes: u32,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_events: u32,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_links: u32,
    /// Where the run is not named after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_before_start: Option<bool>,
}

#[derive(Serialize)]
struct Linked {
    trace_id: String,
    span_id: String,
    attributes: Value,
}

impl<'a> Otel<'a> {
    fn of(placed: &'a Placed<'_>) -> Self {
        let span = placed.facts.span;
        let linked = |link: &Link<'_>| Linked {
            trace_id: hex(link.trace_id),
            span_id: hex(link.span_id),
            attributes: value::object(&link.attributes),
        };
        let named_after_trace = placed.run.as_bytes().as_slice() == span.trace_id;
        Self {
            span_id: hex(span.span_id),
            name: span.name,
            dialect: placed.facts.dialect.as_str(),
            exception: span_events::exception(span),
            events: span_events::kept(span),
            links: span.links.iter().map(linked).collect(),
            dropped_attributes: span.dropped_attributes_count,
            dropped_events: span.dropped_events_count,
            dropped_links: span.dropped_links_count,
            trace_id: (!named_after_trace).then(|| hex(span.trace_id)),
            ended_before_start: (placed.end < placed.start).then_some(true),
        }
    }
}

// serde asks for a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}
