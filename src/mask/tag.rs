//! The four characters that tell equal secrets from others.

use ring::hmac::{HMAC_SHA256, Key, sign};

/// Base32 without characters that look like others in masks.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
pub(super) const TAG_CHARS: usize = 4;

/// The key of the tags. Without it nobody can try which secret has a tag.
#[derive(Clone, Debug)]
pub(super) struct TagKey(Key);

impl TagKey {
    pub fn new(key: &[u8]) -> Self {
        Self(Key::new(HMAC_SHA256, key))
    }

    /// The tag of a secret: the same for the same secret, whatever its kind.
    pub fn tag(&self, secret: &[u8]) -> String {
        let hash = sign(&self.0, secret);
        let bytes = hash.as_ref().iter().take(TAG_CHARS);
        bytes
            .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
            .collect()
    }
}
