//! Reads messages with one attribute per field: `….0.message.role`,
//! `….0.message.tool_calls.1.tool_call.function.name`, `….0.content`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::ingest::otlp::map::value;
use crate::ingest::otlp::wire::AnyValue;

/// The most parts of a path; longer paths are ignored. Real ones need fewer.
const MAX_PATH_PARTS: usize = 12;

#[derive(Default)]
struct PathNode<'a> {
    leaf: Option<&'a AnyValue<'a>>,
    items: BTreeMap<u32, PathNode<'a>>,
    fields: BTreeMap<&'a str, PathNode<'a>>,
}

/// Builds the array that the paths describe. Only the order of the numbers
/// matters: they may start anywhere and have gaps.
pub fn unflatten<'a>(paths: impl Iterator<Item = (&'a str, &'a AnyValue<'a>)>) -> Value {
    let mut root = PathNode::default();
    for (path, attribute) in paths {
        root.insert(path, attribute);
    }
    root.into_json()
}

impl<'a> PathNode<'a> {
    fn insert(&mut self, path: &'a str, attribute: &'a AnyValue<'a>) {
        let mut node = self;
        for (depth, part) in path.split('.').enumerate() {
            if depth >= MAX_PATH_PARTS {
                return;
            }
            node = match part.parse() {
                Ok(index) => node.items.entry(index).or_default(),
                Err(_) => node.fields.entry(part).or_default(),
            };
        }
        node.leaf = Some(attribute);
    }

    fn into_json(self) -> Value {
        if !self.fields.is_empty() {
            let mut fields: serde_json::Map<_, _> = self
                .fields
                .into_iter()
                .map(|(key, node)| (key.to_owned(), node.into_json()))
                .collect();
            // `{"message": {…}}` is the message.
            if fields.len() == 1
                && let Some(message) = fields.remove("message")
            {
                return message;
            }
            return Value::Object(fields);
        }
        if !self.items.is_empty() {
            return self.items.into_values().map(Self::into_json).collect();
        }
        self.leaf.map_or(Value::Null, value::json)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_are_in_the_order_of_their_numbers() {
        let text = AnyValue::String;
        let attributes = [
            ("10.message.role", text("assistant")),
            ("2.message.role", text("user")),
            ("2.message.content", text("Hi")),
            ("10.message.tool_calls.0.tool_call.function.name", text("f")),
        ];
        let value = unflatten(attributes.iter().map(|(path, value)| (*path, value)));
        let want = json!([
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "tool_calls": [{"tool_call": {"function": {"name": "f"}}}]},
        ]);
        assert_eq!(value, want);
    }
}
