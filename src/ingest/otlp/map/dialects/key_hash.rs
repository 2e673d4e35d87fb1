//! A fast hash of keys. Only files decide which keys are in a table, so nobody can fill one with
//! keys of one hash.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// A large odd number without a pattern: that of the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
const WORD_BYTES: usize = 8;

/// What words of files mean.
pub type KeyMap<V> = HashMap<String, V, BuildHasherDefault<KeyHasher>>;
/// Words of files.
pub type KeySet = HashSet<String, BuildHasherDefault<KeyHasher>>;

/// Hashes eight bytes at a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyHasher(u64);

impl KeyHasher {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(MULTIPLIER);
    }
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(WORD_BYTES);
        for word in &mut words {
            let mut eight = [0; WORD_BYTES];
            eight.copy_from_slice(word);
            self.add(u64::from_le_bytes(eight));
        }
        let rest = words.remainder().iter().rev();
        self.add(rest.fold(0, |word, byte| word << 8 | u64::from(*byte)));
    }

    fn write_u8(&mut self, byte: u8) {
        self.add(u64::from(byte));
    }

    /// Tables use the upper and the lower bits.
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::otlp::map::Dialects;

    #[test]
    fn the_keys_of_the_files_have_hashes_of_their_own() {
        let dialects = Dialects::built_in();
        let keys: HashSet<_> = dialects.documented_keys().map(|(key, ..)| key).collect();
        let hash = |key: &&str| {
            let mut hasher = KeyHasher::default();
            hasher.write(key.as_bytes());
            hasher.finish()
        };
        let hashes: HashSet<_> = keys.iter().map(hash).collect();
        assert_eq!(hashes.len(), keys.len());
        // Both ends of a hash place a key.
        for bits in [
            hashes.iter().map(|it| it >> 52).collect(),
            hashes.iter().map(|it| it & 0xfff).collect(),
        ] {
            let bits: HashSet<_> = bits;
            assert!(
                bits.len() > keys.len() * 3 / 4,
                "{} of {}",
                bits.len(),
                keys.len()
            );
        }
    }
}
