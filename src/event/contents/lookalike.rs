//! Values that look like a reference.

use std::borrow::Cow;

use super::scan::JsonCursor;

/// The only member of a reference.
const REFERENCE_MEMBER: &str = "$content";

/// The reference to a content.
pub(super) fn reference(hash: uuid::Uuid) -> String {
    format!("{{\"{REFERENCE_MEMBER}\": \"{hash}\"}}")
}

/// Whether a value is an object whose only member has the name of a reference's. `jsonb`
/// unescapes names and keeps the last of equal ones, so every name must be that one.
/// Nearly always the first name is another one, and nothing else is read.
pub(super) fn looks_like_reference(text: &str) -> bool {
    let mut cursor = JsonCursor::new(text);
    if cursor.next_byte() != Some(b'{') {
        return false;
    }
    cursor.step();
    let mut members = 0_usize;
    while cursor.next_byte() == Some(b'"') {
        let (name, _) = cursor.name();
        if unescaped(&text[name]) != REFERENCE_MEMBER {
            return false;
        }
        cursor.value();
        members += 1;
    }
    members > 0
}

fn unescaped(name: &str) -> Cow<'_, str> {
    if !name.contains('\\') {
        return Cow::Borrowed(name);
    }
    let unescaped = serde_json::from_str(&format!("\"{name}\""));
    unescaped.map_or(Cow::Borrowed(name), Cow::Owned)
}
