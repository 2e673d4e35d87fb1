//! Reads the tags, the customer and the user of a run.

use std::borrow::Cow;

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
    let stated = facts.value(Slot::Tags).map(value::parsed);
    let stated = stated.or_else(|| facts.metadata_field("tags").cloned());
    let stated = stated?;
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
    let mut tags = Vec::new();
    for tag in texts {
        let tag = tag.trim();
        if !tag.is_empty() && !tags.iter().any(|other| other == tag) && tags.len() < MAX_TAGS {
            tags.push(tag.to_owned());
        }
    }
    (!tags.is_empty()).then_some(tags)
}

/// The customer that a span names: an id, or any other name.
pub fn customer(facts: &SpanFacts<'_>) -> Option<String> {
    let stated = facts.text(Slot::Customer).map(Cow::into_owned);
    let stated = stated.or_else(|| {
        let keys = ["customer_id", "customerId"];
        keys.iter().find_map(|key| facts.metadata_text(key))
    });
    stated.as_deref().and_then(normalized)
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
