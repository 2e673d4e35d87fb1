//! Classifies spans by the kind of work that they describe.

pub use super::dialects::{Classification, SpanClass};
use super::facts::SpanFacts;
use super::lang_graph;
use super::slots::{ConversationSide, Slot};
use crate::ingest::otlp::wire::Span;

/// Why a span has its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassReason<'a> {
    /// It is LangGraph's node of one tool call.
    CallNode,
    /// A rule of a dialect.
    Rule,
    /// A word that names the kind.
    Word(&'a str),
    /// What the span states.
    Evidence,
    /// A word that no dialect knows, and no evidence.
    UnknownWord(&'a str),
    /// Nothing of an agent's work.
    Nothing,
}

/// The class of a span.
#[derive(Clone, Debug)]
pub struct ClassifiedSpan<'a> {
    /// The class and its kind.
    pub classification: Classification,
    /// Why it is of this class.
    pub reason: ClassReason<'a>,
    /// The word for its kind, if no dialect knows it.
    pub unknown_word: Option<&'a str>,
}

/// Classifies a span and says why: by a rule of its dialects, else by a word that
/// names its kind, else by what the span states. A word that no dialect knows
/// hides nothing: it decides last.
pub fn classify_with_reason<'a>(facts: &SpanFacts<'a>) -> ClassifiedSpan<'a> {
    let named = by_words(facts);
    let unknown_word = named.unknown;
    let (classification, reason) = classify(facts, named);
    ClassifiedSpan {
        classification,
        reason,
        unknown_word,
    }
}

fn classify<'a>(
    facts: &SpanFacts<'a>,
    named: NamedByWords<'a>,
) -> (Classification, ClassReason<'a>) {
    if lang_graph::is_call_node(facts) {
        return (Classification::of(SpanClass::Tool), ClassReason::CallNode);
    }
    if let Some(ruled) = &facts.ruled.class {
        return (ruled.clone(), ClassReason::Rule);
    }
    if let Some((decided, word)) = named.decided {
        return (decided, ClassReason::Word(word));
    }
    if let Some(evident) = by_evidence(facts) {
        let word = named.unknown.map(|word| word.to_ascii_lowercase().into());
        let kind = evident.kind.or(word);
        return (Classification { kind, ..evident }, ClassReason::Evidence);
    }
    if let Some(word) = named.says_nothing {
        return (Classification::span(), ClassReason::Word(word));
    }
    if let Some(word) = named.unknown {
        let kind = word.to_ascii_lowercase();
        let class = Classification::with_source_kind(SpanClass::Other, kind);
        return (class, ClassReason::UnknownWord(word));
    }
    (fallback(facts), ClassReason::Nothing)
}

/// What the words of a span name.
#[derive(Default)]
struct NamedByWords<'a> {
    /// The kind of work, by the best word that is known.
    decided: Option<(Classification, &'a str)>,
    /// A known word says that the span is any span.
    says_nothing: Option<&'a str>,
    /// The best word that is not known.
    unknown: Option<&'a str>,
}

fn by_words<'a>(facts: &SpanFacts<'a>) -> NamedByWords<'a> {
    let mut named = NamedByWords::default();
    let dialects = facts.dialects;
    for (index, word) in &facts.kinds {
        let known = facts
            .dialect
            .words
            .classify(word)
            .or_else(|| dialects.get(*index).words.classify(word))
            .or_else(|| dialects.conventions().words.classify(word));
        match known {
            Some((_, true)) => named.says_nothing = named.says_nothing.or(Some(word)),
            Some((classification, false)) => {
                named.decided = Some((classification, word));
                break;
            }
            None => named.unknown = named.unknown.or(Some(word)),
        }
    }
    named
}

/// The class that the facts of the span imply.
fn by_evidence(facts: &SpanFacts<'_>) -> Option<Classification> {
    let has = |slot| facts.has(slot);
    if has(Slot::ToolArguments) || has(Slot::ToolResult) {
        return Some(Classification::of(SpanClass::Tool));
    }
    let model = has(Slot::RequestModel) || has(Slot::ResponseModel);
    let spoke = has(Slot::OutputMessages) || facts.has_indexed_messages(ConversationSide::Output);
    let asked = has(Slot::InputMessages) || facts.has_indexed_messages(ConversationSide::Input);
    let used = has(Slot::UsageInput) || has(Slot::UsageOutput) || has(Slot::UsageJson);
    // A call that failed may tell no more than its model: it has neither usage nor answer.
    let calls_out = facts.agentic && facts.span.kind == Span::KIND_CLIENT;
    if (model || asked) && used
        || model && (asked || spoke || calls_out)
        || asked && spoke && has(Slot::ResponseId)
    {
        return Some(Classification::of(SpanClass::Llm));
    }
    let named_in_span = |slot| {
        let name = facts.text(slot);
        name.is_some_and(|name| facts.span.name.contains(&*name))
    };
    let has_result = has(Slot::ToolCallId) || has(Slot::Input) || has(Slot::Output);
    if has(Slot::ToolName) && (has_result || named_in_span(Slot::ToolName)) {
        return Some(Classification::of(SpanClass::Tool));
    }
    let is_agent = named_in_span(Slot::AgentName) || facts.span.name.starts_with("invoke_agent");
    if has(Slot::AgentName) && is_agent {
        return Some(Classification::of(SpanClass::Agent));
    }
    None
}

fn fallback(facts: &SpanFacts<'_>) -> Classification {
    // Other kinds are the ends of remote calls and queues.
    let remote = facts.span.kind > Span::KIND_INTERNAL;
    if !facts.agentic && (remote || facts.is_foreign()) {
        return Classification::of(SpanClass::Foreign);
    }
    // A span of the application.
    Classification::span()
}
