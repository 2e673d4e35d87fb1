//! Makes the events of a span from its facts.

use serde_json::Map;
use uuid::Uuid;

use super::class::{Classification, ClassifiedSpan, SpanClass, classify_with_reason};
use super::conversation::{Conversation, IdentifiedMessage};
use super::facts::SpanFacts;
use super::fit::FieldFitter;
use super::ids::{self, IdSource};
use super::messages::ChatMessage;
use super::metadata::StepMetadata;
use super::naming::{model_name, step_name, step_type};
use super::observations::Observations;
use super::observe::RunObserver;
use super::placed::PlacedSpan;
use super::slots::Slot;
use super::usage::TokenUsage;
use super::{ghost, scores, time, tool, unknown, value};
use crate::event::{
    AliasedRoot, EndStatus, Event, EventBody, Json, Message, MessageRole, RunEnded, RunEndedBy,
    StepAliased, StepDetails, StepEnded, StepStarted, Timestamp, TokenCount,
};

/// An answer of this length is unlikely to be repeated word for word by another
/// call. A shorter one, such as "yes", may be.
const DISTINCTIVE_ANSWER_BYTES: usize = 80;

/// Collects the events of the spans of a request.
pub struct Emitter<'m> {
    /// The events, each with the position of its span.
    pub events: &'m mut Vec<(u32, Event)>,
    /// Makes fields storable.
    pub fit: &'m mut FieldFitter,
    /// Collects the observations of runs and sessions.
    pub observed: &'m mut Observations,
}

/// The result of emitting a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmitOutcome {
    /// The span made a step, ended a run, or both.
    Mapped,
    /// The span is not an agent's work. It made only an alias, which links its
    /// children to its parent. Holds the reason.
    Ignored(&'static str),
    /// The span made a step, which says that it was not understood.
    NotUnderstood,
}

impl Emitter<'_> {
    /// Emits the events of one span.
    pub fn emit_span(&mut self, placed: &PlacedSpan<'_>, keep_foreign: bool) -> EmitOutcome {
        if let Some(reason) = ghost::reason(&placed.facts) {
            self.emit_alias(placed);
            return EmitOutcome::Ignored(reason);
        }
        let ClassifiedSpan {
            mut classification,
            reason,
            unknown_word,
        } = classify_with_reason(&placed.facts);
        let understood = !unknown::is_not_understood(&placed.facts, &classification, reason);
        if !understood {
            let kind = unknown::NOT_UNDERSTOOD;
            classification = Classification::with_kind(SpanClass::Other, kind);
        }
        if classification.class == SpanClass::Ghost {
            self.emit_alias(placed);
            return EmitOutcome::Ignored("announcement");
        }
        if classification.class == SpanClass::Foreign {
            if !keep_foreign {
                self.emit_alias(placed);
                return EmitOutcome::Ignored("foreign");
            }
            classification = Classification::with_kind(SpanClass::Other, "span");
        }
        if placed.ending.paused.is_some() && classification.class == SpanClass::Tool {
            // The tool was not called: it waits for a person.
            classification = Classification::with_kind(SpanClass::Other, "paused");
        }
        let root = placed.is_root();
        let conversation = match classification.class {
            SpanClass::Llm | SpanClass::Agent => Conversation::read(&placed.facts),
            SpanClass::Workflow if root => Conversation::read(&placed.facts),
            _ => Conversation::default(),
        };
        let own_step = placed.facts.has_parent()
            || !matches!(classification.class, SpanClass::Agent | SpanClass::Workflow);
        let usage = TokenUsage::read(&placed.facts);
        let mut step_id = None;
        if own_step {
            let id = self.emit_step(placed, &classification, unknown_word, &conversation);
            self.emit_token_count(placed, &classification, id, usage);
            step_id = Some(id);
        }
        let mut observer = RunObserver {
            fit: self.fit,
            observed: self.observed,
        };
        observer.observe(placed, &classification, &conversation, root);
        self.emit_scores(placed, step_id);
        match classification.class {
            SpanClass::Llm => self.emit_messages(placed, step_id, conversation),
            SpanClass::Agent => self.emit_unanswered(placed, step_id, conversation),
            _ => {}
        }
        if root {
            let metadata = (!own_step).then_some(StepMetadata {
                placed,
                unknown_word,
                call: None,
            });
            self.emit_run_end(placed, usage.filter(|_| !own_step), metadata.as_ref());
        }
        if understood {
            EmitOutcome::Mapped
        } else {
            EmitOutcome::NotUnderstood
        }
    }

    fn push(&mut self, placed: &PlacedSpan<'_>, time: Timestamp, body: EventBody) {
        self.events.push((placed.position, Event::new(time, body)));
    }

    /// Emits the alias of a span that is not a step. Its children belong below
    /// its parent. If it is the root, it ends its run, if there is one.
    fn emit_alias(&mut self, placed: &PlacedSpan<'_>) {
        let ending = &placed.ending;
        let root = placed.end.filter(|_| placed.is_root());
        let root = root.map(|ended_at| AliasedRoot {
            started_at: placed.start,
            ended_at,
            status: ending.status,
            error: ending.error.as_deref().map(|error| self.fit.text(error)),
            name: self.fit.text(placed.facts.span.name),
        });
        let alias = StepAliased {
            alias_id: placed.span_step_id(placed.facts.span.span_id),
            run_id: placed.run,
            step_id: None,
            parent_step_id: placed.parent_step_id(),
            root,
        };
        self.push(placed, placed.last_time(), EventBody::StepAliased(alias));
    }

    /// Emits the step of a span: its end, or its start if it has not ended.
    fn emit_step(
        &mut self,
        placed: &PlacedSpan<'_>,
        classification: &Classification,
        unknown_word: Option<&str>,
        conversation: &Conversation,
    ) -> Uuid {
        let facts = &placed.facts;
        let span_step = placed.span_step_id(facts.span.span_id);
        let parent_step_id = placed.parent_step_id();
        let shared = placed.shared_step_id(classification.class);
        let step_id = shared.unwrap_or(span_step);
        if step_id != span_step {
            let alias = StepAliased {
                alias_id: span_step,
                run_id: placed.run,
                step_id: Some(step_id),
                parent_step_id,
                root: None,
            };
            self.push(placed, placed.last_time(), EventBody::StepAliased(alias));
        }
        let (input, output) = self.step_input_and_output(facts, classification.class, conversation);
        let model = model_name(facts);
        let kind = match classification.class {
            SpanClass::Agent => Some("agent".into()),
            _ => classification.kind.clone(),
        };
        let details = StepDetails {
            step_type: step_type(classification.class),
            kind: kind.map(|kind| self.fit.text(kind)),
            name: self
                .fit
                .non_empty_text(step_name(facts, classification.class)),
            parent_step_id,
            parent_may_be_alias: true,
            model: model.and_then(|model| self.fit.non_empty_text(model)),
            input,
            metadata: self.fit.object(&StepMetadata {
                placed,
                unknown_word,
                call: placed.call_id(classification.class),
            }),
        };
        let Some(end) = placed.end else {
            let started = StepStarted {
                step_id,
                run_id: placed.run,
                details,
            };
            self.push(placed, placed.start, EventBody::StepStarted(started));
            return step_id;
        };
        let ending = &placed.ending;
        let ended = StepEnded {
            step_id,
            run_id: placed.run,
            details: Some(details),
            status: ending.status,
            output,
            error: ending.error.as_deref().map(|error| self.fit.text(error)),
            started_at: Some(placed.start),
            duration_ms: None,
            announced: placed.has_other_views(),
            view: placed.view(classification.class),
        };
        self.push(placed, end, EventBody::StepEnded(ended));
        step_id
    }

    fn step_input_and_output(
        &mut self,
        facts: &SpanFacts<'_>,
        class: SpanClass,
        conversation: &Conversation,
    ) -> (Option<Json>, Option<Json>) {
        if matches!(class, SpanClass::Tool | SpanClass::Transfer) {
            return tool::arguments_and_result(facts, self.fit);
        }
        let mut first_or_messages =
            |slots: &[Slot], messages: &[ChatMessage]| match facts.first(slots).map(value::text) {
                Some(text) if value::looks_like_json(&text) => self.fit.json_text(&text),
                Some(text) => self.fit.json(&*text),
                None if messages.is_empty() => None,
                None => self.fit.json(messages),
            };
        (
            first_or_messages(
                &[Slot::Input, Slot::InputMessages, Slot::Prompt],
                &conversation.input,
            ),
            first_or_messages(&[Slot::Output, Slot::OutputMessages], &conversation.output),
        )
    }

    /// Emits the token count of a step. Only the counts of model and embedding
    /// calls are totalled; those of other steps repeat them and are roll-ups.
    fn emit_token_count(
        &mut self,
        placed: &PlacedSpan<'_>,
        classification: &Classification,
        step_id: Uuid,
        usage: Option<TokenUsage>,
    ) {
        let Some(usage) = usage else { return };
        let facts = &placed.facts;
        let model = model_name(facts);
        let count = TokenCount {
            token_count_id: ids::derived(placed.run, IdSource::Tokens(step_id)),
            run_id: placed.run,
            step_id: Some(step_id),
            model: model.and_then(|model| self.fit.non_empty_text(model)),
            input: stored_count(usage.input),
            output: stored_count(usage.output),
            cache_read: stored_count(usage.cache_read),
            cache_write: stored_count(usage.cache_write),
            reasoning: stored_count(usage.reasoning),
            rollup: !matches!(classification.class, SpanClass::Llm | SpanClass::Embedding),
        };
        self.push(placed, placed.last_time(), EventBody::TokenCount(count));
    }

    /// Emits the scores of a span: of its step, or of the run if the span is no step.
    fn emit_scores(&mut self, placed: &PlacedSpan<'_>, step_id: Option<Uuid>) {
        let span = placed.facts.span;
        let of_span = scores::of_attributes(placed.facts.kept_attributes.iter().copied());
        let of_span = of_span.into_iter().map(|score| (placed.last_time(), score));
        let events = span.events.iter();
        let events = events.filter(|event| scores::states_score(event.name));
        let of_events = events.filter_map(|event| {
            let at = match event.time_unix_nano {
                0 => placed.last_time(),
                at => time::timestamp(at).unwrap_or(placed.last_time()),
            };
            let fields = value::object(&event.attributes);
            Some((at, scores::of_event(event.name, &fields)?))
        });
        for (at, score) in of_span.chain(of_events) {
            let score = score.into_event(placed.run, step_id, span.span_id, self.fit);
            self.push(placed, at, EventBody::Score(score));
        }
    }

    /// Emits the messages of a call as sightings, because later calls repeat them.
    fn emit_messages(
        &mut self,
        placed: &PlacedSpan<'_>,
        step_id: Option<Uuid>,
        conversation: Conversation,
    ) {
        let scope = session_id(placed).unwrap_or(placed.run);
        let only_view = !placed.has_other_views();
        for identified in conversation.with_ids(scope) {
            let is_answer = identified.is_answer;
            let time = if is_answer {
                placed.last_time()
            } else {
                placed.start
            };
            let believed_new = is_answer && only_view && is_distinctive(&identified.message);
            let message = Message {
                believed_new,
                ..self.build_message(placed, step_id, identified)
            };
            self.push(placed, time, EventBody::Message(message));
        }
    }

    /// Emits the last questions to an agent that failed before it answered. The
    /// failed model call may not state its input. If it does, its sighting is
    /// earlier and wins.
    fn emit_unanswered(
        &mut self,
        placed: &PlacedSpan<'_>,
        step_id: Option<Uuid>,
        conversation: Conversation,
    ) {
        if !placed.facts.has(Slot::InputMessages) || placed.ending.status != EndStatus::Failed {
            return;
        }
        let scope = session_id(placed).unwrap_or(placed.run);
        let messages: Vec<_> = conversation.with_ids(scope).collect();
        let is_question = |each: &IdentifiedMessage| each.message.role == MessageRole::User;
        let last_other = messages.iter().rposition(|each| !is_question(each));
        let first_unanswered = last_other.map_or(0, |at| at + 1);
        for identified in messages.into_iter().skip(first_unanswered) {
            let message = self.build_message(placed, step_id, identified);
            self.push(placed, placed.last_time(), EventBody::Message(message));
        }
    }

    fn build_message(
        &mut self,
        placed: &PlacedSpan<'_>,
        step_id: Option<Uuid>,
        identified: IdentifiedMessage,
    ) -> Message {
        let chat = identified.message;
        let mut extra = Map::new();
        for (key, text) in [
            ("name", chat.name),
            ("tool_call_id", chat.call_id),
            ("finish_reason", chat.finish_reason),
        ] {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                extra.insert(key.into(), text.into());
            }
        }
        if !chat.media.is_empty() {
            extra.insert("media".into(), chat.media.into());
        }
        Message {
            message_id: identified.id,
            run_id: Some(placed.run),
            session_id: session_id(placed),
            step_id,
            role: chat.role,
            content: self.fit.non_empty_text(chat.text),
            thinking: self.fit.non_empty_text(chat.thinking),
            tool_calls: (!chat.calls.is_empty())
                .then(|| self.fit.json(&chat.calls))
                .flatten(),
            metadata: (!extra.is_empty())
                .then(|| self.fit.object(&extra))
                .flatten(),
            seq: Some(identified.position),
            sighting: true,
            believed_new: false,
        }
    }

    /// Emits the end of a run. If the root is also a step, the step has the metadata.
    fn emit_run_end(
        &mut self,
        placed: &PlacedSpan<'_>,
        usage: Option<TokenUsage>,
        metadata: Option<&StepMetadata<'_>>,
    ) {
        let Some(end) = placed.end else { return };
        let ending = &placed.ending;
        let usage = usage.unwrap_or_default();
        let ended = RunEnded {
            run_id: placed.run,
            by: RunEndedBy::RootSpan,
            status: ending.status,
            output: None,
            error: ending.error.as_deref().map(|error| self.fit.text(error)),
            reported_tokens_input: stored_count(usage.input),
            reported_tokens_output: stored_count(usage.output),
            metadata: metadata.and_then(|metadata| self.fit.object(metadata)),
            started_at: Some(placed.start),
        };
        self.push(placed, end, EventBody::RunEnded(ended));
    }
}

/// Whether another call is unlikely to give the same answer: it has a tool call
/// with an id, or a long text.
fn is_distinctive(answer: &ChatMessage) -> bool {
    let has_call_id = answer.calls.iter().any(|call| call.id.is_some());
    has_call_id || answer.text.len() >= DISTINCTIVE_ANSWER_BYTES
}

/// A token count as its column stores it. Negative counts become 0, counts that
/// are too large are unknown.
fn stored_count(count: Option<i64>) -> Option<i32> {
    count.and_then(|count| i32::try_from(count.max(0)).ok())
}

fn session_id(placed: &PlacedSpan<'_>) -> Option<Uuid> {
    placed.session.as_ref().map(|session| session.id)
}

#[cfg(test)]
mod tests;
