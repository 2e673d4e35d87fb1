//! Remembers short texts that were clean: names of models, tools and agents come again with every event.
//!
//! Each thread has a memory of its own, of fixed size. A text is compared as a whole, so no other one passes for it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Longer texts are looked at again.
const MAX_BYTES: usize = 48;
/// How many texts are remembered. A text has one place, and goes if another one comes there.
const PLACES: usize = 128;
/// Mixes the bits of a word; the digits of the golden ratio.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

thread_local! {
    static RECENT: RefCell<[CleanText; PLACES]> = const { RefCell::new([NONE; PLACES]) };
}
static MEMORIES: AtomicU64 = AtomicU64::new(0);

/// No memory has the number 0.
const NONE: CleanText = CleanText {
    memory: 0,
    len: 0,
    bytes: [0; MAX_BYTES],
};

/// A text in which nothing is to be masked by the rules of one masker.
#[derive(Clone, Copy, PartialEq, Eq)]
struct CleanText {
    memory: u64,
    len: usize,
    bytes: [u8; MAX_BYTES],
}

/// What one masker remembers.
#[derive(Debug)]
pub(super) struct CleanTexts {
    memory: u64,
}

impl CleanTexts {
    pub fn new() -> Self {
        Self {
            memory: MEMORIES.fetch_add(1, Relaxed) + 1,
        }
    }

    /// Whether the text is known to be clean.
    pub fn has(&self, text: &str) -> bool {
        self.entry(text).is_some_and(|(place, entry)| {
            RECENT.with_borrow(|recent| recent.get(place) == Some(&entry))
        })
    }

    /// Remembers a clean text, if it is short.
    pub fn add(&self, text: &str) {
        if let Some((place, entry)) = self.entry(text) {
            RECENT.with_borrow_mut(|recent| {
                if let Some(known) = recent.get_mut(place) {
                    *known = entry;
                }
            });
        }
    }

    fn entry(&self, text: &str) -> Option<(usize, CleanText)> {
        let mut bytes = [0; MAX_BYTES];
        bytes
            .get_mut(..text.len())?
            .copy_from_slice(text.as_bytes());
        let (words, _) = bytes.as_chunks();
        let mixed = words.iter().fold(self.memory, |mixed, word| {
            (mixed.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(MIX)
        });
        let entry = CleanText {
            memory: self.memory,
            len: text.len(),
            bytes,
        };
        // The upper bits are mixed best.
        Some(((mixed >> 32) as usize % PLACES, entry))
    }
}
