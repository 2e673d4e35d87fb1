//! The text of a key: how it is made, read and told apart from others.
//!
//! `rt_ID_SECRET`: the id is that of the row in `ingest_keys` and no secret; the
//! secret is 256 bits of the operating system's randomness. Both are in lower-case
//! hex, so that a double click selects the whole. Only SHA-256 of the whole text
//! is ever stored: with so much randomness in it there is nothing to guess, so a
//! slow hash would only cost the daemon time.

use std::fmt;
use std::fmt::Write as _;

use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// What every key begins with, and no key of another product.
pub const KEY_PREFIX: &str = "rt_";
/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;
const _: () = assert!(SECRET_BYTES * 8 >= 256);
const ID_CHARS: usize = 32;
/// Characters of a whole key.
#[cfg(test)]
pub const KEY_CHARS: usize = KEY_PREFIX.len() + ID_CHARS + 1 + 2 * SECRET_BYTES;

/// The operating system has no randomness to give.
#[derive(Debug, thiserror::Error)]
#[error("the system has no random bytes for a key")]
pub struct NoRandomness;

/// A key that was just made. Its text is shown once and stored nowhere.
pub struct NewKey {
    /// Of its row.
    pub id: Uuid,
    /// For its owner.
    pub text: String,
    /// For the database.
    pub sha256: [u8; 32],
}

impl NewKey {
    /// Makes one.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut secret = [0; SECRET_BYTES];
        SysRng
            .try_fill_bytes(&mut secret)
            .map_err(|_| NoRandomness)?;
        let id = Uuid::now_v7();
        let mut text = format!("{KEY_PREFIX}{}_", id.simple());
        for byte in secret {
            // Writing to a string does not fail.
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

/// What a request presents: which key it says it is, and the hash that proves it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PresentedKey {
    /// Of the row it is looked up by.
    pub id: Uuid,
    /// Of the whole text.
    pub sha256: [u8; 32],
}

// Not derived: a hash is of use to whoever can write to the table.
impl fmt::Debug for PresentedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresentedKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A token that begins as a key and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key")]
pub struct Malformed;

/// Whether a token means to be one of ours.
#[must_use]
pub fn is_ours(token: &[u8]) -> bool {
    token.starts_with(KEY_PREFIX.as_bytes())
}

/// Reads a token, whatever its bytes are.
///
/// # Errors
/// When it has not exactly the form of a key.
pub fn parse_key(token: &[u8]) -> Result<PresentedKey, Malformed> {
    let rest = token.strip_prefix(KEY_PREFIX.as_bytes()).ok_or(Malformed)?;
    let (id, secret) = rest.split_at_checked(ID_CHARS).ok_or(Malformed)?;
    let secret = secret.strip_prefix(b"_").ok_or(Malformed)?;
    let is_hex = |bytes: &[u8]| {
        bytes
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    if !is_hex(id) || secret.len() != 2 * SECRET_BYTES || !is_hex(secret) {
        return Err(Malformed);
    }
    Ok(PresentedKey {
        id: Uuid::try_parse_ascii(id).map_err(|_| Malformed)?,
        sha256: Sha256::digest(token).into(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_reads_as_it_was_made_and_no_two_are_alike() {
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
        let told = format!("{key:?} {read:?}");
        assert!(!told.contains(secret), "{told}");
        assert!(!told.contains("sha"), "{told}");
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
        assert_eq!(other(&|key| _ = key.pop()), Err(Malformed));
        assert_eq!(other(&|key| key.push(b'0')), Err(Malformed));
        assert_eq!(other(&|key| key[35] = b'-'), Err(Malformed));
        assert_eq!(other(&|key| key[3] = b'g'), Err(Malformed));
        assert_eq!(other(&|key| key.make_ascii_uppercase()), Err(Malformed));
        for short in ["", "rt_", "rt__", "rt_é", "sk-123"] {
            assert_eq!(parse_key(short.as_bytes()), Err(Malformed), "{short}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, ours: bool) {
            let token = if ours { [KEY_PREFIX.as_bytes(), &bytes].concat() } else { bytes };
            let read = parse_key(&token);
            prop_assert!(read.is_err() || (is_ours(&token) && token.len() == KEY_CHARS));
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
