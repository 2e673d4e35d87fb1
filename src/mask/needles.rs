//! Finds many fixed texts in one pass.

use aho_corasick::packed::{Config, MatchKind, Searcher};

/// The vectorised search takes at most this many texts at a time.
const MAX_PER_PASS: usize = 64;

/// Fixed texts to find.
#[derive(Clone, Debug)]
pub(super) struct Needles {
    passes: Vec<Searcher>,
}

impl Needles {
    /// Each text may be there once.
    pub fn new(texts: &[String]) -> Self {
        let searcher = |texts: &[String]| {
            Config::new()
                .match_kind(MatchKind::LeftmostLongest)
                .builder()
                .extend(texts)
                .build()
        };
        Self {
            passes: texts.chunks(MAX_PER_PASS).filter_map(searcher).collect(),
        }
    }

    /// Hands the start of each text that is found, and its number, to `take`.
    pub fn each<E>(
        &self,
        haystack: &[u8],
        mut take: impl FnMut(usize, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        for (pass, searcher) in self.passes.iter().enumerate() {
            for found in searcher.find_iter(haystack) {
                let number = pass * MAX_PER_PASS + found.pattern().as_usize();
                take(found.start(), number)?;
            }
        }
        Ok(())
    }
}
