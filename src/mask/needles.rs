//! Finds many fixed texts in few passes.

use std::collections::BTreeMap;

use aho_corasick::packed::{Config, MatchKind as PackedMatchKind, Searcher};
use aho_corasick::{AhoCorasick, BuildError, Input, Match, MatchKind, PatternID, Span};

/// The vectorised search takes fewer texts than this at a time.
const MAX_PER_PASS: usize = 120;
/// The vectorised search compares at most so many bytes at first. Shorter texts have a pass of their own, because the
/// shortest text of a pass decides how many bytes are compared.
const COMPARED_BYTES: usize = 4;
/// The vectorised search puts texts into so many groups in turn, and compares with all texts of a group at a time.
const GROUPS: usize = 16;
/// The vectorised search takes no less than a vector and what is compared; shorter text is searched slowly.
const FAST_BYTES: usize = 32 + COMPARED_BYTES;

/// Fixed texts to find, and numbers that stand for them.
#[derive(Clone, Debug)]
pub(super) struct Needles {
    passes: Vec<NeedlePass>,
}

/// The texts that are searched at a time.
#[derive(Clone, Debug)]
struct NeedlePass {
    search: NeedleSearch,
    /// For each text its numbers, and those of all texts that it begins with.
    numbers: Vec<Vec<usize>>,
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
        search: impl Fn(&[&str]) -> Result<NeedleSearch, BuildError>,
    ) -> Result<Self, BuildError> {
        let mut numbers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (number, text) in texts.into_iter().enumerate() {
            numbers.entry(text).or_default().push(number);
        }
        let is_short = |text: &&str| text.len() < COMPARED_BYTES;
        let (short, long): (Vec<&str>, Vec<&str>) = numbers.keys().copied().partition(is_short);
        let passes = long.chunks(MAX_PER_PASS).chain(short.chunks(MAX_PER_PASS));
        let pass = |texts: &[&str]| {
            let texts = in_groups(texts);
            let numbers_of = |text: &&str| {
                let begins = texts.iter().filter(|start| text.starts_with(**start));
                let numbers = begins.filter_map(|start| numbers.get(start));
                numbers.flatten().copied().collect()
            };
            Ok(NeedlePass {
                numbers: texts.iter().map(numbers_of).collect(),
                search: search(&texts)?,
            })
        };
        Ok(Self {
            passes: passes.map(pass).collect::<Result<_, _>>()?,
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
            let mut rest = Span::from(0..searched.len());
            while let Some(found) = pass.search.find(searched, rest) {
                if found.end() > haystack.len() {
                    break;
                }
                for number in pass.numbers_of(found.pattern()) {
                    take(found.start(), *number)?;
                }
                rest.start = found.start() + 1;
            }
        }
        Ok(())
    }
}

impl NeedlePass {
    fn numbers_of(&self, pattern: PatternID) -> &[usize] {
        let numbers = self.numbers.get(pattern.as_usize());
        numbers.map_or(&[], Vec::as_slice)
    }
}

impl NeedleSearch {
    fn new(texts: &[&str]) -> Result<Self, BuildError> {
        let mut config = Config::new();
        config
            .match_kind(PackedMatchKind::LeftmostLongest)
            .heuristic_pattern_limits(false);
        match config.builder().extend(texts).build() {
            Some(searcher) => Ok(Self::Vectors(searcher)),
            None => Self::automaton(texts),
        }
    }

    fn automaton(texts: &[&str]) -> Result<Self, BuildError> {
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

/// An order in which texts of a group are neighbours by the alphabet: the more alike they are, the less else is taken for
/// one of them at first.
fn in_groups<'a>(sorted: &[&'a str]) -> Vec<&'a str> {
    let (per_group, more) = (sorted.len() / GROUPS, sorted.len() % GROUPS);
    let member = |group: usize, turn| {
        sorted
            .get(group * per_group + group.min(more) + turn)
            .copied()
    };
    let turns = (0..per_group).flat_map(|turn| (0..GROUPS).map(move |group| (group, turn)));
    let last = (0..more).map(|group| (group, per_group));
    turns
        .chain(last)
        .filter_map(|(group, turn)| member(group, turn))
        .collect()
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
