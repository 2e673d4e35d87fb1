//! Where a fact lies: in an attribute, inside the JSON of one, in an attribute
//! of a span event, or in one attribute per field of a message.

use serde_json::Value;

/// The place of a fact, as a dialect file writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `key`: the value of an attribute.
    Attribute(String),
    /// `key#a.b`: inside the JSON of an attribute.
    Inside(String, JsonPath),
    /// `@event/key`: an attribute of a span event.
    Event(String, String),
    /// `prefix.{n}`: one attribute per field of a message, such as
    /// `prefix.0.role`. Holds `prefix.`.
    Numbered(String),
}

impl Source {
    /// Reads a source. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(event) = text.strip_prefix('@') {
            let split = event.rsplit_once('/');
            let Some((name, key)) = split.filter(|(name, key)| !name.is_empty() && !key.is_empty())
            else {
                return Err(format!("`{text}` is not @EVENT/KEY"));
            };
            return Ok(Self::Event(name.to_owned(), key.to_owned()));
        }
        if let Some(prefix) = text.strip_suffix("{n}") {
            return if prefix.len() > 1 && prefix.ends_with('.') {
                Ok(Self::Numbered(prefix.to_owned()))
            } else {
                Err(format!("`{text}` is not PREFIX.{{n}}"))
            };
        }
        let (key, path) = match text.split_once('#') {
            Some((key, path)) => (key, Some(JsonPath::parse(path)?)),
            None => (text, None),
        };
        if key.is_empty() {
            return Err(format!("`{text}` names no key"));
        }
        Ok(match path {
            Some(path) => Self::Inside(key.to_owned(), path),
            None => Self::Attribute(key.to_owned()),
        })
    }
}

/// A path into JSON: `usage.input_tokens`, `replies.0.meta`, `*.usage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath(Vec<JsonPathPart>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum JsonPathPart {
    /// A field, or an item if the name is a number.
    Field(String),
    /// Any field or item: the first in which the rest of the path leads to something.
    Any,
}

impl JsonPath {
    /// The most parts of a path. Each `*` may visit every member.
    const MAX_PARTS: usize = 8;

    /// Reads a path. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split('.').map(|part| match part {
            "*" => JsonPathPart::Any,
            field => JsonPathPart::Field(field.to_owned()),
        });
        let parts: Vec<_> = parts.collect();
        if parts.len() > Self::MAX_PARTS {
            return Err(format!(
                "the path `{text}` has more than {} parts",
                Self::MAX_PARTS
            ));
        }
        if parts.contains(&JsonPathPart::Field(String::new())) {
            return Err(format!("the path `{text}` has an empty part"));
        }
        Ok(Self(parts))
    }

    /// The value at the path. Null is no value.
    pub fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        find(&self.0, value)
    }

    /// The name that the path begins with. `None` if it begins with any field or with an item.
    pub fn first_name(&self) -> Option<&str> {
        match self.0.first()? {
            JsonPathPart::Field(name) => name.parse::<usize>().is_err().then_some(name),
            JsonPathPart::Any => None,
        }
    }

    /// Whether a JSON text may contain the path. False is certain.
    pub fn may_be_in(&self, json: &str) -> bool {
        let mut fields = self.0.iter().filter_map(|part| match part {
            JsonPathPart::Field(name) => Some(name),
            JsonPathPart::Any => None,
        });
        fields.all(|name| name.parse::<usize>().is_ok() || json.contains(name.as_str()))
    }
}

fn find<'v>(parts: &[JsonPathPart], value: &'v Value) -> Option<&'v Value> {
    let Some((first, rest)) = parts.split_first() else {
        return (!value.is_null()).then_some(value);
    };
    match (first, value) {
        (JsonPathPart::Field(name), Value::Object(object)) => find(rest, object.get(name)?),
        (JsonPathPart::Field(name), Value::Array(items)) => {
            find(rest, items.get(name.parse::<usize>().ok()?)?)
        }
        (JsonPathPart::Any, Value::Object(object)) => object.values().find_map(|it| find(rest, it)),
        (JsonPathPart::Any, Value::Array(items)) => items.iter().find_map(|it| find(rest, it)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sources_are_read() {
        let parse = |text| Source::parse(text).unwrap();
        assert_eq!(parse("a.b"), Source::Attribute("a.b".into()));
        assert_eq!(
            parse("@done/out"),
            Source::Event("done".into(), "out".into())
        );
        assert_eq!(parse("msg.{n}"), Source::Numbered("msg.".into()));
        assert!(matches!(parse("a#b.0"), Source::Inside(key, _) if key == "a"));
        for wrong in ["", "@a", "@/b", "{n}", "msg{n}", "#a", "a#", "a#b..c"] {
            assert!(Source::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Source::parse(&format!("a#{}", "b.".repeat(20))).is_err());
    }

    #[test]
    fn paths_lead_into_json() {
        let value = json!({"a": [{"b": null}, {"b": 2}], "c": {"d": {"e": 5}}});
        let find = |path| JsonPath::parse(path).unwrap().find(&value).cloned();
        assert_eq!(find("a.1.b"), Some(json!(2)));
        assert_eq!(find("a.0.b"), None);
        assert_eq!(find("a.*.b"), Some(json!(2)));
        assert_eq!(find("*.d.e"), Some(json!(5)));
        assert_eq!(find("a.x"), None);
        let path = JsonPath::parse("c.*.e").unwrap();
        assert!(path.may_be_in(&value.to_string()) && !path.may_be_in("{}"));
    }
}
