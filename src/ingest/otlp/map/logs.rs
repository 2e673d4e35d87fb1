//! Maps log records that carry the messages of a step, or a score.
//!
//! They are the events of the GenAI conventions up to 1.36, which some SDKs
//! still send as logs, and the single event of later versions. Coding agents log
//! each prompt and each answer as an event of its own.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::conversation::{Conversation, IdentifiedMessage};
use super::dialects::{Dialect, MessageEvent};
use super::fit::FieldFitter;
use super::ids::{self, IdSource};
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
    let mut questions = Questions::default();
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
                &mut questions,
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
    questions.observe(&mut fit, &mut observed);
    for event in observed.into_events() {
        mapped.events.push(event);
        if !mapped.is_within_limit(options) {
            return Ok(mapped);
        }
    }
    mapped.repairs = fit.repairs;
    mapped.truncated = fit.truncated;
    Ok(mapped)
}

/// The last question of each call, by run and span.
///
/// A call logs its whole history, one record per message. Only its last question
/// may be the input of the run.
#[derive(Default)]
struct Questions(BTreeMap<(Uuid, Vec<u8>), Question>);

struct Question {
    /// The time of the first record of the call.
    started: Timestamp,
    /// The time in nanoseconds and the position of the question. Records of one
    /// call are often less than a microsecond apart.
    asked: (u64, u32),
    text: String,
}

impl Questions {
    fn add(
        &mut self,
        (run, span): (Uuid, &[u8]),
        time: Timestamp,
        asked: (u64, u32),
        text: Option<&str>,
    ) {
        let entry = self.0.entry((run, span.to_owned()));
        let question = entry.or_insert_with(|| Question {
            started: time,
            asked,
            text: String::new(),
        });
        question.started = question.started.min(time);
        if let Some(text) = text
            && (question.text.is_empty() || asked >= question.asked)
        {
            question.asked = asked;
            text.clone_into(&mut question.text);
        }
    }

    fn observe(self, fit: &mut FieldFitter, observed: &mut Observations) {
        for ((run, _), question) in self.0 {
            if !question.text.is_empty() {
                let fact = RunFact::Input(fit.text(question.text));
                let position = question.asked.1;
                observed.add(run, position, rank::CALL, question.started, fact);
            }
        }
    }
}

/// The event of a dialect that a record is, if it carries one message.
fn message_event<'d>(
    record: &LogRecord<'_>,
    name: Option<&str>,
    dialect: &'d Dialect,
) -> Option<&'d MessageEvent> {
    // Some SDKs write the full name of the event as the record's text.
    let text = match &record.body {
        Some(wire::AnyValue::String(text)) => Some(*text),
        _ => None,
    };
    message_events::named(dialect, |of| [name, text].contains(&Some(of)))
}

/// Maps a prompt or an answer that a coding agent logged. `None` if the record has no text.
fn map_said(
    record: &LogRecord<'_>,
    event: &MessageEvent,
    (run, at, position): (Uuid, Timestamp, u32),
    fit: &mut FieldFitter,
    observed: &mut Observations,
) -> Option<Event> {
    let role = message_events::role(event);
    let fields = event_fields(record);
    let text = fields.get(&event.text)?.as_str()?;
    // Agents log no content unless they are told to.
    let redacted = text
        .trim_matches(['<', '>', '[', ']'])
        .eq_ignore_ascii_case("redacted");
    if text.is_empty() || redacted {
        return None;
    }
    let id = ["message.uuid", "prompt.id"]
        .iter()
        .find_map(|key| fields.get(*key)?.as_str());
    let id = id.map_or_else(|| format!("{at:?}{text}"), str::to_owned);
    let key = format!("{}\0said\0{id}", role.as_str());
    let fact = match role {
        MessageRole::User => RunFact::Input(fit.text(text)),
        MessageRole::Assistant => RunFact::Output(fit.text(text)),
        _ => return None,
    };
    observed.add(run, position, rank::DIRECT, at, fact);
    let message = Message {
        message_id: ids::derived(run, IdSource::Message(key.as_bytes(), 0)),
        run_id: Some(run),
        session_id: None,
        step_id: None,
        role,
        content: fit.non_empty_text(text),
        thinking: None,
        tool_calls: None,
        metadata: None,
        seq: Some(sequence_of(role)),
        sighting: true,
        believed_new: false,
    };
    Some(Event::new(at, EventBody::Message(message)))
}

fn map_record(
    record: &LogRecord<'_>,
    dialect: &Dialect,
    position: u32,
    fit: &mut FieldFitter,
    observed: &mut Observations,
    questions: &mut Questions,
    events: &mut Vec<(u32, Event)>,
) -> Result<SpanOutcome, (RefusalReason, &'static str)> {
    let name = event_name(record);
    if let Some(name) = name.filter(|name| scores::states_score(name)) {
        return map_score(record, name, position, fit, events);
    }
    let said = message_event(record, name, dialect);
    let of_call = name.filter(|name| span_events::carries_messages(name));
    if said.is_none() && of_call.is_none() {
        return Ok(SpanOutcome::Ignored("not_genai"));
    };
    let (Some(run), true) = (
        ids::run_of_trace(record.trace_id),
        record.span_id.iter().any(|byte| *byte != 0),
    ) else {
        return Ok(SpanOutcome::Ignored("no_span"));
    };
    let nanos = record_time(record);
    let at = timestamp(nanos)?;
    if let Some(event) = said {
        let place = (run, at, position);
        let Some(event) = map_said(record, event, place, fit, observed) else {
            return Ok(SpanOutcome::Ignored("no_content"));
        };
        events.push((position, event));
        return Ok(SpanOutcome::Mapped);
    }
    let step = ids::derived(run, IdSource::Span(record.span_id));
    let mut read = Conversation::default();
    if let Some(name) = of_call {
        span_events::add_messages(name, &event_fields(record), &mut read);
    }
    let conversation = Conversation::of_messages(read.input, read.output);
    let text = conversation.last_question();
    questions.add((run, record.span_id), at, (nanos, position), text);
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
        let mut metadata = Map::new();
        if let Some(id) = &message.call_id {
            metadata.insert("tool_call_id".into(), id.as_str().into());
        }
        if !message.media.is_empty() {
            metadata.insert("media".into(), message.media.into());
        }
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
            metadata: (!metadata.is_empty())
                .then(|| fit.object(&metadata))
                .flatten(),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ingest::otlp::wire::Schema;
    use crate::ingest::otlp::{Encoding, Signal, decode};

    /// The events of log records of one span.
    fn events(records: &[Value]) -> Vec<Event> {
        let body = serde_json::json!({"resourceLogs": [{"scopeLogs": [{
            "scope": {"name": "com.anthropic.claude_code.events"}, "logRecords": records,
        }]}]});
        let decoded = decode(
            &Schema::new().unwrap(),
            Signal::Logs,
            Encoding::Json,
            body.to_string().as_bytes(),
            &MapOptions::default(),
            1 << 20,
        );
        let events = decoded.unwrap().mapped.events.into_iter();
        events.map(|(_, event)| event).collect()
    }

    fn record(time: u64, name: &str, fields: &[(&str, &str)]) -> Value {
        let attributes = fields
            .iter()
            .map(|(key, text)| serde_json::json!({"key": key, "value": {"stringValue": text}}));
        serde_json::json!({
            "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708",
            "timeUnixNano": (1_767_225_600_000_000_000 + time).to_string(),
            "eventName": name, "attributes": attributes.collect::<Vec<_>>(),
        })
    }

    fn inputs(events: &[Event]) -> Vec<&str> {
        let inputs = events.iter().filter_map(|event| match &event.body {
            EventBody::RunObserved(run) => run.input.as_deref(),
            _ => None,
        });
        inputs.collect()
    }

    #[test]
    fn the_last_question_of_a_call_is_the_input_in_any_order() {
        let mut records = vec![
            record(1, "gen_ai.user.message", &[("content", "First?")]),
            record(2, "gen_ai.assistant.message", &[("content", "Yes.")]),
            record(3, "gen_ai.user.message", &[("content", "Second?")]),
        ];
        for _ in 0..records.len() {
            records.rotate_left(1);
            assert_eq!(inputs(&events(&records)), ["Second?"]);
        }
    }

    #[test]
    fn what_coding_agents_log_is_said_once_per_record() {
        let prompt = |uuid| {
            let fields = [("prompt", "Go on."), ("message.uuid", uuid)];
            record(1, "claude_code.user_prompt", &fields)
        };
        let redacted = record(1, "user_prompt", &[("prompt", "<REDACTED>")]);
        let answer = record(2, "assistant_response", &[("response", "Done.")]);
        let events = events(&[prompt("1"), prompt("2"), prompt("1"), redacted, answer]);
        let said: BTreeSet<_> = events
            .iter()
            .filter_map(|event| match &event.body {
                EventBody::Message(message) => Some((message.message_id, message.content.clone())),
                _ => None,
            })
            .collect();
        let mut texts: Vec<_> = said
            .iter()
            .filter_map(|(_, text)| text.as_deref())
            .collect();
        texts.sort_unstable();
        assert_eq!(texts, ["Done.", "Go on.", "Go on."]);
        assert_eq!(inputs(&events), ["Go on."]);
    }
}
