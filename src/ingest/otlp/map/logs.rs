//! Maps log records that carry the messages of a step, or a score.
//!
//! They are the events of the GenAI conventions up to 1.36, which some SDKs
//! still send as logs, and the single event of later versions.

use serde_json::{Value, json};

use super::conversation::{Conversation, IdentifiedMessage};
use super::dialects::Dialect;
use super::fit::FieldFitter;
use super::ids::{self, IdSource};
use super::messages::join;
use super::observations::{Observations, RunFact, rank};
use super::{message_events, scores, span_events, time::timestamp, value};
use crate::event::{Event, EventBody, Message, MessageRole, Timestamp};
use crate::ingest::otlp::wire::{
    self, ExportRequest, LogRecord, MalformedProtobuf, WireMessage as _,
};
use crate::ingest::otlp::{MapOptions, Mapped, RefusalReason, SpanOutcome};

/// Maps the log records that carry messages or scores. Other records are counted as ignored.
///
/// # Errors
/// If the bytes are not a request of log records.
pub fn map_logs(request: &[u8], options: &MapOptions) -> Result<Mapped, MalformedProtobuf> {
    let mut mapped = Mapped::default();
    let mut observed = Observations::default();
    let mut fit = FieldFitter::new(options.max_field_bytes);
    let request = ExportRequest::read(request)?;
    let conventions = options.dialects.conventions();
    let unknown = &options.dialects.unknown().name;
    let mut position = 0;
    for of_scope in request.resources.iter().flat_map(|of| &of.scopes) {
        let scope = of_scope.scope.as_ref().map_or("", |scope| scope.name);
        let of_dialect = options.dialects.of_scope(scope);
        let dialect = of_dialect.map_or(conventions, |(dialect, _)| dialect);
        for bytes in &of_scope.records {
            let record = LogRecord::read(bytes)?;
            match map_record(
                &record,
                dialect,
                position,
                &mut fit,
                &mut observed,
                &mut mapped.events,
            ) {
                Ok(SpanOutcome::Mapped) => mapped.count(&dialect.name, SpanOutcome::Mapped),
                Ok(outcome) => mapped.count(unknown, outcome),
                Err((code, reason)) => mapped.refuse(position, &dialect.name, code, reason),
            }
            position += 1;
            if !mapped.is_within_limit(options) {
                return Ok(mapped);
            }
        }
    }
    mapped.events.extend(observed.into_events());
    mapped.repairs = fit.repairs;
    mapped.truncated = fit.truncated;
    Ok(mapped)
}

fn map_record(
    record: &LogRecord<'_>,
    dialect: &Dialect,
    position: u32,
    fit: &mut FieldFitter,
    observed: &mut Observations,
    events: &mut Vec<(u32, Event)>,
) -> Result<SpanOutcome, (RefusalReason, &'static str)> {
    if let Some(name) = event_name(record).filter(|name| scores::states_score(name)) {
        return map_score(record, name, position, fit, events);
    }
    let Some(mut conversation) = conversation_of(record, dialect) else {
        return Ok(SpanOutcome::Ignored("not_genai"));
    };
    let (Some(run), true) = (
        ids::run_of_trace(record.trace_id),
        record.span_id.iter().any(|byte| *byte != 0),
    ) else {
        return Ok(SpanOutcome::Ignored("no_span"));
    };
    let at = timestamp(record_time(record))?;
    let step = ids::derived(run, IdSource::Span(record.span_id));
    conversation.input = join(conversation.input);
    conversation.output = join(conversation.output);
    if let Some(text) = conversation.last_question() {
        observed.add(
            run,
            position,
            rank::CALL,
            at,
            RunFact::Input(fit.text(text)),
        );
    }
    if let Some(text) = conversation.last_answer() {
        observed.add(
            run,
            position,
            rank::CALL,
            at,
            RunFact::Output(fit.text(text)),
        );
    }
    for IdentifiedMessage { id, message, .. } in conversation.with_ids(run) {
        let call_id = message
            .call_id
            .as_ref()
            .map(|id| json!({"tool_call_id": id}));
        let event = Message {
            message_id: id,
            run_id: Some(run),
            session_id: None,
            step_id: Some(step),
            role: message.role,
            content: fit.non_empty_text(message.text),
            thinking: fit.non_empty_text(message.thinking),
            tool_calls: (!message.calls.is_empty())
                .then(|| fit.json(&message.calls))
                .flatten(),
            metadata: call_id.and_then(|metadata| fit.object(&metadata)),
            seq: Some(sequence_of(message.role)),
            sighting: true,
            believed_new: false,
        };
        push(events, position, at, EventBody::Message(event));
    }
    Ok(SpanOutcome::Mapped)
}

/// Maps a record that states a score: of the step of its span, or of the run.
fn map_score(
    record: &LogRecord<'_>,
    name: &str,
    position: u32,
    fit: &mut FieldFitter,
    events: &mut Vec<(u32, Event)>,
) -> Result<SpanOutcome, (RefusalReason, &'static str)> {
    let Some(run) = ids::run_of_trace(record.trace_id) else {
        return Ok(SpanOutcome::Ignored("no_span"));
    };
    let Some(score) = scores::of_event(name, &event_fields(record)) else {
        return Ok(SpanOutcome::Ignored("no_score"));
    };
    let at = timestamp(record_time(record))?;
    let has_span = record.span_id.iter().any(|byte| *byte != 0);
    let step = has_span.then(|| ids::derived(run, IdSource::Span(record.span_id)));
    let score = score.into_event(run, step, record.span_id, fit);
    push(events, position, at, EventBody::Score(score));
    Ok(SpanOutcome::Mapped)
}

/// The time of a record; without one, when it was collected.
fn record_time(record: &LogRecord<'_>) -> u64 {
    match record.time_unix_nano {
        0 => record.observed_time_unix_nano,
        at => at,
    }
}

/// The messages of a record, by its name. `None` if it is no record of messages.
fn conversation_of(record: &LogRecord<'_>, dialect: &Dialect) -> Option<Conversation> {
    let mut conversation = Conversation::default();
    let name = event_name(record);
    if let Some(name) = name.filter(|name| span_events::carries_messages(name)) {
        span_events::add_messages(name, &event_fields(record), &mut conversation);
        return Some(conversation);
    }
    if dialect.message_events.is_empty() {
        return None;
    }
    // Some SDKs write the full name of the event as the record's text.
    let text = match &record.body {
        Some(wire::AnyValue::String(text)) => Some(*text),
        _ => None,
    };
    let is_named = |of: &str| [name, text].contains(&Some(of));
    let fields = event_fields(record);
    message_events::add_message(dialect, is_named, &fields, &mut conversation)
        .then_some(conversation)
}

fn push(events: &mut Vec<(u32, Event)>, position: u32, time: Timestamp, body: EventBody) {
    events.push((position, Event::new(time, body)));
}

/// The order of messages with the same time: records of one call may share it.
fn sequence_of(role: MessageRole) -> i64 {
    match role {
        MessageRole::System => 0,
        MessageRole::User => 1,
        MessageRole::Assistant => 2,
        MessageRole::Tool => 3,
    }
}

/// The name of the event: a field since version 1.5 of the protocol, an
/// attribute before.
fn event_name<'a>(record: &LogRecord<'a>) -> Option<&'a str> {
    if !record.event_name.is_empty() {
        return Some(record.event_name);
    }
    let attribute = record
        .attributes
        .iter()
        .find(|attribute| attribute.key == "event.name")?;
    match attribute.value.as_ref()? {
        wire::AnyValue::String(name) => Some(name),
        _ => None,
    }
}

/// The fields of the event, from its attributes and body. The fields of a body
/// override attributes. A body that is not an object becomes `content`, unless
/// an attribute has that name.
fn event_fields(record: &LogRecord<'_>) -> Value {
    let mut fields = value::object(&record.attributes);
    let body = record.body.as_ref().map(value::parsed);
    match (body, fields.as_object_mut()) {
        (Some(Value::Object(body)), Some(fields)) => fields.extend(body),
        (Some(body), Some(fields)) => {
            fields.entry("content").or_insert(body);
        }
        _ => {}
    }
    fields
}
