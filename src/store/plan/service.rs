//! Finds the service that metadata describe.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Longer metadata names no service: Postgres would need much memory to parse it. The function
/// `merge_services` in the migrations has the same limit.
const MAX_SERVICE_METADATA: usize = 65_536;

/// The service that metadata describe, as OTLP's resources name it: the text
/// `resource.service.name`.
pub fn service_of(metadata: &str) -> Option<String> {
    if metadata.len() > MAX_SERVICE_METADATA {
        return None;
    }
    let resource = member(metadata, "resource")?;
    let service = member(resource.get(), "service.name")?;
    serde_json::from_str(service.get()).ok()
}

/// A member of a JSON object; of several with one name the last, as in `jsonb`.
///
/// The values are not parsed: serde takes neither every number nor every depth that `jsonb`
/// takes.
fn member<'a>(object: &'a str, name: &str) -> Option<&'a RawValue> {
    let mut parser = serde_json::Deserializer::from_str(object);
    parser.deserialize_map(MemberOf(name)).ok()?
}

/// Takes the member with a name from an object.
struct MemberOf<'n>(&'n str);

impl<'de> Visitor<'de> for MemberOf<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_text_names_a_service() {
        let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
        let odd = format!(
            r#"{{"n":1e400,"deep":{deep},"resource":{{"n":-1e9999,"d":{deep},"service.name":"a\u00e9"}}}}"#
        );
        for (metadata, service) in [
            (r#"{"resource":{"service.name":"a"}}"#, Some("a")),
            (odd.as_str(), Some("a\u{e9}")),
            (r#"{"resource":{"service.name":5}}"#, None),
            (r#"{"resource":{"service.name":null}}"#, None),
            (r#"{"resource":["service.name","a"]}"#, None),
            (r#"{"resource":"a"}"#, None),
            (r#"{"service.name":"a"}"#, None),
            // The last one counts.
            (
                r#"{"resource":{"service.name":"a"},"re\u0073ource":{"service.name":"b","service.name":"c"}}"#,
                Some("c"),
            ),
            (r#"{"resource":{"service.name":"a"},"resource":1}"#, None),
            (" { } ", None),
        ] {
            assert_eq!(service_of(metadata).as_deref(), service, "{metadata}");
        }
    }

    #[test]
    fn the_database_has_the_same_limit() {
        let merge = include_str!("../../../migrations/0029_metadata_of_services.up.sql");
        assert!(merge.contains(&format!("<= {MAX_SERVICE_METADATA}\n")));
        let longest = |padding: usize| {
            format!(
                r#"{{"resource":{{"service.name":"a"}},"p":"{}"}}"#,
                "p".repeat(padding)
            )
        };
        let most = MAX_SERVICE_METADATA - longest(0).len();
        assert!(service_of(&longest(most)).is_some());
        assert!(service_of(&longest(most + 1)).is_none());
    }
}
