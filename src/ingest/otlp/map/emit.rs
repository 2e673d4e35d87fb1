//! From what a span says to the events that it makes.

use serde_json::Map;
use uuid::Uuid;

use super::class::{Class, Work, classify};
use super::conversation::Conversation;
use super::facts::Facts;
use super::ids::{self, Named};
use super::messages::Message as Said;
use super::metadata::Metadata;
use super::naming::{model, name, step_type};
use super::placed::Placed;
use super::run::Observations;
use super::slots::Slot;
use super::text::Fit;
use super::usage::Usage;
use super::{tool, value};
use crate::event::{
    AliasedRoot, EndStatus, Event, EventBody, Json, Message, MessageRole, RunEnded, RunEndedBy,
    StepAliased, StepDetails, StepEnded, Timestamp, TokenCount,
};

/// Gathers what the spans of a request make.
pub struct Emitter<'m> {
    /// The events, each with the position of its span.
    pub events: &'m mut Vec<(u32, Event)>,
    /// Makes fields fit for the database.
    pub fit: &'m mut Fit,
    /// What is said of runs and sessions.
    pub observed: &'m mut Observations,
}

/// What became of the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// A step, a run or both.
    Mapped,
    /// A mere link between others.
    Link,
}

impl Emitter<'_> {
    /// One span.
    pub fn span(&mut self, placed: &Placed<'_>, keep_foreign: bool) -> Became {
        let mut work = classify(&placed.facts);
        if work.class == Class::Foreign {
            if !keep_foreign {
                self.link(placed);
                return Became::Link;
            }
            work = Work::kind(Class::Other, "span");
        }
        let root = placed.is_root();
        let conversation = match work.class {
            Class::Llm | Class::Agent => Conversation::read(&placed.facts),
            Class::Workflow if root => Conversation::read(&placed.facts),
            _ => Conversation::default(),
        };
        let own_step =
            placed.facts.has_parent() || !matches!(work.class, Class::Agent | Class::Workflow);
        let usage = Usage::read(&placed.facts);
        let mut step_id = None;
        if own_step {
            let id = self.step(placed, &work, &conversation);
            self.tokens(placed, &work, id, usage);
            step_id = Some(id);
        }
        self.observe(placed, &work, &conversation, root);
        match work.class {
            Class::Llm => self.messages(placed, step_id, conversation),
            Class::Agent => self.unanswered(placed, step_id, conversation),
            _ => {}
        }
        if root {
            self.run_ended(placed, usage.filter(|_| !own_step), own_step);
        }
        Became::Mapped
    }

    fn push(&mut self, placed: &Placed<'_>, time: Timestamp, body: EventBody) {
        self.events.push((placed.position, Event::new(time, body)));
    }

    /// A span that is no step: what is below it belongs below its parent, and
    /// where it is the root it ends the run, if there is one.
    fn link(&mut self, placed: &Placed<'_>) {
        let (status, error) = placed.outcome();
        let root = placed.is_root().then(|| AliasedRoot {
            started_at: placed.start,
            ended_at: placed.end,
            status,
            error: error.map(|error| self.fit.text(error)),
            name: self.fit.text(placed.facts.span.name),
        });
        let alias = StepAliased {
            alias_id: placed.span_step(placed.facts.span.span_id),
            run_id: placed.run,
            step_id: None,
            parent_step_id: placed.parent(),
            root,
        };
        self.push(placed, placed.end, EventBody::StepAliased(alias));
    }

    fn step(&mut self, placed: &Placed<'_>, work: &Work, conversation: &Conversation) -> Uuid {
        let facts = &placed.facts;
        let step_id = placed.step(work.class);
        let span_step = placed.span_step(facts.span.span_id);
        if step_id != span_step {
            let alias = StepAliased {
                alias_id: span_step,
                run_id: placed.run,
                step_id: Some(step_id),
                parent_step_id: placed.parent(),
                root: None,
            };
            self.push(placed, placed.end, EventBody::StepAliased(alias));
        }
        let (status, error) = placed.outcome();
        let (input, output) = self.input_and_output(facts, work.class, conversation);
        let model = model(facts);
        let kind = match work.class {
            Class::Agent => Some("agent".into()),
            _ => work.kind.clone(),
        };
        let details = StepDetails {
            step_type: step_type(work.class),
            kind: kind.map(|kind| self.fit.text(kind)),
            name: self.fit.some(name(facts, work.class)),
            parent_step_id: placed.parent(),
            parent_may_be_alias: placed.facts.has_parent(),
            model: model.and_then(|model| self.fit.some(model)),
            input,
            metadata: self.fit.object(&Metadata(placed)),
        };
        let ended = StepEnded {
            step_id,
            run_id: placed.run,
            details: Some(details),
            status,
            output,
            error: error.map(|error| self.fit.text(error)),
            started_at: Some(placed.start),
            duration_ms: None,
            announced: placed.has_other_views(),
            view: placed.view(),
        };
        self.push(placed, placed.end, EventBody::StepEnded(ended));
        step_id
    }

    fn input_and_output(
        &mut self,
        facts: &Facts<'_>,
        class: Class,
        conversation: &Conversation,
    ) -> (Option<Json>, Option<Json>) {
        if matches!(class, Class::Tool | Class::Transfer) {
            return tool::call(facts, self.fit);
        }
        let mut raw = |slots: &[Slot], said: &[Said]| match facts.first(slots).map(value::text) {
            Some(text) if value::looks_like_json(&text) => self.fit.json_text(&text),
            Some(text) => self.fit.json(&*text),
            None if said.is_empty() => None,
            None => self.fit.json(said),
        };
        (
            raw(
                &[Slot::Input, Slot::InputMessages, Slot::Prompt],
                &conversation.input,
            ),
            raw(&[Slot::Output, Slot::OutputMessages], &conversation.output),
        )
    }

    /// What a call used counts; what holds calls only repeats them.
    fn tokens(&mut self, placed: &Placed<'_>, work: &Work, step_id: Uuid, usage: Option<Usage>) {
        let Some(usage) = usage else { return };
        let facts = &placed.facts;
        let model = model(facts);
        let counted = |count: Option<i64>| count.and_then(|count| i32::try_from(count.max(0)).ok());
        let count = TokenCount {
            token_count_id: ids::within(placed.run, Named::Tokens(step_id)),
            run_id: placed.run,
            step_id: Some(step_id),
            model: model.and_then(|model| self.fit.some(model)),
            input: counted(usage.input),
            output: counted(usage.output),
            cache_read: counted(usage.cache_read),
            cache_write: counted(usage.cache_write),
            reasoning: counted(usage.reasoning),
            rollup: !matches!(work.class, Class::Llm | Class::Embedding),
        };
        self.push(placed, placed.end, EventBody::TokenCount(count));
    }

    /// The call's conversation; every later call repeats it, and says so.
    fn messages(&mut self, placed: &Placed<'_>, step_id: Option<Uuid>, conversation: Conversation) {
        let scope = session_id(placed).unwrap_or(placed.run);
        for (message_id, place, said, answer) in conversation.identified(scope) {
            let time = if answer { placed.end } else { placed.start };
            let believed_new = answer && !placed.has_other_views() && is_distinctive(&said);
            let message = Message {
                believed_new,
                ..self.message(placed, step_id, message_id, place, said)
            };
            self.push(placed, time, EventBody::Message(message));
        }
    }

    /// What was asked of an agent that failed before it was answered: a call
    /// that fails need not say what it was given. Where it does it says so
    /// earlier, and that stands.
    fn unanswered(
        &mut self,
        placed: &Placed<'_>,
        step_id: Option<Uuid>,
        conversation: Conversation,
    ) {
        if !placed.facts.has(Slot::InputMessages) || placed.outcome().0 != EndStatus::Failed {
            return;
        }
        let scope = session_id(placed).unwrap_or(placed.run);
        let said: Vec<_> = conversation.identified(scope).collect();
        let asked = |(_, _, said, _): &(Uuid, i64, Said, bool)| said.role == MessageRole::User;
        let last_answer = said.iter().rposition(|said| !asked(said));
        for (message_id, place, said, _) in
            said.into_iter().skip(last_answer.map_or(0, |at| at + 1))
        {
            let message = self.message(placed, step_id, message_id, place, said);
            self.push(placed, placed.end, EventBody::Message(message));
        }
    }

    fn message(
        &mut self,
        placed: &Placed<'_>,
        step_id: Option<Uuid>,
        message_id: Uuid,
        place: i64,
        said: Said,
    ) -> Message {
        let mut extra = Map::new();
        for (key, text) in [
            ("name", said.name),
            ("tool_call_id", said.call_id),
            ("finish_reason", said.finish_reason),
        ] {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                extra.insert(key.into(), text.into());
            }
        }
        if !said.media.is_empty() {
            extra.insert("media".into(), said.media.into());
        }
        Message {
            message_id,
            run_id: Some(placed.run),
            session_id: session_id(placed),
            step_id,
            role: said.role,
            content: self.fit.some(said.text),
            thinking: self.fit.some(said.thinking),
            tool_calls: (!said.calls.is_empty())
                .then(|| self.fit.json(&said.calls))
                .flatten(),
            metadata: (!extra.is_empty())
                .then(|| self.fit.object(&extra))
                .flatten(),
            seq: Some(place),
            sighting: true,
            believed_new: false,
        }
    }

    fn run_ended(&mut self, placed: &Placed<'_>, usage: Option<Usage>, has_step: bool) {
        let (status, error) = placed.outcome();
        let reported =
            |count: Option<i64>| count.and_then(|count| i32::try_from(count.max(0)).ok());
        let usage = usage.unwrap_or_default();
        // A root that is a step as well keeps what it says there.
        let ended = RunEnded {
            run_id: placed.run,
            by: RunEndedBy::RootSpan,
            status,
            output: None,
            error: error.map(|error| self.fit.text(error)),
            reported_tokens_input: reported(usage.input),
            reported_tokens_output: reported(usage.output),
            metadata: (!has_step)
                .then(|| self.fit.object(&Metadata(placed)))
                .flatten(),
            started_at: Some(placed.start),
        };
        self.push(placed, placed.end, EventBody::RunEnded(ended));
    }
}

/// Whether no other call is likely to answer just so. A "yes" is one message however
/// many calls of a conversation answer it.
fn is_distinctive(answer: &Said) -> bool {
    const LONG_BYTES: usize = 80;
    answer.calls.iter().any(|call| call.id.is_some()) || answer.text.len() >= LONG_BYTES
}

fn session_id(placed: &Placed<'_>) -> Option<Uuid> {
    placed.session.as_ref().map(|session| session.id)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message as _;
    use serde_json::Value;

    use super::*;
    use crate::ingest::otlp::{MapOptions, map::map_traces};

    /// The messages of a model's call, and which of them are believed new.
    fn believed_new(response_id: &str, answer: &Value) -> Vec<(MessageRole, bool)> {
        let text =
            |key: &str, text: &str| serde_json::json!({"key": key, "value": {"stringValue": text}});
        let long =
            "What was asked before is told by every call that comes after it, word for word.";
        let asked = serde_json::json!([
            {"role": "user", "parts": [{"type": "text", "content": long.repeat(2)}]},
        ]);
        let answered = serde_json::json!([{"role": "assistant", "parts": [answer]}]);
        let span = serde_json::json!({
            "traceId": "5b8aa5a2d2c872e8321cf37308d69df2", "spanId": "051581bf3cb55c13",
            "parentSpanId": "051581bf3cb55c14", "name": "chat", "startTimeUnixNano": "1767225600000000000",
            "endTimeUnixNano": "1767225601000000000",
            "attributes": [
                text("gen_ai.operation.name", "chat"),
                text("gen_ai.response.id", response_id),
                text("gen_ai.input.messages", &asked.to_string()),
                text("gen_ai.output.messages", &answered.to_string()),
            ]
        });
        let request = serde_json::json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]});
        let request: ExportTraceServiceRequest = serde_json::from_value(request).unwrap();
        let mapped = map_traces(&request.encode_to_vec(), &MapOptions::default()).unwrap();
        let events = mapped.events.into_iter();
        let messages = events.filter_map(|(_, event)| match event.body {
            EventBody::Message(message) => Some((message.role, message.believed_new)),
            _ => None,
        });
        messages.collect()
    }

    #[test]
    fn only_an_answer_that_no_other_call_gives_is_believed_new() {
        let (user, assistant) = (MessageRole::User, MessageRole::Assistant);
        let say = |content: &str| serde_json::json!({"type": "text", "content": content});
        let long = say(&"a long answer ".repeat(10));
        let told = |id: &str, answer: &Value| believed_new(id, answer);
        assert_eq!(told("", &long), [(user, false), (assistant, true)]);
        assert_eq!(told("", &say("yes")), [(user, false), (assistant, false)]);
        let call = |id: &Value| serde_json::json!({"type": "tool_call", "id": id, "name": "f", "arguments": {}});
        let (named, nameless) = (call(&"call_1".into()), call(&Value::Null));
        assert_eq!(told("", &named), [(user, false), (assistant, true)]);
        assert_eq!(told("", &nameless), [(user, false), (assistant, false)]);
        // Anthropic's client tells of the same call.
        assert_eq!(told("msg_01XY", &long), [(user, false), (assistant, false)]);
    }

    /// Who said what in the messages of an agent's span.
    fn said(status: i32, parts: &[(&str, &str)]) -> Vec<(MessageRole, String)> {
        let messages: Vec<Value> = parts
            .iter()
            .map(|(role, text)| {
                serde_json::json!({"role": role, "parts": [{"type": "text", "content": text}]})
            })
            .collect();
        let text = |key: &str, text: String| serde_json::json!({"key": key, "value": {"stringValue": text}});
        let span = serde_json::json!({
            "traceId": "5b8aa5a2d2c872e8321cf37308d69df2", "spanId": "051581bf3cb55c13",
            "name": "invoke_agent", "startTimeUnixNano": "1767225600000000000",
            "endTimeUnixNano": "1767225601000000000", "status": {"code": status},
            "attributes": [
                text("gen_ai.operation.name", "invoke_agent".into()),
                text("gen_ai.input.messages", Value::from(messages).to_string()),
            ]
        });
        let request = serde_json::json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]});
        let request: ExportTraceServiceRequest = serde_json::from_value(request).unwrap();
        let events = map_traces(&request.encode_to_vec(), &MapOptions::default());
        let events = events.unwrap().events;
        let messages = events
            .into_iter()
            .filter_map(|(_, event)| match event.body {
                EventBody::Message(message) => Some((message.role, message.content?)),
                _ => None,
            });
        messages.collect()
    }

    #[test]
    fn what_a_failed_agent_was_asked_last_is_told_though_no_call_tells_it() {
        const OK: i32 = 1;
        const ERROR: i32 = 2;
        let asked = [("system", "Be brief."), ("user", "Hello?")];
        let user = |text: &str| (MessageRole::User, text.to_owned());
        assert_eq!(said(ERROR, &asked), [user("Hello?")]);
        assert_eq!(said(OK, &asked), []);
        let history = [("user", "Hello?"), ("assistant", "Hi."), ("user", "And?")];
        assert_eq!(said(ERROR, &history), [user("And?")]);
        assert_eq!(said(ERROR, &history[..2]), []);
    }
}
