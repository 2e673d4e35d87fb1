//! Log records that carry what was said in a step: the conventions' events up
//! to 1.36, which some SDKs still send as logs, and the later single event.

use serde_json::{Value, json};

use super::conversation::Conversation;
use super::ids::{self, Named};
use super::messages::join;
use super::run::{Observations, Said, rank};
use super::text::Fit;
use super::{Dialect, span_events, time, value};
use crate::event::{Event, EventBody, Message, MessageRole, Timestamp};
use crate::ingest::otlp::wire::{self, Export, LogRecord, Malformed, Message as _};
use crate::ingest::otlp::{MapOptions, Mapped, RefusalReason, SpanOutcome};

/// Maps the log records that carry messages; the others are counted as ignored.
///
/// # Errors
/// When the bytes are no request of log records.
pub fn map_logs(request: &[u8], options: &MapOptions) -> Result<Mapped, Malformed> {
    let mut mapped = Mapped::default();
    let mut observed = Observations::default();
    let mut fit = Fit::new(options.max_field_bytes);
    let request = Export::read(request)?;
    let scopes = request.resources.iter().flat_map(|of| &of.scopes);
    let records = scopes.flat_map(|of| &of.records);
    for (position, record) in (0_u32..).zip(records) {
        let fate = match map_record(
            &LogRecord::read(record)?,
            position,
            &mut fit,
            &mut observed,
            &mut mapped.events,
        ) {
            Ok(fate) => fate,
            Err((code, reason)) => {
                mapped.refuse(position, Dialect::GenAi.as_str(), code, reason);
                continue;
            }
        };
        let dialect = match fate {
            SpanOutcome::Mapped => Dialect::GenAi,
            _ => Dialect::Unknown,
        };
        mapped.count(dialect.as_str(), fate);
        if !mapped.fits(options) {
            return Ok(mapped);
        }
    }
    mapped.events.extend(observed.into_events());
    mapped.repairs = fit.repairs;
    mapped.truncated = fit.truncated;
    Ok(mapped)
}

fn map_record(
    record: &LogRecord<'_>,
    position: u32,
    fit: &mut Fit,
    observed: &mut Observations,
    events: &mut Vec<(u32, Event)>,
) -> Result<SpanOutcome, (RefusalReason, &'static str)> {
    let Some(name) = event_name(record).filter(|name| span_events::is_message(name)) else {
        return Ok(SpanOutcome::Ignored("not_genai"));
    };
    let (Some(run), true) = (
        ids::run(record.trace_id),
        record.span_id.iter().any(|byte| *byte != 0),
    ) else {
        return Ok(SpanOutcome::Ignored("no_span"));
    };
    let at = match record.time_unix_nano {
        0 => record.observed_time_unix_nano,
        at => at,
    };
    let at = time(at)?;
    let step = ids::within(run, Named::Span(record.span_id));
    let mut said = Conversation::default();
    span_events::add(name, &body(record), &mut said);
    said.input = join(said.input);
    said.output = join(said.output);
    if let Some(text) = said.question() {
        observed.add(run, position, rank::CALL, at, Said::Input(fit.text(text)));
    }
    if let Some(text) = said.answer() {
        observed.add(run, position, rank::CALL, at, Said::Output(fit.text(text)));
    }
    for (message_id, _, message, _) in said.identified(run) {
        let call_id = message
            .call_id
            .as_ref()
            .map(|id| json!({"tool_call_id": id}));
        let event = Message {
            message_id,
            run_id: Some(run),
            session_id: None,
            step_id: Some(step),
            role: message.role,
            content: fit.some(message.text),
            thinking: fit.some(message.thinking),
            tool_calls: (!message.calls.is_empty())
                .then(|| fit.json(&message.calls))
                .flatten(),
            metadata: call_id.and_then(|metadata| fit.object(&metadata)),
            seq: Some(place_of(message.role)),
            sighting: true,
            believed_new: false,
        };
        push(events, position, at, EventBody::Message(event));
    }
    Ok(SpanOutcome::Mapped)
}

fn push(events: &mut Vec<(u32, Event)>, position: u32, time: Timestamp, body: EventBody) {
    events.push((position, Event::new(time, body)));
}

/// Records of one call may have one time: instructions, question, answer.
fn place_of(role: MessageRole) -> i64 {
    match role {
        MessageRole::System => 0,
        MessageRole::User => 1,
        MessageRole::Assistant => 2,
        MessageRole::Tool => 3,
    }
}

/// Its name stands in a field of its own since 1.5 of the protocol.
fn event_name<'a>(record: &LogRecord<'a>) -> Option<&'a str> {
    if !record.event_name.is_empty() {
        return Some(record.event_name);
    }
    let attribute = record
        .attributes
        .iter()
        .find(|attribute| attribute.key == "event.name")?;
    match attribute.value.as_ref()? {
        wire::Value::String(name) => Some(name),
        _ => None,
    }
}

/// The body's fields, and the attributes' where the event is written as those.
fn body(record: &LogRecord<'_>) -> Value {
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
