//! The text of a key: generating and parsing it.
//!
//! A key is `rt_ID_SECRET`. The id is that of the row in `ingest_keys`; it is not
//! secret. The secret is 256 random bits from the operating system. Both are in
//! lower-case hex, so a double click selects the whole key. Only the SHA-256 of the
//! whole text is stored. A slow hash would add nothing: 256 random bits cannot be
//! guessed.

use std::fmt;
use std::fmt::Write as _;

use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The prefix of every key, which no other product uses.
pub const KEY_PREFIX: &str = "rt_";
/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;
const _: () = assert!(SECRET_BYTES * 8 >= 256);
/// Characters of an id: a UUID in hex without hyphens.
const ID_CHARS: usize = 32;
/// Characters of a whole key.
#[cfg(test)]
pub const KEY_CHARS: usize = KEY_PREFIX.len() + ID_CHARS + 1 + 2 * SECRET_BYTES;

/// The operating system failed to provide random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system provides no random bytes for a key")]
pub struct NoRandomness;

/// A newly generated key. Its text is shown once and stored nowhere.
pub struct NewKey {
    /// The id of its row.
    pub id: Uuid,
    /// The text, for its owner.
    pub text: String,
    /// The hash of the text, for the database.
    pub sha256: [u8; 32],
}

impl NewKey {
    /// Generates a key.
    ///
    /// # Errors
    /// When the operating system provides no random bytes.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut secret = [0; SECRET_BYTES];
        SysRng
            .try_fill_bytes(&mut secret)
            .map_err(|_| NoRandomness)?;
        let id = Uuid::now_v7();
        let mut text = format!("{KEY_PREFIX}{}_", id.simple());
        for byte in secret {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        let sha256 = Sha256::digest(text.as_bytes()).into();
        Ok(Self { id, text, sha256 })
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The key that a request presents: its id, and the hash that proves it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PresentedKey {
    /// The id of the row.
    pub id: Uuid,
    /// The hash of the whole text.
    pub sha256: [u8; 32],
}

// Not derived: the hash must not appear in logs. Anyone who can write to the table
// could make it valid.
impl fmt::Debug for PresentedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresentedKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A token that has the prefix of a key but not its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key")]
pub struct MalformedKey;

/// Whether a token has the prefix of a runtraced key.
#[must_use]
pub fn has_key_prefix(token: &[u8]) -> bool {
    token.starts_with(KEY_PREFIX.as_bytes())
}

/// Parses a token of any bytes.
///
/// # Errors
/// When the token does not have exactly the form of a key.
pub fn parse_key(token: &[u8]) -> Result<PresentedKey, MalformedKey> {
    let rest = token
        .strip_prefix(KEY_PREFIX.as_bytes())
        .ok_or(MalformedKey)?;
    let (id, secret) = rest.split_at_checked(ID_CHARS).ok_or(MalformedKey)?;
    let secret = secret.strip_prefix(b"_").ok_or(MalformedKey)?;
    let is_hex = |bytes: &[u8]| {
        bytes
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    if !is_hex(id) || secret.len() != 2 * SECRET_BYTES || !is_hex(secret) {
        return Err(MalformedKey);
    }
    Ok(PresentedKey {
        id: Uuid::try_parse_ascii(id).map_err(|_| MalformedKey)?,
        sha256: Sha256::digest(token).into(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_generated_key_parses_and_no_two_are_alike() {
        let (one, two) = (NewKey::generate().unwrap(), NewKey::generate().unwrap());
        let read = parse_key(one.text.as_bytes()).unwrap();
        assert_eq!((read.id, read.sha256), (one.id, one.sha256));
        assert_eq!(one.text.len(), KEY_CHARS);
        assert_ne!(one.text[36..], two.text[36..], "secrets");
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let key = NewKey::generate().unwrap();
        let secret = &key.text[KEY_CHARS - 64..];
        let read = parse_key(key.text.as_bytes()).unwrap();
        let debug = format!("{key:?} {read:?}");
        assert!(!debug.contains(secret), "{debug}");
        assert!(!debug.contains("sha"), "{debug}");
    }

    #[test]
    fn only_the_exact_form_is_a_key() {
        let key = NewKey::generate().unwrap().text;
        let other = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = key.clone().into_bytes();
            change(&mut bytes);
            parse_key(&bytes)
        };
        assert!(other(&|_| {}).is_ok());
        assert_eq!(other(&|key| _ = key.pop()), Err(MalformedKey));
        assert_eq!(other(&|key| key.push(b'0')), Err(MalformedKey));
        assert_eq!(other(&|key| key[35] = b'-'), Err(MalformedKey));
        assert_eq!(other(&|key| key[3] = b'g'), Err(MalformedKey));
        assert_eq!(other(&|key| key.make_ascii_uppercase()), Err(MalformedKey));
        for short in ["", "rt_", "rt__", "rt_é", "sk-123"] {
            assert_eq!(parse_key(short.as_bytes()), Err(MalformedKey), "{short}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, ours: bool) {
            let token = if ours { [KEY_PREFIX.as_bytes(), &bytes].concat() } else { bytes };
            let read = parse_key(&token);
            prop_assert!(read.is_err() || (has_key_prefix(&token) && token.len() == KEY_CHARS));
        }

        #[test]
        fn another_text_has_another_hash(place in 36..KEY_CHARS, digit in "[0-9a-f]") {
            let key = NewKey::generate().unwrap();
            let mut text = key.text.clone();
            text.replace_range(place..=place, &digit);
            let read = parse_key(text.as_bytes()).unwrap();
            prop_assert_eq!(read.sha256 == key.sha256, text == key.text);
        }
    }
}
