//! The metadata of a step: everything in its span that has no column.

use std::borrow::Cow;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::hex::hex;
use super::placed::PlacedSpan;
use super::span_events::{self, Exception};
use super::value::{self, AsJson};
use crate::ingest::otlp::wire::SpanLink;

/// Serializes the metadata: the kept attributes of a span unchanged, its events
/// and links, and its ids.
pub struct StepMetadata<'a> {
    /// The span.
    pub placed: &'a PlacedSpan<'a>,
    /// The word for its kind, if no dialect knows it.
    pub unknown_word: Option<&'a str>,
    /// The id that all views of its call share.
    pub call: Option<Cow<'a, str>>,
}

impl Serialize for StepMetadata<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let placed = self.placed;
        let mut object = to.serialize_map(None)?;
        // If a key occurs twice, `jsonb` keeps the last value.
        for attribute in &placed.facts.kept_attributes {
            object.serialize_entry(attribute.key, &AsJson::of_attribute(attribute))?;
        }
        object.serialize_entry("otel", &OtelMetadata::of(self))?;
        object.end()
    }
}

/// The part of the metadata that comes from fields of the OTLP message.
#[derive(Serialize)]
struct OtelMetadata<'a> {
    span_id: String,
    name: &'a str,
    dialect: &'a str,
    /// The word for its kind, if no dialect knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    /// The id that a model or a provider gave the call. The store compares it.
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<Exception>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<LinkMetadata>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_attributes: u32,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_events: u32,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_links: u32,
    /// Set if the run's id is not the trace id.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_before_start: Option<bool>,
    /// What the span waits for, if a person must act first.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<&'a str>,
}

#[derive(Serialize)]
struct LinkMetadata {
    trace_id: String,
    span_id: String,
    attributes: Value,
}

impl<'a> OtelMetadata<'a> {
    fn of(metadata: &'a StepMetadata<'_>) -> Self {
        let placed = metadata.placed;
        let span = placed.facts.span;
        let link_metadata = |link: &SpanLink<'_>| LinkMetadata {
            trace_id: hex(link.trace_id),
            span_id: hex(link.span_id),
            attributes: value::object(&link.attributes),
        };
        let run_is_trace = placed.run.as_bytes().as_slice() == span.trace_id;
        Self {
            span_id: hex(span.span_id),
            name: span.name,
            dialect: &placed.facts.dialect.name,
            kind: metadata.unknown_word,
            service: placed.origin.service,
            call: metadata.call.as_deref(),
            exception: span_events::exception(span),
            events: span_events::kept_events(span),
            links: span.links.iter().map(link_metadata).collect(),
            dropped_attributes: span.dropped_attributes_count,
            dropped_events: span.dropped_events_count,
            dropped_links: span.dropped_links_count,
            trace_id: (!run_is_trace).then(|| hex(span.trace_id)),
            ended_before_start: placed
                .end
                .is_some_and(|end| end < placed.start)
                .then_some(true),
            paused: placed.ending.paused.as_deref(),
        }
    }
}

// serde passes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}
