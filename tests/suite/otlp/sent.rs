//! Collects all values in the bodies of a capture, independent of the dialect, to
//! distinguish facts that were never sent from facts that were lost.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Any};
use serde_json::Value;

use super::corpus::{Capture, Export};

/// Every value that was sent, with the path of keys that leads to it.
pub struct Sent {
    leaves: Vec<(String, Leaf)>,
}

enum Leaf {
    Number(f64),
    Text(String),
}

impl Sent {
    /// The values of a capture.
    pub fn of(capture: &Capture) -> Self {
        let mut sent = Self { leaves: Vec::new() };
        for request in &capture.requests {
            match &request.export {
                Export::Traces(export) => {
                    for resource in &export.resource_spans {
                        for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
                            sent.attributes("", &span.attributes);
                            for event in &span.events {
                                sent.attributes("", &event.attributes);
                            }
                            if let Some(status) = &span.status {
                                sent.text("status", &status.message);
                            }
                        }
                    }
                }
                Export::Logs(export) => {
                    for resource in &export.resource_logs {
                        for record in resource.scope_logs.iter().flat_map(|s| &s.log_records) {
                            sent.attributes("", &record.attributes);
                            sent.any("body", record.body.as_ref());
                        }
                    }
                }
            }
        }
        sent
    }

    /// Whether any value contains this text completely.
    pub fn has_text(&self, text: &str) -> bool {
        let holds = |leaf: &Leaf| matches!(leaf, Leaf::Text(found) if found.contains(text));
        self.leaves.iter().any(|(_, leaf)| holds(leaf))
    }

    /// Whether this number occurs under a key about tokens.
    pub fn has_tokens(&self, count: i64) -> bool {
        self.numbers(&["token", "usage"])
            .any(|number| number == count as f64)
    }

    /// Whether a positive number occurs under a key about one of these kinds of
    /// tokens.
    pub fn has_tokens_of(&self, kinds: &[&str]) -> bool {
        self.numbers(kinds).any(|number| number > 0.0)
    }

    fn numbers(&self, words: &[&str]) -> impl Iterator<Item = f64> {
        let named = |path: &str| words.iter().any(|word| path.contains(word));
        self.leaves
            .iter()
            .filter_map(move |(path, leaf)| match leaf {
                Leaf::Number(number) if named(path) => Some(*number),
                _ => None,
            })
    }

    fn attributes(&mut self, path: &str, attributes: &[KeyValue]) {
        for attribute in attributes {
            let key = format!("{path}.{}", attribute.key.to_lowercase());
            self.any(&key, attribute.value.as_ref());
        }
    }

    fn any(&mut self, path: &str, value: Option<&AnyValue>) {
        match value.and_then(|value| value.value.as_ref()) {
            Some(Any::StringValue(text)) => self.text(path, text),
            Some(Any::IntValue(number)) => self.number(path, *number as f64),
            Some(Any::DoubleValue(number)) => self.number(path, *number),
            Some(Any::ArrayValue(array)) => {
                for value in &array.values {
                    self.any(path, Some(value));
                }
            }
            Some(Any::KvlistValue(list)) => self.attributes(path, &list.values),
            _ => {}
        }
    }

    fn number(&mut self, path: &str, number: f64) {
        self.leaves.push((path.to_owned(), Leaf::Number(number)));
    }

    /// Adds a text and, if it is JSON, its values.
    fn text(&mut self, path: &str, text: &str) {
        self.leaves
            .push((path.to_owned(), Leaf::Text(text.to_owned())));
        if text.starts_with(['{', '[', '"'])
            && let Ok(value) = serde_json::from_str(text)
        {
            self.json(path, &value);
        }
    }

    fn json(&mut self, path: &str, value: &Value) {
        match value {
            Value::Number(number) => self.number(path, number.as_f64().unwrap()),
            Value::String(text) => self.text(path, text),
            Value::Array(values) => values.iter().for_each(|value| self.json(path, value)),
            Value::Object(fields) => {
                for (key, value) in fields {
                    self.json(&format!("{path}.{}", key.to_lowercase()), value);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }
}
