//! Explains what the mapping makes of a request: for people who teach it a dialect.

use serde::Serialize;

use super::class::{ClassReason, ClassifiedSpan, classify_with_reason};
use super::dialects::{Dialects, SpanClass};
use super::facts::{SpanFacts, SpanScope};
use super::naming::step_type;
use super::scratch::{ParsedAttributes, Scratch};
use super::slots::Slot;
use super::unknown;
use super::{hex::hex, map_logs, map_traces, rules, value};
use crate::event::{Event, EventBody};
use crate::ingest::otlp::wire::{
    AnyValue, ExportRequest, MalformedProtobuf, Span, WireMessage as _,
};
use crate::ingest::otlp::{MapOptions, Signal};

/// Preference numbers per preference of a file; see [`super::dialects`].
const PER_FILE: u32 = super::dialects::MAX_KEYS_PER_FACT;
/// Longer values are cut.
const SHOWN_CHARS: usize = 80;

/// What became of a request.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The spans, in the order of the request. Empty for log records.
    pub spans: Vec<ExplainedSpan>,
    /// The rows that no single span makes: runs, sessions, messages in logs.
    pub rows: Vec<ExplainedRow>,
}

/// What became of a span.
#[derive(Debug, Serialize)]
#[allow(missing_docs)] // the fields are named as in the output
pub struct ExplainedSpan {
    pub name: String,
    pub scope: String,
    pub span_id: String,
    pub dialect: String,
    /// The step's type or what else the span is.
    pub class: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Why it has this class.
    pub because: String,
    /// The span looks like an agent's work, but nothing says which.
    pub not_understood: bool,
    pub attributes: Vec<ExplainedAttribute>,
    pub rows: Vec<ExplainedRow>,
}

/// What an attribute was taken for.
#[derive(Debug, Serialize)]
#[allow(missing_docs)] // the fields are named as in the output
pub struct ExplainedAttribute {
    pub key: String,
    pub value: String,
    /// The fact, or `kind`, or `message`. `None`: not understood.
    pub fact: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// The lowest wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preference: Option<u32>,
    /// Another key states the same fact and is preferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
}

/// A row that the request makes or changes.
#[derive(Debug, Serialize)]
pub struct ExplainedRow {
    /// The table.
    pub table: &'static str,
    /// What it says of its columns.
    pub columns: Vec<(&'static str, String)>,
}

/// Explains the bytes of a request of spans or log records.
///
/// # Errors
/// If the bytes are neither.
pub fn explain(
    wire: &[u8],
    signal: Signal,
    options: &MapOptions,
) -> Result<Explanation, MalformedProtobuf> {
    let mapped = match signal {
        Signal::Logs => map_logs(wire, options)?,
        _ => map_traces(wire, options)?,
    };
    let mut spans = match signal {
        Signal::Traces => explain_spans(wire, options)?,
        _ => Vec::new(),
    };
    let mut rows = Vec::new();
    for (position, event) in &mapped.events {
        let Some(row) = row(event) else { continue };
        let of_span = spans.get_mut(usize::try_from(*position).unwrap_or(usize::MAX));
        match (of_span, &event.body) {
            (
                Some(span),
                EventBody::StepEnded(_) | EventBody::Message(_) | EventBody::TokenCount(_),
            ) => {
                span.rows.push(row);
            }
            _ => rows.push(row),
        }
    }
    Ok(Explanation { spans, rows })
}

fn explain_spans(
    wire: &[u8],
    options: &MapOptions,
) -> Result<Vec<ExplainedSpan>, MalformedProtobuf> {
    let request = ExportRequest::read(wire)?;
    let mut explained = Vec::new();
    for of_scope in request.resources.iter().flat_map(|of| &of.scopes) {
        let name = of_scope.scope.as_ref().map_or("", |scope| scope.name);
        let scope = SpanScope::new(&options.dialects, name);
        for bytes in &of_scope.records {
            let span = Span::read(bytes)?;
            let parsed = ParsedAttributes::default();
            let scratch = Scratch::new(&parsed);
            let mut facts = SpanFacts::read(&span, scope, None, &scratch);
            rules::apply(&mut facts, &scratch);
            explained.push(explain_span(&facts, scope));
        }
    }
    Ok(explained)
}

fn explain_span(facts: &SpanFacts<'_>, scope: SpanScope<'_>) -> ExplainedSpan {
    let ClassifiedSpan {
        classification,
        reason,
        ..
    } = classify_with_reason(facts);
    let class = match classification.class {
        SpanClass::Foreign => "foreign",
        SpanClass::Ghost => "ghost",
        class => step_type(class).as_str(),
    };
    let attributes = facts.span.attributes.iter();
    let attributes = attributes.filter_map(|attribute| {
        let value = attribute.value.as_ref()?;
        Some(explain_attribute(facts, scope, attribute.key, value))
    });
    ExplainedSpan {
        name: facts.span.name.to_owned(),
        scope: facts.scope.to_owned(),
        span_id: hex(facts.span.span_id),
        dialect: facts.dialect.name.to_string(),
        class,
        kind: classification.kind.as_ref().map(ToString::to_string),
        because: because(reason),
        not_understood: unknown::is_not_understood(facts, &classification, reason),
        attributes: attributes.collect(),
        rows: Vec::new(),
    }
}

fn because(reason: ClassReason<'_>) -> String {
    match reason {
        ClassReason::CallNode => "it is LangGraph's node of one tool call".to_owned(),
        ClassReason::Rule => "a rule of its dialect says so".to_owned(),
        ClassReason::Word(word) => format!("its kind is `{word}`"),
        ClassReason::Evidence => "of the facts that it states".to_owned(),
        ClassReason::UnknownWord(word) => {
            format!("no dialect knows its kind `{word}`, and its facts do not tell")
        }
        ClassReason::Nothing => "neither a kind nor facts of an agent's work".to_owned(),
    }
}

fn explain_attribute(
    facts: &SpanFacts<'_>,
    scope: SpanScope<'_>,
    key: &str,
    value: &AnyValue<'_>,
) -> ExplainedAttribute {
    let mut explained = ExplainedAttribute {
        key: key.to_owned(),
        value: shown(&value::text(value)),
        fact: None,
        dialect: None,
        preference: None,
        instead: None,
    };
    let name_of = |index| facts.dialects.get(index).name.to_string();
    let guessed = facts.filled_by(key);
    match scope.keys.keys.get(key) {
        Some(meaning) => {
            if let Some(dialect) = meaning.kind_of {
                explained.fact = Some("kind".to_owned());
                explained.dialect = Some(name_of(dialect));
            }
            let fills = meaning.fills.or_else(|| guessed.first().copied());
            if let Some(filled) = fills {
                explained.fact = Some(filled.slot.name().to_owned());
                explained.dialect = Some(name_of(filled.dialect));
                explained.preference = Some(filled.preference / PER_FILE);
                explained.instead = facts
                    .key(filled.slot)
                    .filter(|other| *other != key)
                    .map(str::to_owned);
            }
        }
        None => {
            if scope.keys.split_numbered(key).is_some() {
                explained.fact = Some("message".to_owned());
            } else if let Some(filled) = guessed.first() {
                explained.fact = Some(filled.slot.name().to_owned());
                explained.dialect = Some(name_of(filled.dialect));
                explained.preference = Some(filled.preference / PER_FILE);
            }
        }
    }
    explained
}

/// The row of an event. `None` for events that only link others.
fn row(event: &Event) -> Option<ExplainedRow> {
    let mut columns = Vec::new();
    let mut add = |name, value: Option<String>| {
        columns.extend(value.map(|value| (name, shown(&value))));
    };
    let number = |value: Option<i32>| value.map(|value| value.to_string());
    let table = match &event.body {
        EventBody::StepEnded(step) => {
            if let Some(details) = &step.details {
                add("step_type", Some(details.step_type.as_str().to_owned()));
                add("kind", details.kind.clone());
                add("name", details.name.clone());
                add("model", details.model.clone());
                add(
                    "input",
                    details.input.as_ref().map(|json| json.as_str().to_owned()),
                );
            }
            add(
                "output",
                step.output.as_ref().map(|json| json.as_str().to_owned()),
            );
            add("status", Some(step.status.as_str().to_owned()));
            add("error", step.error.clone());
            "agent_steps"
        }
        EventBody::Message(message) => {
            add("role", Some(message.role.as_str().to_owned()));
            add("content", message.content.clone());
            add("thinking", message.thinking.clone());
            add(
                "tool_calls",
                message
                    .tool_calls
                    .as_ref()
                    .map(|json| json.as_str().to_owned()),
            );
            "agent_messages"
        }
        EventBody::TokenCount(count) => {
            add("input", number(count.input));
            add("output", number(count.output));
            add("cache_read", number(count.cache_read));
            add("cache_write", number(count.cache_write));
            add("reasoning", number(count.reasoning));
            add("rollup", count.rollup.then(|| "true".to_owned()));
            "agent_token_counts"
        }
        EventBody::SessionUpsert(session) => {
            add("id", Some(session.session_id.to_string()));
            add("external_id", session.external_id.clone());
            add("user_id", session.user_id.map(|id| id.to_string()));
            add("customer_id", session.customer_id.map(|id| id.to_string()));
            "agent_sessions"
        }
        EventBody::RunObserved(run) => {
            add("id", Some(run.run_id.to_string()));
            add("session_id", run.session_id.map(|id| id.to_string()));
            add("agent_id", run.agent_id.clone());
            add("agent_type", run.agent_type.clone());
            add("name", run.name.clone());
            add("input", run.input.clone());
            add("output", run.output.clone());
            "agent_runs"
        }
        EventBody::RunEnded(run) => {
            add("id", Some(run.run_id.to_string()));
            add("status", Some(run.status.as_str().to_owned()));
            add("error", run.error.clone());
            "agent_runs"
        }
        _ => return None,
    };
    Some(ExplainedRow { table, columns })
}

/// A text on one line, cut if it is long.
fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARS)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// What each documented key fills, for the table in docs/OTLP.md.
pub fn documented_keys(dialects: &Dialects) -> Vec<(String, &'static str, String)> {
    let mut keys: Vec<_> = dialects
        .documented_keys()
        .map(|(key, slot, dialect)| (key.to_owned(), slot.name(), dialect.name.to_string()))
        .collect();
    keys.sort();
    keys
}

/// The names of all facts.
pub fn fact_names() -> impl Iterator<Item = &'static str> {
    Slot::ALL.into_iter().map(Slot::name)
}
