//! Finds spans that look like a model's or an agent's work but were not
//! understood. A run with such a span says so.

use super::class::ClassReason;
use super::dialects::{Classification, SpanClass};
use super::facts::SpanFacts;
use super::slots::Slot;
use super::value;
use crate::ingest::otlp::wire::{AnyValue, KeyValue};

/// The kind of a step whose span was not understood.
pub const NOT_UNDERSTOOD: &str = "not_understood";

/// Whether a span looks like the work of a model, a tool or an agent, although
/// neither a word nor its facts tell which.
pub fn is_not_understood(
    facts: &SpanFacts<'_>,
    classification: &Classification,
    reason: ClassReason<'_>,
) -> bool {
    let undecided = matches!(reason, ClassReason::UnknownWord(_) | ClassReason::Nothing);
    let nowhere = matches!(
        classification.class,
        SpanClass::Foreign | SpanClass::Workflow | SpanClass::Other
    );
    // The words of a known SDK are known: its other spans are no calls.
    let known_sdk = !facts.dialect.is_convention() && !facts.dialect.is_unknown();
    undecided && nowhere && (states_work(facts) || !known_sdk && looks_like_work(facts))
}

/// Whether it states what only calls have.
fn states_work(facts: &SpanFacts<'_>) -> bool {
    const OF_CALLS: [Slot; 7] = [
        Slot::UsageInput,
        Slot::UsageOutput,
        Slot::UsageJson,
        Slot::ResponseModel,
        Slot::ResponseText,
        Slot::ToolName,
        Slot::ToolCallId,
    ];
    // Other work than an agent's may have a `model` too.
    let names_model = facts.agentic && facts.has(Slot::RequestModel);
    names_model || OF_CALLS.into_iter().any(|slot| facts.has(slot))
}

/// Whether the words of an unknown key are those of model calls.
fn looks_like_work(facts: &SpanFacts<'_>) -> bool {
    facts
        .kept_attributes
        .iter()
        .any(|attribute| is_sign(facts, attribute))
}

fn is_sign(facts: &SpanFacts<'_>, attribute: &KeyValue<'_>) -> bool {
    let Some(value) = &attribute.value else {
        return false;
    };
    let parts = attribute.key.split(|c: char| !c.is_ascii_alphanumeric());
    parts.into_iter().any(|part| {
        let part = part.to_ascii_lowercase();
        facts.dialects.is_sign(&part) && fits(&part, value)
    })
}

/// Whether a value is what its word says: tokens are a number.
fn fits(word: &str, value: &AnyValue<'_>) -> bool {
    !word.starts_with("token") || value::count(value).is_some()
}
