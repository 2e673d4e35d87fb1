//! The layer that turns spans into runs and steps.
//!
//! It formats values before it locks a span's data: formatting may run the agent's code,
//! which may create spans itself.

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;
use uuid::Uuid;

use super::SpanDelivery;
use super::buffer::SpanBuffer;
use super::fields::SpanFields;
use crate::StreamSender;
use crate::proto::{
    EndStatus, Event, RunEnded, RunStarted, StepDetails, StepEnded, TokenCount,
    event::Event as Body,
};

/// Turns spans into runs and steps, as [`spans`](super) describes. A subscriber can have
/// one at most.
#[derive(Debug)]
pub struct SpanLayer(pub(super) SpanBuffer);

/// A span that is a run or a step, until it closes.
#[derive(Debug)]
struct OpenSpan {
    run: Uuid,
    /// `None`: the span is the run.
    step: Option<Uuid>,
    /// The enclosing step, in the same run.
    parent: Option<Uuid>,
    started: (SystemTime, Instant),
    fields: SpanFields,
    /// The text of the last ERROR event in it.
    error: Option<String>,
}

impl SpanLayer {
    /// A layer that sends spans over `stream`, and a handle to wait for them. The buffer
    /// holds `max_waiting` ended spans and starts of runs, at least two, and 16 MiB.
    ///
    /// # Panics
    /// Outside a Tokio runtime: the layer spawns a task.
    #[must_use]
    pub fn new(stream: StreamSender<()>, max_waiting: usize) -> (Self, SpanDelivery) {
        let delivery = SpanDelivery::new(stream, max_waiting);
        (Self(delivery.buffer.clone()), delivery)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let around = span.parent().and_then(|parent| {
            let extensions = parent.extensions();
            extensions
                .get::<OpenSpan>()
                .map(|open| (open.run, open.step))
        });
        let may_be_run = attributes.fields().field("run.agent").is_some();
        if around.is_none() && !may_be_run {
            return; // most spans of a program: do not even look at their fields
        }
        let mut fields = SpanFields::default();
        attributes.record(&mut fields);
        let mut open = OpenSpan {
            run: Uuid::now_v7(),
            step: None,
            parent: None,
            started: (SystemTime::now(), Instant::now()),
            fields,
            error: None,
        };
        match (open.fields.text("run.agent"), around) {
            (Some(agent), _) => {
                let start = open.run_started(agent, span.name(), around.map(|(run, _)| run));
                self.0.offer(vec![start], false);
            }
            (None, Some((run, parent))) => {
                open.step = Some(open.run);
                (open.run, open.parent) = (run, parent);
            }
            (None, None) => return,
        }
        span.extensions_mut().replace(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut fields = SpanFields::default();
        values.record(&mut fields);
        if let Some(span) = context.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<OpenSpan>()
        {
            open.fields.update(fields);
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        if *event.metadata().level() != Level::ERROR {
            return;
        }
        let mut fields = SpanFields::default();
        event.record(&mut fields);
        let said = ["message", "error"].map(|name| fields.text(name));
        let said = said.into_iter().flatten().filter(|said| !said.is_empty());
        let said = said.collect::<Vec<_>>().join(": ");
        if let Some(span) = context.event_span(event)
            && let Some(open) = span.extensions_mut().get_mut::<OpenSpan>()
        {
            open.error = Some(if said.is_empty() {
                "failed".into()
            } else {
                said
            });
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        // In a statement of its own, which releases the lock.
        let open = span.extensions_mut().remove::<OpenSpan>();
        if let Some(mut open) = open {
            match open.step {
                Some(step) => self.0.offer(open.step_ended(step, span.name()), true),
                None => self.0.offer(vec![open.run_ended()], false),
            }
        }
    }
}

impl OpenSpan {
    fn run_started(&mut self, agent: String, name: &str, parent: Option<Uuid>) -> Event {
        let of_the_end = self.fields.of_the_end();
        let fields = &mut self.fields;
        let started = RunStarted {
            run_id: id(self.run),
            session_id: fields.session().map(id).unwrap_or_default(),
            parent_run_id: parent.map(id).unwrap_or_default(),
            agent_id: agent,
            agent_type: fields.text("run.type").unwrap_or_default(),
            name: fields.text("run.name").or_else(|| Some(name.to_owned())),
            input: fields.text("run.input"),
            metadata_json: fields.rest(),
            ..RunStarted::default()
        };
        self.fields = of_the_end;
        event(self.started.0, Body::RunStarted(started))
    }

    fn run_ended(&mut self) -> Event {
        let (status, error) = self.outcome();
        let fields = &mut self.fields;
        let ended = RunEnded {
            run_id: id(self.run),
            status: status.into(),
            output: fields.text("run.output"),
            error,
            reported_tokens_input: fields.tokens("gen_ai.usage.input_tokens"),
            reported_tokens_output: fields.tokens("gen_ai.usage.output_tokens"),
            metadata_json: fields.rest(),
            ..RunEnded::default()
        };
        event(SystemTime::now(), Body::RunEnded(ended))
    }

    /// One event for the whole step, and one for its tokens.
    fn step_ended(&mut self, step: Uuid, name: &str) -> Vec<Event> {
        let now = SystemTime::now();
        let elapsed = self.started.1.elapsed().as_millis();
        let (status, error) = self.outcome();
        let fields = &mut self.fields;
        let model = fields.text("gen_ai.request.model");
        let tokens = TokenCount {
            token_count_id: id(Uuid::now_v7()),
            run_id: id(self.run),
            step_id: id(step),
            model: model.clone(),
            input: fields.tokens("gen_ai.usage.input_tokens"),
            output: fields.tokens("gen_ai.usage.output_tokens"),
            ..TokenCount::default()
        };
        let (step_type, kind) = fields.step_type(model.is_some());
        let ended = StepEnded {
            step_id: id(step),
            run_id: id(self.run),
            status: status.into(),
            output_json: fields.json("step.output"),
            error,
            started_at: Some(self.started.0.into()),
            duration_ms: i64::try_from(elapsed).ok(),
            details: Some(StepDetails {
                step_type: step_type.into(),
                kind,
                name: fields.text("step.name").or_else(|| Some(name.to_owned())),
                parent_step_id: self.parent.map(id).unwrap_or_default(),
                model,
                input_json: fields.json("step.input"),
                metadata_json: fields.rest(),
                ..StepDetails::default()
            }),
            ..StepEnded::default()
        };
        let mut events = vec![event(now, Body::StepEnded(ended))];
        if tokens.input.or(tokens.output).is_some() {
            events.push(event(now, Body::TokenCount(tokens)));
        }
        events
    }

    fn outcome(&mut self) -> (EndStatus, Option<String>) {
        let panicked = || std::thread::panicking().then(|| "panicked".to_owned());
        match self.fields.error().or(self.error.take()).or_else(panicked) {
            Some(error) => (EndStatus::Failed, Some(error)),
            None => (EndStatus::Completed, None),
        }
    }
}

fn event(time: SystemTime, body: Body) -> Event {
    Event {
        time: Some(time.into()),
        event: Some(body),
    }
}

fn id(id: Uuid) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}
