//! Finds many fixed texts in few passes.

use std::collections::BTreeMap;

use aho_corasick::packed::{Config, MatchKind as PackedMatchKind, Searcher};
use aho_corasick::{AhoCorasick, BuildError, Input, Match, MatchKind, Span};

use super::fragments::{COMPARED_BYTES, Fragment, GroupLimits, fragments};

/// The groups of the vectorised search: it takes fewer than 128 texts at a time.
const MANY: GroupLimits = GroupLimits {
    groups: 16,
    fragments: 7,
};
/// It looks at twice as many bytes at a time if it has at most 32 texts.
const FEW: GroupLimits = GroupLimits {
    groups: 8,
    fragments: 4,
};
/// The vectorised search takes no less than a vector and what is compared; shorter text is searched slowly.
const FAST_BYTES: usize = 32 + COMPARED_BYTES - 1;

/// Fixed texts to find, and numbers that stand for them.
#[derive(Clone, Debug)]
pub(super) struct Needles {
    passes: Vec<NeedlePass>,
}

/// The texts that are searched at a time.
#[derive(Clone, Debug)]
struct NeedlePass {
    search: NeedleSearch,
    fragments: Vec<Fragment>,
    /// The texts, and their numbers.
    needles: Vec<(Vec<u8>, Vec<usize>)>,
}

#[derive(Clone, Debug)]
enum NeedleSearch {
    Vectors(Searcher),
    /// Several times slower, for processors without the instructions.
    Automaton(AhoCorasick),
}

impl Needles {
    /// The number of a text is its place. A text may be there twice.
    ///
    /// # Errors
    /// There are too many texts.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a String>) -> Result<Self, BuildError> {
        Self::with_search(texts, NeedleSearch::new)
    }

    fn with_search<'a>(
        texts: impl IntoIterator<Item = &'a String>,
        search: impl Fn(&[&[u8]]) -> Result<NeedleSearch, BuildError>,
    ) -> Result<Self, BuildError> {
        let mut numbers: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
        for (number, text) in texts.into_iter().enumerate() {
            numbers.entry(text.as_bytes()).or_default().push(number);
        }
        // Short texts have a pass of their own, because the shortest text of a pass decides how many bytes are compared.
        let needles = numbers
            .into_iter()
            .map(|(text, numbers)| (text.to_vec(), numbers));
        let (short, long): (Vec<_>, Vec<_>) =
            needles.partition(|(text, _)| text.len() < COMPARED_BYTES);
        let per_pass = MANY.groups * MANY.fragments;
        let passes = long.chunks(per_pass).chain(short.chunks(per_pass));
        let passes = passes.map(|needles| NeedlePass::new(needles, &search));
        Ok(Self {
            passes: passes.collect::<Result<_, _>>()?,
        })
    }

    /// How often a haystack is searched.
    #[cfg(test)]
    pub fn passes(&self) -> usize {
        self.passes.len()
    }

    /// Hands every place of each text, and the number of the text, to `take`. Each pass begins
    /// at the start of the haystack again.
    pub fn each<E>(
        &self,
        haystack: &[u8],
        mut take: impl FnMut(usize, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut padded = [0; FAST_BYTES];
        let searched = match padded.get_mut(..haystack.len()) {
            Some(head) => {
                head.copy_from_slice(haystack);
                &padded
            }
            None => haystack,
        };
        for pass in &self.passes {
            for (start, needle) in pass.places(haystack, searched) {
                let numbers = pass.needles.get(needle).map(|(_, numbers)| numbers);
                for number in numbers.into_iter().flatten() {
                    take(start, *number)?;
                }
            }
        }
        Ok(())
    }
}

impl NeedlePass {
    fn new(
        needles: &[(Vec<u8>, Vec<usize>)],
        search: impl Fn(&[&[u8]]) -> Result<NeedleSearch, BuildError>,
    ) -> Result<Self, BuildError> {
        let texts: Vec<&[u8]> = needles.iter().map(|(text, _)| text.as_slice()).collect();
        let shortest = texts.iter().map(|text| text.len()).min().unwrap_or(1);
        let is_few = texts.len() <= FEW.groups * FEW.fragments;
        let limits = if is_few { FEW } else { MANY };
        let fragments = fragments(&texts, shortest.min(COMPARED_BYTES), limits);
        let searched: Vec<&[u8]> = fragments
            .iter()
            .map(|fragment| fragment.bytes.as_slice())
            .collect();
        Ok(Self {
            search: search(&searched)?,
            fragments,
            needles: needles.to_vec(),
        })
    }

    /// Where texts are in a haystack, in order, and which. `searched`: the haystack, perhaps with more behind it.
    fn places(&self, haystack: &[u8], searched: &[u8]) -> Vec<(usize, usize)> {
        let mut places = Vec::new();
        let mut rest = Span::from(0..searched.len());
        while let Some(found) = self.search.find(searched, rest) {
            rest.start = found.start() + 1;
            let fragment = self.fragments.get(found.pattern().as_usize());
            for (needle, offset) in fragment.into_iter().flat_map(|fragment| &fragment.places) {
                if let Some(start) = found.start().checked_sub(*offset)
                    && self.is_at(haystack, start, *needle)
                {
                    places.push((start, *needle));
                }
            }
        }
        places.sort_unstable();
        places
    }

    fn is_at(&self, haystack: &[u8], start: usize, needle: usize) -> bool {
        let rest = haystack.get(start..).unwrap_or_default();
        let needle = self.needles.get(needle);
        needle.is_some_and(|(text, _)| rest.starts_with(text))
    }
}

impl NeedleSearch {
    fn new(texts: &[&[u8]]) -> Result<Self, BuildError> {
        let mut config = Config::new();
        config
            .match_kind(PackedMatchKind::LeftmostLongest)
            .heuristic_pattern_limits(false);
        match config.builder().extend(texts).build() {
            Some(searcher) => Ok(Self::Vectors(searcher)),
            None => Self::automaton(texts),
        }
    }

    fn automaton(texts: &[&[u8]]) -> Result<Self, BuildError> {
        let mut builder = AhoCorasick::builder();
        let automaton = builder
            .match_kind(MatchKind::LeftmostLongest)
            .build(texts)?;
        Ok(Self::Automaton(automaton))
    }

    fn find(&self, haystack: &[u8], rest: Span) -> Option<Match> {
        match self {
            Self::Vectors(searcher) => searcher.find_in(haystack, rest),
            Self::Automaton(automaton) => automaton.find(Input::new(haystack).span(rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// The places of texts, found by comparing at every place.
    fn places(texts: &[String], haystack: &[u8]) -> Vec<(usize, usize)> {
        let at = |start| {
            let rest = &haystack[start..];
            let texts = texts.iter().enumerate();
            texts.filter_map(move |(number, text)| {
                rest.starts_with(text.as_bytes()).then_some((start, number))
            })
        };
        (0..haystack.len()).flat_map(at).collect()
    }

    /// What both searches find.
    fn found(texts: &[String], haystack: &[u8]) -> Vec<(usize, usize)> {
        let [vectors, automaton] = [NeedleSearch::new, NeedleSearch::automaton].map(|search| {
            let mut found = Vec::new();
            let needles = Needles::with_search(texts, search).unwrap();
            let Ok::<(), Infallible>(()) = needles.each(haystack, |start, number| {
                found.push((start, number));
                Ok(())
            });
            found.sort_unstable();
            found
        });
        assert_eq!(vectors, automaton);
        vectors
    }

    #[test]
    fn texts_that_overlap_are_all_found() {
        let texts = ["uth_t", "tvly-", "tvl", "tvly", "aaaa", "tvly-"].map(str::to_owned);
        for text in ["auth_tvly-1", "aaaaaaa", "tvl", "xtvly", "", "\0tvl\0"] {
            for before in 0..70 {
                let haystack = format!("{}{text}", "_".repeat(before));
                let haystack = haystack.as_bytes();
                assert_eq!(
                    found(&texts, haystack),
                    places(&texts, haystack),
                    "{before} {text}"
                );
            }
        }
    }

    #[test]
    fn any_number_of_texts_of_any_length_is_found() {
        let texts: Vec<String> = (0..400)
            .map(|number| format!("{}{number}", "n".repeat(3 + number % 3)))
            .collect();
        let haystack = texts.iter().rev().cloned().collect::<Vec<_>>().join(" ");
        let haystack = haystack.as_bytes();
        for some in [1, 2, 16, 17, 119, 120, 121, 400] {
            let texts = &texts[..some];
            assert_eq!(found(texts, haystack), places(texts, haystack), "{some}");
        }
    }
}
