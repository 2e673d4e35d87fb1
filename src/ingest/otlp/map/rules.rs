//! Applies the rules of its dialects to a span.

use std::borrow::Cow;

use super::dialects::{Dialect, EqualTo, FactRef, FilledSlot, Rule, SetTo, lower};
use super::facts::SpanFacts;
use super::scratch::Scratch;
use super::slots::{ConversationSide, Slot};
use super::value;

/// Applies the rules of the span's dialect, of the dialects whose words it has,
/// and of the conventions. The first rule that names a kind of work decides
/// about it.
pub fn apply<'v: 'a, 'a>(facts: &mut SpanFacts<'a>, scratch: &'a Scratch<'v>) {
    let dialects = facts.dialects;
    let mut of = vec![facts.dialect.index];
    of.extend(facts.kinds.iter().map(|(dialect, _)| *dialect));
    of.push(dialects.conventions().index);
    let kinds = facts.kinds.iter();
    let kinds: Vec<_> = kinds.map(|(_, word)| lower(word)).collect();
    for (at, index) in of.iter().enumerate() {
        if of[..at].contains(index) {
            continue;
        }
        let dialect = dialects.get(*index);
        for rule in &dialect.rules {
            apply_rule(rule, dialect, &kinds, facts, scratch);
        }
    }
}

fn apply_rule<'v: 'a, 'a>(
    rule: &'a Rule,
    dialect: &Dialect,
    kinds: &[Cow<'_, str>],
    facts: &mut SpanFacts<'a>,
    scratch: &'a Scratch<'v>,
) {
    if rule.is.is_some() && facts.ruled.class.is_some() {
        return;
    }
    let Some(captured) = matched(rule, kinds, facts) else {
        return;
    };
    if let Some(kind) = &rule.is {
        let word = facts.kinds.first().map(|(_, word)| *word);
        facts.ruled.class = Some(kind.classify(word, captured.first().copied()));
    }
    facts.ruled.lesser_view |= rule.lesser_view;
    facts.ruled.run_of_response |= rule.run_of_response;
    facts.ruled.messages_in_logs |= rule.messages_in_logs;
    facts.ruled.weak_name |= rule.weak_name;
    facts.ruled.cached = facts.ruled.cached.or(rule.cached);
    for (slot, to) in &rule.set {
        let value = match to {
            SetTo::Text(text) => scratch.keep_text(text),
            SetTo::Captured(at) => captured.get(*at).and_then(|text| scratch.keep_text(text)),
            SetTo::Inside(from, path) => facts
                .str(*from)
                .and_then(|text| scratch.parse(text))
                .and_then(|json| path.find(json))
                .and_then(|found| scratch.keep_json(found)),
        };
        // What an attribute states is better.
        let filled = FilledSlot {
            slot: *slot,
            preference: u32::MAX,
            dialect: dialect.index,
        };
        if let Some(value) = value
            && !facts.has(*slot)
        {
            facts.fill(filled, "", value, None);
        }
    }
}

/// What each `*` of the rule matched: in the span's name, else in the first fact
/// that is compared. `None` if a condition does not hold.
fn matched<'a>(rule: &Rule, kinds: &[Cow<'_, str>], facts: &SpanFacts<'a>) -> Option<Vec<&'a str>> {
    let span = facts.span;
    let kind_fits = || rule.kinds.is_empty() || kinds.iter().any(|word| rule.kinds.matches(word));
    // What costs least first.
    if rule.root.is_some_and(|root| root == facts.has_parent())
        || !kind_fits()
        || !rule.scopes.matches(facts.scope)
        || !rule.has.iter().all(|fact| has(fact, facts))
        || rule.lacks.iter().any(|fact| has(fact, facts))
    {
        return None;
    }
    let mut captured = match rule.names.is_empty() {
        true => Vec::new(),
        false => rule.names.captures(span.name)?,
    };
    for (fact, to) in &rule.equals {
        let text = match fact {
            FactRef::Fact(slot) => facts.value(*slot),
            FactRef::Key(key) => facts.attribute(key),
        };
        let text = value::text(text?);
        match to {
            EqualTo::SpanName if text == span.name => {}
            EqualTo::SpanName => return None,
            EqualTo::Patterns(patterns) => {
                let more = match text {
                    Cow::Borrowed(text) => patterns.captures(text)?,
                    // A list or number has no parts to capture.
                    Cow::Owned(text) => patterns.matches(&text).then(Vec::new)?,
                };
                if rule.names.is_empty() {
                    captured.extend(more);
                }
            }
        }
    }
    Some(captured)
}

fn has(fact: &FactRef, facts: &SpanFacts<'_>) -> bool {
    match fact {
        FactRef::Fact(slot @ Slot::InputMessages) => {
            facts.has(*slot) || facts.has_indexed_messages(ConversationSide::Input)
        }
        FactRef::Fact(slot @ Slot::OutputMessages) => {
            facts.has(*slot) || facts.has_indexed_messages(ConversationSide::Output)
        }
        FactRef::Fact(slot) => facts.has(*slot),
        FactRef::Key(key) => facts.attribute(key).is_some(),
    }
}
