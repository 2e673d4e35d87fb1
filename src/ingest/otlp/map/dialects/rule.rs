//! The rules of a dialect, for spans that words and evidence do not describe.

use super::complaint::Complaint;
use super::file::{Containing, FileRule, RuleRun, RuleView, Texts};
use super::kind::NamedKind;
use super::pattern::PatternList;
use super::source::JsonPath;
use crate::ingest::otlp::map::slots::Slot;

/// A rule: conditions, and what it says of the spans that meet all of them.
#[derive(Debug)]
#[allow(missing_docs)] // the fields are those of `[[rules]]` in a file
pub struct Rule {
    pub names: PatternList,
    pub scopes: PatternList,
    /// In lower case.
    pub kinds: PatternList,
    pub has: Vec<FactRef>,
    pub lacks: Vec<FactRef>,
    pub equals: Vec<(FactRef, EqualTo)>,
    pub root: Option<bool>,
    pub is: Option<NamedKind>,
    pub set: Vec<(Slot, SetTo)>,
    pub lesser_view: bool,
    pub run_of_response: bool,
    pub messages_in_logs: bool,
    pub weak_name: bool,
    pub cached: Option<Containing>,
}

/// A fact in a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactRef {
    /// A fact, whatever key states it.
    Fact(Slot),
    /// The attribute with this key.
    Key(String),
}

/// What a fact must equal.
#[derive(Debug)]
pub enum EqualTo {
    /// The name of the span.
    SpanName,
    /// One of these.
    Patterns(PatternList),
}

/// The value of a fact that a rule sets.
#[derive(Debug)]
pub enum SetTo {
    /// A fixed text.
    Text(String),
    /// What the `*` with this index matched.
    Captured(usize),
    /// Inside the JSON of another fact.
    Inside(Slot, JsonPath),
}

impl FactRef {
    fn parse(text: &str) -> Result<Self, String> {
        match Slot::named(text) {
            Some(slot) => Ok(Self::Fact(slot)),
            None if text.contains('.') => Ok(Self::Key(text.to_owned())),
            None => Err(format!("unknown fact `{text}`")),
        }
    }
}

impl SetTo {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(number) = text.strip_prefix('$') {
            return match number.parse::<usize>() {
                Ok(number) if number > 0 => Ok(Self::Captured(number - 1)),
                _ => Err(format!("`{text}` is not $1, $2 …")),
            };
        }
        match text.split_once('#') {
            Some((fact, path)) => match Slot::named(fact) {
                Some(slot) => Ok(Self::Inside(slot, JsonPath::parse(path)?)),
                None => Err(format!("unknown fact `{fact}`")),
            },
            None => Ok(Self::Text(text.to_owned())),
        }
    }
}

impl Rule {
    /// Checks and reads a rule of a file.
    pub fn compile(file: FileRule) -> Result<Self, Complaint> {
        let facts = |texts: Option<toml::Spanned<Texts>>| -> Result<Vec<FactRef>, Complaint> {
            let Some(texts) = texts else {
                return Ok(Vec::new());
            };
            let span = texts.span();
            let read = texts.get_ref().iter().map(FactRef::parse);
            read.collect::<Result<_, _>>()
                .map_err(|reason| Complaint::at(&span, reason))
        };
        let mut equals = Vec::new();
        for (fact, texts) in file.equals {
            let fact_ref = FactRef::parse(fact.get_ref()).map_err(|e| Complaint::of(&fact, e))?;
            let is_name = texts.0.as_slice() == ["$name"];
            let to = if is_name {
                EqualTo::SpanName
            } else {
                EqualTo::Patterns(PatternList::new(texts.iter()))
            };
            equals.push((fact_ref, to));
        }
        let mut set = Vec::new();
        for (fact, to) in file.set {
            let Some(slot) = Slot::named(fact.get_ref()) else {
                return Err(Complaint::of(
                    &fact,
                    format!("unknown fact `{}`", fact.get_ref()),
                ));
            };
            set.push((
                slot,
                SetTo::parse(to.get_ref()).map_err(|e| Complaint::of(&to, e))?,
            ));
        }
        let is = match file.is {
            Some(is) => Some(NamedKind::parse(is.get_ref()).map_err(|e| Complaint::of(&is, e))?),
            None => None,
        };
        let kinds: Vec<_> = file.kind.iter().map(str::to_ascii_lowercase).collect();
        Ok(Self {
            names: PatternList::new(file.name.iter()),
            scopes: PatternList::new(file.scope.iter()),
            kinds: PatternList::new(kinds.iter().map(String::as_str)),
            has: facts(file.has)?,
            lacks: facts(file.lacks)?,
            equals,
            root: file.root,
            is,
            set,
            lesser_view: file.view == Some(RuleView::Lesser),
            run_of_response: file.run == Some(RuleRun::ResponseId),
            messages_in_logs: file.messages_in_logs,
            weak_name: file.weak_name,
            cached: file.cached,
        })
    }

    /// Whether it has no condition: it would decide about every span.
    pub fn is_unconditional(&self) -> bool {
        self.names.is_empty()
            && self.scopes.is_empty()
            && self.kinds.is_empty()
            && self.has.is_empty()
            && self.lacks.is_empty()
            && self.equals.is_empty()
            && self.root.is_none()
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.is.is_none()
            && self.set.is_empty()
            && !self.lesser_view
            && !self.run_of_response
            && !self.messages_in_logs
            && !self.weak_name
            && self.cached.is_none()
    }
}
