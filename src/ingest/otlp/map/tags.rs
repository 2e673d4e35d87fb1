//! Reads the tags, the customer and the user of a run.

use std::borrow::Cow;
use std::collections::HashSet;

use uuid::Uuid;

use super::facts::SpanFacts;
use super::slots::Slot;
use super::value;
use crate::ingest::otlp::wire::{AnyValue, KeyValue};

/// The most tags of a run.
const MAX_TAGS: usize = 256;
/// The attributes of a resource that name a customer.
const CUSTOMER_KEYS: [&str; 3] = ["runtraced.customer_id", "customer.id", "customer_id"];

/// The tags that a span states: a list, JSON of a list, or words between commas.
pub fn tags(facts: &SpanFacts<'_>) -> Option<Vec<String>> {
    let stated = value::parsed(facts.value(Slot::Tags)?);
    let texts: Vec<Cow<'_, str>> = match &stated {
        serde_json::Value::Array(tags) => tags
            .iter()
            .map(|tag| match tag {
                serde_json::Value::String(tag) => Cow::Borrowed(tag.as_str()),
                other => Cow::Owned(other.to_string()),
            })
            .collect(),
        serde_json::Value::String(tags) => tags.split(',').map(Cow::Borrowed).collect(),
        _ => Vec::new(),
    };
    let mut seen = HashSet::new();
    let tags = texts.iter().map(|tag| tag.trim());
    let tags = tags.filter(|tag| !tag.is_empty() && seen.insert(*tag));
    let tags: Vec<_> = tags.take(MAX_TAGS).map(str::to_owned).collect();
    (!tags.is_empty()).then_some(tags)
}

/// The customer that a span names: an id, or any other name.
pub fn customer(facts: &SpanFacts<'_>) -> Option<String> {
    normalized(&facts.text(Slot::Customer)?)
}

/// The customer that a resource names.
pub fn customer_of_resource(attributes: &[KeyValue<'_>]) -> Option<String> {
    CUSTOMER_KEYS.iter().find_map(|key| {
        let attribute = attributes.iter().find(|attribute| attribute.key == *key)?;
        match attribute.value.as_ref()? {
            AnyValue::String(name) => normalized(name),
            _ => None,
        }
    })
}

/// A UUID in one form of text, so that the same customer always has the same name.
fn normalized(name: &str) -> Option<String> {
    let name = name.trim();
    match Uuid::try_parse(name) {
        Ok(id) => Some(id.to_string()),
        Err(_) => (!name.is_empty()).then(|| name.to_owned()),
    }
}

/// The user, if a session cannot hold him: he is no UUID.
pub fn user_name(facts: &SpanFacts<'_>) -> Option<String> {
    let user = facts.text(Slot::User)?;
    Uuid::try_parse(&user).is_err().then(|| user.into_owned())
}
