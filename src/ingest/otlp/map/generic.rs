//! Reads attributes of no dialect by the words at the end of their keys, and by
//! what their values look like.
//!
//! The words are data (`generic.toml`). What a value looks like is no word.

use super::dialects::FilledSlot;
use super::facts::SpanFacts;
use super::slots::Slot;
use super::value;
use crate::ingest::otlp::wire::{AnyValue, KeyValue};

/// The longest text that is a name: of a model, a tool or an agent.
const MAX_NAME_BYTES: usize = 200;
/// The most words at the end of a key that are tried.
const MAX_WORDS: usize = 5;
/// Words before a fact that make it another one: `max_output_tokens` is a limit,
/// `previous_response_id` is the id of another call.
const QUALIFIERS: [&str; 16] = [
    "available",
    "budget",
    "default",
    "estimated",
    "last",
    "limit",
    "max",
    "maximum",
    "min",
    "minimum",
    "next",
    "parent",
    "prev",
    "previous",
    "remaining",
    "target",
];

/// Fills slots that no known key fills.
pub fn add_facts(facts: &mut SpanFacts<'_>) {
    let candidates: Vec<&KeyValue<'_>> = facts.kept_attributes.clone();
    for attribute in candidates {
        let Some(value) = &attribute.value else {
            continue;
        };
        let by_key = by_words(facts, attribute.key);
        let filled = by_key.or_else(|| by_look(facts, attribute.key, value));
        let Some(filled) = filled.filter(|filled| fits(filled.slot, value)) else {
            continue;
        };
        // The attribute stays in the metadata: this is a guess.
        if !facts.has(filled.slot) {
            facts.fill(filled, attribute.key, value, None);
        }
    }
}

/// The slot that the words at the end of a key name: `acme.llm.inputTokens` ends
/// in `input_tokens`, `x.usage.input` in `usage.input`. A single word must be the
/// whole last part of the key.
fn by_words(facts: &SpanFacts<'_>, key: &str) -> Option<FilledSlot> {
    let dialects = facts.dialects;
    let key = snake_case(key);
    let (before, last) = match key.rsplit_once('.') {
        Some((before, last)) => (Some(before), last),
        None => (None, &*key),
    };
    if let Some(before) = before {
        let parent = before.rsplit('.').next().unwrap_or_default();
        let two = &key[key.len() - last.len() - 1 - parent.len()..];
        if let Some(filled) = dialects.of_suffix(two) {
            return Some(filled);
        }
    }
    if let Some(filled) = dialects.of_suffix(last) {
        return Some(filled);
    }
    if last.split('_').any(|word| QUALIFIERS.contains(&word)) {
        return None;
    }
    let starts = last.match_indices('_').map(|(at, _)| at + 1);
    let suffixes = starts.map(|at| &last[at..]).take(MAX_WORDS);
    suffixes
        .filter(|suffix| suffix.contains('_'))
        .find_map(|suffix| dialects.of_suffix(suffix))
}

/// The slot that a value fills by what it looks like: messages or a usage object.
fn by_look(facts: &SpanFacts<'_>, key: &str, value: &AnyValue<'_>) -> Option<FilledSlot> {
    let AnyValue::String(text) = value else {
        return None;
    };
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let has = |word: &str| text.contains(word);
    let slot = if has("\"role\"") && (has("\"content\"") || has("\"parts\"")) {
        let key = key.to_ascii_lowercase();
        let words = [
            "output",
            "response",
            "completion",
            "answer",
            "reply",
            "result",
        ];
        if words.iter().any(|word| key.contains(word)) {
            Slot::OutputMessages
        } else {
            Slot::InputMessages
        }
    } else if has("_tokens\"") || has("Tokens\"") || has("TokenCount\"") {
        Slot::UsageJson
    } else {
        return None;
    };
    Some(FilledSlot {
        slot,
        preference: u32::MAX,
        dialect: facts.dialects.unknown().index,
    })
}

/// Whether a value can be that of a slot.
fn fits(slot: Slot, value: &AnyValue<'_>) -> bool {
    match slot {
        Slot::UsageInput
        | Slot::UsageOutput
        | Slot::UsageTotal
        | Slot::UsageCacheRead
        | Slot::UsageCacheWrite
        | Slot::UsageReasoning => value::count(value).is_some(),
        Slot::InputMessages | Slot::OutputMessages => match value {
            AnyValue::String(text) => text.starts_with(['{', '[']),
            other => matches!(other, AnyValue::Array(_) | AnyValue::Kvlist(_)),
        },
        Slot::RequestModel
        | Slot::ResponseModel
        | Slot::ToolName
        | Slot::ToolCallId
        | Slot::AgentName
        | Slot::Session => match value {
            AnyValue::String(text) => {
                !text.is_empty() && text.len() <= MAX_NAME_BYTES && !text.contains(['{', '\n'])
            }
            _ => false,
        },
        _ => true,
    }
}

/// A key in lower case, with `_` between words and `.` between parts.
fn snake_case(key: &str) -> String {
    let mut snake = String::with_capacity(key.len() + 4);
    let mut after_lower = false;
    for character in key.chars() {
        match character {
            '-' | ' ' => snake.push('_'),
            '/' | ':' => snake.push('.'),
            _ => {
                if character.is_ascii_uppercase() && after_lower {
                    snake.push('_');
                }
                snake.push(character.to_ascii_lowercase());
            }
        }
        after_lower = character.is_ascii_lowercase() || character.is_ascii_digit();
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::super::dialects::Dialects;
    use super::super::facts::SpanScope;
    use super::super::scratch::{ParsedAttributes, Scratch};
    use super::*;
    use crate::ingest::otlp::wire::Span;

    #[test]
    fn a_limit_is_no_count() {
        let dialects = Dialects::built_in();
        let parsed = ParsedAttributes::default();
        let scratch = Scratch::new(&parsed);
        let slots = |key| {
            let span = Span {
                attributes: vec![KeyValue {
                    key,
                    value: Some(AnyValue::Int(7)),
                }],
                ..Span::default()
            };
            let facts = SpanFacts::read(&span, SpanScope::new(&dialects, ""), None, &scratch);
            facts.has(Slot::UsageOutput)
        };
        assert!(slots("acme.llm_output_tokens"));
        assert!(slots("acme.outputTokens"));
        assert!(!slots("acme.max_output_tokens"));
        assert!(!slots("acme.settings.maxOutputTokens"));
    }

    #[test]
    fn keys_become_words() {
        assert_eq!(snake_case("acme.inputTokens"), "acme.input_tokens");
        assert_eq!(snake_case("x/Tool-Name"), "x.tool_name");
        assert_eq!(snake_case("LLMModel"), "llmmodel");
    }
}
