//! How a span ended: completed, failed or paused, and its error.

use std::borrow::Cow;

use serde_json::Value;

use super::conversation::Conversation;
use super::dialects::ControlFlow;
use super::facts::SpanFacts;
use super::messages::text_of;
use super::slots::{ConversationSide, Slot};
use super::span_events::{self, Exception};
use super::{tool, value, wrappers};
use crate::event::EndStatus;
use crate::ingest::otlp::wire::{AnyValue, SpanStatus};

/// The fields of a result that say whether the call failed.
const FAILURE_FIELDS: [&str; 2] = ["isError", "is_error"];

/// How a span ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanEnding {
    /// A span that paused or moved control is completed.
    pub status: EndStatus,
    /// What failed, as `Type: message`.
    pub error: Option<String>,
    /// What the span waits for, if a person must act first.
    pub paused: Option<String>,
}

impl SpanEnding {
    /// Reads the ending of a span.
    pub fn read(facts: &SpanFacts<'_>) -> Self {
        let code = facts.span.status.as_ref().map_or(0, |status| status.code);
        let stated = code == SpanStatus::ERROR || failed_by_word(facts) || stopped_by_error(facts);
        // The transport of a call may succeed although the call failed.
        let result = failed_result(facts);
        let implied = code != SpanStatus::OK
            && (facts.has(Slot::ErrorType)
                || states_error(facts) && !has_result(facts)
                || ended_by_exception(facts));
        if !(stated || implied || result.is_some()) {
            return Self::completed();
        }
        let exception = span_events::exception(facts.span);
        match control_flow(facts, exception.as_ref()) {
            Some((_, paused)) => Self {
                paused,
                ..Self::completed()
            },
            None => Self {
                status: EndStatus::Failed,
                error: error_text(facts, exception, result),
                paused: None,
            },
        }
    }

    fn completed() -> Self {
        Self {
            status: EndStatus::Completed,
            error: None,
            paused: None,
        }
    }
}

/// Whether a level or a tool's status says that the work failed.
fn failed_by_word(facts: &SpanFacts<'_>) -> bool {
    let level = facts.str(Slot::Level).map(str::to_ascii_lowercase);
    let status = facts.value(Slot::Status).map(value::text);
    matches!(level.as_deref(), Some("error" | "fatal" | "critical"))
        || status.is_some_and(|status| facts.is_failure(&status))
}

/// Whether a model stopped by an error and gave no answer. SDKs also write `error` for a
/// stream that its reader gave up.
fn stopped_by_error(facts: &SpanFacts<'_>) -> bool {
    let reasons = facts.value(Slot::FinishReason);
    reasons.is_some_and(|reasons| names_failure(facts, reasons))
        && !Conversation::read(facts)
            .output
            .iter()
            .any(|answer| !(answer.text.trim().is_empty() && answer.calls.is_empty()))
}

fn has_result(facts: &SpanFacts<'_>) -> bool {
    let results = [
        Slot::Output,
        Slot::OutputMessages,
        Slot::ToolResult,
        Slot::ResponseText,
    ];
    results.iter().any(|slot| facts.has(*slot))
        || facts.has_indexed_messages(ConversationSide::Output)
}

/// Whether a reason, or one in a list of reasons, means failed.
fn names_failure(facts: &SpanFacts<'_>, reasons: &AnyValue<'_>) -> bool {
    match value::parsed(reasons) {
        Value::String(reason) => facts.is_failure(&reason),
        Value::Array(reasons) => {
            let mut words = reasons.iter().filter_map(Value::as_str);
            words.any(|reason| facts.is_failure(reason))
        }
        _ => false,
    }
}

/// Whether an attribute tells of an error. Some SDKs write `false` if there is none.
fn states_error(facts: &SpanFacts<'_>) -> bool {
    match facts.value(Slot::ErrorMessage) {
        None | Some(AnyValue::Bool(false)) => false,
        Some(AnyValue::String(text)) => !text.eq_ignore_ascii_case("false"),
        Some(_) => true,
    }
}

/// The text of the error, from an attribute. A mere `true` is none.
fn stated_message<'a>(facts: &SpanFacts<'a>) -> Option<Cow<'a, str>> {
    let is_text = !matches!(facts.value(Slot::ErrorMessage), Some(AnyValue::Bool(_)));
    let stated = is_text.then(|| facts.text(Slot::ErrorMessage)).flatten();
    stated.or_else(|| facts.text(Slot::StatusMessage))
}

/// Whether an exception left the span, or was the last that happened in a span
/// without a result. SDKs also record exceptions before they retry.
fn ended_by_exception(facts: &SpanFacts<'_>) -> bool {
    let Some(last) = facts.span.events.last() else {
        return false;
    };
    let is_exception = |name: &str| name == "exception";
    let escaped = facts.span.events.iter().any(|event| {
        is_exception(event.name)
            && event.attributes.iter().any(|attribute| {
                attribute.key == "exception.escaped"
                    && attribute
                        .value
                        .as_ref()
                        .is_some_and(|value| value::text(value).eq_ignore_ascii_case("true"))
            })
    });
    escaped || is_exception(last.name) && !has_result(facts)
}

/// The text of a result that says of itself that the call failed, as MCP's
/// `isError` and Anthropic's `is_error` do.
fn failed_result(facts: &SpanFacts<'_>) -> Option<String> {
    let result = facts.first(&[Slot::ToolResult, Slot::Output])?;
    let mut layers = mentions_failure(result)
        .then(|| wrappers::layers(tool::parse_attribute(result)))
        .into_iter()
        .flatten();
    layers.find_map(|layer| text_of_failure(&layer))
}

/// Whether a value has such a field anywhere. Most results have none, and are not parsed.
fn mentions_failure(value: &AnyValue<'_>) -> bool {
    match value {
        AnyValue::String(text) => {
            // The end of both names: one look at the text is enough for most.
            text.contains("rror") && FAILURE_FIELDS.iter().any(|field| text.contains(field))
        }
        AnyValue::Array(items) => items.iter().flatten().any(mentions_failure),
        AnyValue::Kvlist(fields) => fields.iter().any(|field| {
            FAILURE_FIELDS.contains(&field.key)
                || field.value.as_ref().is_some_and(mentions_failure)
        }),
        _ => false,
    }
}

/// The text of a result, or of a list of results, if all of it says that it failed.
fn text_of_failure(result: &Value) -> Option<String> {
    match result {
        Value::Object(fields) => {
            let says_so = |field| match fields.get(field) {
                Some(Value::Bool(failed)) => *failed,
                Some(Value::String(word)) => word.eq_ignore_ascii_case("true"),
                _ => false,
            };
            let text = ["content", "result"].iter().find_map(|it| fields.get(*it));
            let failed = FAILURE_FIELDS.into_iter().any(says_so);
            failed.then(|| text.map(text_of).unwrap_or_default())
        }
        Value::Array(results) if !results.is_empty() => {
            let texts: Option<Vec<_>> = results.iter().map(text_of_failure).collect();
            texts.map(|texts| texts.join("\n"))
        }
        _ => None,
    }
}

/// The control flow that an SDK reports as an error, and why a run waits.
fn control_flow(
    facts: &SpanFacts<'_>,
    exception: Option<&Exception>,
) -> Option<(ControlFlow, Option<String>)> {
    let status = facts.span.status.as_ref().map(|status| status.message);
    let error_type = facts.text(Slot::ErrorType);
    let stated = stated_message(facts);
    let told = [
        exception.and_then(|exception| exception.kind.as_deref()),
        exception.and_then(|exception| exception.message.as_deref()),
        status,
        error_type.as_deref(),
        stated.as_deref(),
    ];
    told.into_iter().flatten().find_map(|text| {
        let name = short_type(leading_type(text));
        let flow = facts.control_flow(name)?;
        let paused = (flow == ControlFlow::Paused).then(|| {
            let message = exception.and_then(|exception| exception.message.as_deref());
            let message = message.or(status).filter(|text| !text.is_empty());
            described(Some(name), message).unwrap_or_default()
        });
        Some((flow, paused))
    })
}

/// What failed: from the last exception, the status, or the result.
fn error_text(
    facts: &SpanFacts<'_>,
    exception: Option<Exception>,
    result: Option<String>,
) -> Option<String> {
    let (mut kind, mut message) = exception.map_or((None, None), |e| (e.kind, e.message));
    let status = facts.span.status.as_ref().map(|status| status.message);
    let filled = |text: &String| !text.is_empty();
    message = message
        .or_else(|| status.map(str::to_owned).filter(filled))
        .or_else(|| stated_message(facts).map(Into::into))
        .or_else(|| result.filter(filled));
    if kind.is_none() {
        let named = facts.text(Slot::ErrorType).map(String::from);
        // The conventions' word for an unknown type.
        kind = named.filter(|kind| kind != "_OTHER");
    }
    described(kind.as_deref(), message.as_deref())
}

/// `Type: message`. A message that begins with its type is not changed.
fn described(kind: Option<&str>, message: Option<&str>) -> Option<String> {
    let (Some(kind), Some(message)) = (kind, message) else {
        return kind.or(message).map(str::to_owned);
    };
    let is_generic = matches!(kind, "Exception" | "Error");
    let begins_with_type = leading_type(message).len() > 1
        && message[leading_type(message).len()..].starts_with([':', '(']);
    if message.starts_with(kind)
        || message.starts_with(short_type(kind))
        || is_generic && begins_with_type
    {
        return Some(message.to_owned());
    }
    Some(format!("{kind}: {message}"))
}

/// The beginning of a text that may be the name of a type with its module.
fn leading_type(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.')));
    text[..end.unwrap_or(text.len())].trim_end_matches('.')
}

/// The name of a type without its module.
fn short_type(name: &str) -> &str {
    name.rsplit(['.', ':']).next().unwrap_or(name)
}

#[cfg(test)]
mod tests;
