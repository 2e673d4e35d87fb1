//! Patterns of texts: `*` matches anything, all else matches itself.

/// A pattern such as `handoff to *`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The texts around each `*`; one text if there is none.
    parts: Vec<String>,
}

impl Pattern {
    /// Reads a pattern. Every text is one.
    pub fn new(text: &str) -> Self {
        let parts = text.split('*').map(str::to_owned).collect();
        Self { parts }
    }

    /// Whether it has no `*`.
    pub fn is_literal(&self) -> bool {
        self.parts.len() == 1
    }

    /// The number of bytes that match themselves. The longer one of two matching
    /// patterns is the more specific one.
    pub fn specificity(&self) -> usize {
        self.parts.iter().map(String::len).sum()
    }

    /// Whether the pattern matches the whole text.
    pub fn matches(&self, text: &str) -> bool {
        self.scan(text, |_| ())
    }

    /// What each `*` matched. `None` if the pattern does not match. Each `*`
    /// but the last matches as little as possible.
    pub fn captures<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        let mut captured = Vec::new();
        self.scan(text, |part| captured.push(part))
            .then_some(captured)
    }

    fn scan<'t>(&self, text: &'t str, mut capture: impl FnMut(&'t str)) -> bool {
        let [first, rest @ ..] = &*self.parts else {
            return false;
        };
        let Some(mut left) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        let [middle @ .., last] = rest else {
            return left.is_empty();
        };
        for part in middle {
            let Some((captured, after)) = left.split_once(part.as_str()) else {
                return false;
            };
            capture(captured);
            left = after;
        }
        let Some(captured) = left.strip_suffix(last.as_str()) else {
            return false;
        };
        capture(captured);
        true
    }
}

/// A list of patterns. A pattern that begins with `!` excludes what it matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatternList {
    included: Vec<Pattern>,
    excluded: Vec<Pattern>,
}

impl PatternList {
    /// Reads a list.
    pub fn new<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut list = Self::default();
        for text in texts {
            match text.strip_prefix('!') {
                Some(excluded) => list.excluded.push(Pattern::new(excluded)),
                None => list.included.push(Pattern::new(text)),
            }
        }
        list
    }

    /// Whether it has no patterns.
    pub fn is_empty(&self) -> bool {
        self.included.is_empty() && self.excluded.is_empty()
    }

    /// Whether no pattern excludes the text, and one includes it or none includes
    /// anything.
    pub fn matches(&self, text: &str) -> bool {
        let one_of = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(text));
        !one_of(&self.excluded) && (self.included.is_empty() || one_of(&self.included))
    }

    /// What each `*` of the first matching pattern matched.
    pub fn captures<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        if !self.matches(text) {
            return None;
        }
        let mut included = self.included.iter();
        Some(
            included
                .find_map(|pattern| pattern.captures(text))
                .unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_anything() {
        let matches = |pattern: &str, text| Pattern::new(pattern).matches(text);
        assert!(matches("a.b", "a.b") && !matches("a.b", "a.bc") && !matches("a.b", "xa.b"));
        assert!(matches("a.*", "a.") && matches("a.*", "a.b.c") && !matches("a.*", "a"));
        assert!(matches("*.run", "X.run") && !matches("*.run", "X.run.y"));
        assert!(matches("ai.*.do*", "ai.streamText.doStream"));
        assert!(!matches("ab*ba", "aba"));
        assert!(matches("", "") && !matches("", "a") && matches("*", ""));
    }

    #[test]
    fn stars_capture_what_they_match() {
        let captures = |pattern: &str, text| Pattern::new(pattern).captures(text);
        assert_eq!(captures("handoff to *", "handoff to B"), Some(vec!["B"]));
        assert_eq!(
            captures("*name='*'*", "x name='a' b='c'"),
            Some(vec!["x ", "a", " b='c'"])
        );
        assert_eq!(captures("a", "a"), Some(vec![]));
        assert_eq!(captures("a", "b"), None);
    }

    #[test]
    fn a_list_can_exclude() {
        let list = PatternList::new(["ai.*", "!*.do*"]);
        assert!(list.matches("ai.generateText") && !list.matches("ai.generateText.doGenerate"));
        assert!(PatternList::new(["!a"]).matches("b") && !PatternList::new(["!a"]).matches("a"));
        assert_eq!(
            PatternList::new(["x *", "y *"]).captures("y 1"),
            Some(vec!["1"])
        );
    }
}
