//! The kinds of work, and the words with which a dialect names them.

use std::borrow::Cow;

use super::key_hash::KeyMap;
use super::pattern::Pattern;

/// The kind of work that a span describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanClass {
    /// A call of a model. Only model and embedding calls use tokens.
    Llm,
    /// A call of an embedding model.
    Embedding,
    /// A call of a tool.
    Tool,
    /// An agent.
    Agent,
    /// A handoff from one agent to another, which has a span of its own.
    Transfer,
    /// A span that groups others: a workflow, a chain, a span of the application.
    Workflow,
    /// Any other work of an agent.
    Other,
    /// Work that is not an agent's: web, databases, queues.
    Foreign,
    /// A span that only builds or announces something. It does no work.
    Ghost,
}

/// A class and the more specific kind that the source names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classification {
    /// The class.
    pub class: SpanClass,
    /// The value of `agent_steps.kind`.
    pub kind: Option<Cow<'static, str>>,
}

impl Classification {
    /// A class without a more specific kind.
    pub fn of(class: SpanClass) -> Self {
        Self { class, kind: None }
    }

    /// A class and one of our kinds.
    pub fn with_kind(class: SpanClass, kind: &'static str) -> Self {
        Self {
            class,
            kind: Some(kind.into()),
        }
    }

    /// A class and a kind in the words of the source.
    pub fn with_source_kind(class: SpanClass, kind: String) -> Self {
        Self {
            class,
            kind: Some(kind.into()),
        }
    }

    /// A span that says nothing about its kind: one of the application.
    pub fn span() -> Self {
        Self::with_kind(SpanClass::Workflow, "span")
    }
}

/// A kind of work as a dialect file writes it: `llm`, `step/retriever`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedKind {
    class: SpanClass,
    kind: KindText,
    /// The kind is the word of spans that say nothing: other evidence decides.
    pub says_nothing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum KindText {
    /// The kind that the class has by itself.
    OfClass(Option<&'static str>),
    /// The word, in lower case.
    Word,
    /// What the first `*` of the word's pattern matched.
    Captured,
    Fixed(String),
}

impl NamedKind {
    /// The classes in dialect files, with the kind that each has by itself.
    const CLASSES: [(&'static str, SpanClass, KindText); 10] = [
        ("llm", SpanClass::Llm, KindText::OfClass(None)),
        (
            "embedding",
            SpanClass::Embedding,
            KindText::OfClass(Some("embedding")),
        ),
        ("tool", SpanClass::Tool, KindText::OfClass(None)),
        ("agent", SpanClass::Agent, KindText::OfClass(None)),
        (
            "handoff",
            SpanClass::Transfer,
            KindText::OfClass(Some("handoff")),
        ),
        (
            "workflow",
            SpanClass::Workflow,
            KindText::OfClass(Some("workflow")),
        ),
        ("step", SpanClass::Other, KindText::Word),
        ("span", SpanClass::Workflow, KindText::OfClass(Some("span"))),
        ("foreign", SpanClass::Foreign, KindText::OfClass(None)),
        ("ghost", SpanClass::Ghost, KindText::OfClass(None)),
    ];

    /// Reads `CLASS` or `CLASS/KIND`. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, kind) = match text.split_once('/') {
            Some((name, kind)) => (name, Some(kind)),
            None => (text, None),
        };
        let known = Self::CLASSES.into_iter().find(|(known, ..)| *known == name);
        let Some((_, class, own)) = known else {
            let names = Self::CLASSES.map(|(name, ..)| name).join(", ");
            return Err(format!(
                "unknown kind of work `{name}`, expected one of {names}"
            ));
        };
        let kind = match kind {
            None => own,
            Some("") => return Err(format!("`{text}` names no kind")),
            Some("$1") => KindText::Captured,
            Some(kind) => KindText::Fixed(kind.to_owned()),
        };
        Ok(Self {
            class,
            kind,
            says_nothing: name == "span",
        })
    }

    /// The classification of a span with this word, of which the pattern's first
    /// `*` matched `captured`.
    pub fn classify(&self, word: Option<&str>, captured: Option<&str>) -> Classification {
        let kind = match &self.kind {
            KindText::OfClass(kind) => kind.map(Cow::Borrowed),
            KindText::Word => word.map(|word| word.to_ascii_lowercase().into()),
            KindText::Captured => captured.map(|text| text.to_owned().into()),
            KindText::Fixed(kind) => Some(kind.clone().into()),
        };
        Classification {
            class: self.class,
            kind,
        }
    }
}

/// The words of a dialect and the kinds of work that they name.
#[derive(Debug, Default)]
pub struct WordTable {
    /// By word in lower case.
    exact: KeyMap<NamedKind>,
    /// In lower case, the most specific first.
    patterns: Vec<(Pattern, NamedKind)>,
}

impl WordTable {
    /// Adds a word. Returns the kind that it had before.
    pub fn add(&mut self, word: &str, kind: NamedKind) -> Option<NamedKind> {
        let word = word.to_ascii_lowercase();
        let pattern = Pattern::new(&word);
        if pattern.is_literal() {
            return self.exact.insert(word, kind);
        }
        let at = self
            .patterns
            .partition_point(|(other, _)| other.specificity() >= pattern.specificity());
        self.patterns.insert(at, (pattern, kind));
        None
    }

    /// The kind of a word, and whether evidence decides before it.
    pub fn classify(&self, word: &str) -> Option<(Classification, bool)> {
        let lower = lower(word);
        if let Some(kind) = self.exact.get(&*lower) {
            return Some((kind.classify(Some(word), None), kind.says_nothing));
        }
        // The captured text keeps its case.
        self.patterns.iter().find_map(|(pattern, kind)| {
            let captured = pattern.captures(&lower)?;
            let at = captured
                .first()
                .map_or(0, |part| part.as_ptr() as usize - lower.as_ptr() as usize);
            let text = captured.first().map(|part| &word[at..at + part.len()]);
            Some((kind.classify(Some(word), text), kind.says_nothing))
        })
    }
}

/// A word in lower case.
pub fn lower(word: &str) -> Cow<'_, str> {
    if word.bytes().any(|byte| byte.is_ascii_uppercase()) {
        word.to_ascii_lowercase().into()
    } else {
        word.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> WordTable {
        let mut table = WordTable::default();
        for (word, kind) in [
            ("CHAIN", "workflow/chain"),
            ("lookup", "step"),
            ("default", "span"),
            ("ai.*", "workflow/$1"),
            ("ai.*.do*", "llm"),
        ] {
            assert_eq!(table.add(word, NamedKind::parse(kind).unwrap()), None);
        }
        table
    }

    #[test]
    fn words_name_kinds() {
        let table = table();
        let of = |word| {
            table
                .classify(word)
                .map(|(found, _)| (found.class, found.kind))
        };
        assert_eq!(
            of("Chain"),
            Some((SpanClass::Workflow, Some("chain".into())))
        );
        assert_eq!(
            of("LOOKUP"),
            Some((SpanClass::Other, Some("lookup".into())))
        );
        assert_eq!(
            of("ai.generateText"),
            Some((SpanClass::Workflow, Some("generateText".into())))
        );
        assert_eq!(
            of("ai.generateText.doGenerate"),
            Some((SpanClass::Llm, None))
        );
        assert_eq!(of("other"), None);
        assert!(table.classify("DEFAULT").unwrap().1 && !table.classify("chain").unwrap().1);
    }

    #[test]
    fn a_wrong_kind_is_refused() {
        for wrong in ["model", "", "step/", "/x"] {
            assert!(NamedKind::parse(wrong).is_err(), "{wrong}");
        }
    }
}
