//! The keys of all dialects in one table, so that reading an attribute takes one
//! lookup.

use super::key_hash::KeyMap;
use super::source::JsonPath;
use crate::ingest::otlp::map::slots::{ConversationSide, Slot};
use crate::ingest::otlp::map::value::has_quoted;

/// The position of a dialect: the first of several that fit a span wins.
pub type DialectIndex = u16;

/// The preference number of a source: the lowest wins.
pub type Preference = u32;

/// A slot that a key fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilledSlot {
    /// The slot.
    pub slot: Slot,
    /// The preference number of this key for the slot.
    pub preference: Preference,
    /// The dialect whose file says so.
    pub dialect: DialectIndex,
}

/// What a key means.
#[derive(Clone, Debug, Default)]
pub struct KeyMeaning {
    /// The slot that the value fills.
    pub fills: Option<FilledSlot>,
    /// The dialect of whose words the value is one.
    pub kind_of: Option<DialectIndex>,
    /// The dialect that every span with this key is in.
    pub marks: Option<DialectIndex>,
    /// Facts inside the JSON of the value.
    pub inside: Vec<(JsonPath, FilledSlot)>,
    /// The first names of their paths, in quotes. Empty if a path has no name first.
    pub inside_names: Vec<String>,
}

/// The keys that are read in the spans of one scope.
#[derive(Clone, Debug, Default)]
pub struct AttributeTable {
    /// By key.
    pub keys: KeyMap<KeyMeaning>,
    /// By name of the span event: keys of its attributes.
    pub events: KeyMap<Vec<(String, FilledSlot)>>,
    /// Prefixes of keys that hold one field of one message each.
    pub numbered: Vec<(String, ConversationSide)>,
}

impl KeyMeaning {
    /// Whether a JSON text may hold one of the facts inside. False is certain.
    pub fn may_be_in(&self, json: &str) -> bool {
        self.inside_names.is_empty() || has_quoted(json, &self.inside_names)
    }
}

impl AttributeTable {
    /// Splits a key `prefix.N.field`, which holds one field of one message, into
    /// the side of the message and `N.field`.
    pub fn split_numbered<'k>(&self, key: &'k str) -> Option<(ConversationSide, &'k str)> {
        self.numbered.iter().find_map(|(prefix, side)| {
            let rest = key.strip_prefix(prefix.as_str())?;
            rest.starts_with(|c: char| c.is_ascii_digit())
                .then_some((*side, rest))
        })
    }
}

/// Prefixes of keys, each of one dialect. Buckets by first byte keep the search
/// short: most keys of foreign work match none.
#[derive(Debug)]
pub struct PrefixTable(Vec<Vec<(String, DialectIndex)>>);

impl Default for PrefixTable {
    fn default() -> Self {
        Self(vec![Vec::new(); usize::from(u8::MAX) + 1])
    }
}

impl PrefixTable {
    /// Adds a prefix.
    pub fn add(&mut self, prefix: &str, dialect: DialectIndex) {
        if let Some(bucket) = self.bucket_mut(prefix) {
            bucket.push((prefix.to_owned(), dialect));
            bucket.sort_by_key(|(_, dialect)| *dialect);
        }
    }

    /// The first dialect with a prefix of this key.
    pub fn find(&self, key: &str) -> Option<DialectIndex> {
        let bucket = self.0.get(usize::from(*key.as_bytes().first()?))?;
        let found = bucket
            .iter()
            .find(|(prefix, _)| key.starts_with(prefix.as_str()));
        found.map(|(_, dialect)| *dialect)
    }

    fn bucket_mut(&mut self, prefix: &str) -> Option<&mut Vec<(String, DialectIndex)>> {
        self.0.get_mut(usize::from(*prefix.as_bytes().first()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_keys_need_a_number() {
        let table = AttributeTable {
            numbered: vec![
                ("llm.input_messages.".into(), ConversationSide::Input),
                ("gen_ai.completion.".into(), ConversationSide::Output),
            ],
            ..AttributeTable::default()
        };
        let split = |key| table.split_numbered(key);
        let found = split("llm.input_messages.12.message.role");
        assert_eq!(found, Some((ConversationSide::Input, "12.message.role")));
        let found = split("gen_ai.completion.0.role");
        assert_eq!(found, Some((ConversationSide::Output, "0.role")));
        assert_eq!(split("gen_ai.completion.template"), None);
        assert_eq!(split("gen_ai.completion"), None);
    }

    #[test]
    fn the_first_dialect_with_the_prefix_wins() {
        let mut table = PrefixTable::default();
        table.add("ai.", 7);
        table.add("ai.x.", 3);
        table.add("gen_ai.", 9);
        assert_eq!(table.find("ai.x.y"), Some(3));
        assert_eq!(table.find("ai.y"), Some(7));
        assert_eq!(table.find("http.url"), None);
        assert_eq!(table.find(""), None);
    }
}
