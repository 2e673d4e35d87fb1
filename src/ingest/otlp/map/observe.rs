//! Collects what a span tells about its run and its session.

use super::class::{Classification, SpanClass};
use super::conversation::Conversation;
use super::fit::FieldFitter;
use super::naming::{agent_name, step_name};
use super::observations::{Observations, RunFact, RunField, SessionParties, rank};
use super::placed::PlacedSpan;
use super::slots::Slot;
use super::tags;
use crate::event::Timestamp;

/// Adds the observations of spans to those of their request.
pub struct RunObserver<'m> {
    /// Makes fields storable.
    pub fit: &'m mut FieldFitter,
    /// The observations of the request.
    pub observed: &'m mut Observations,
}

impl RunObserver<'_> {
    /// Observes one span.
    pub fn observe(
        &mut self,
        placed: &PlacedSpan<'_>,
        classification: &Classification,
        conversation: &Conversation,
        root: bool,
    ) {
        let facts = &placed.facts;
        if let Some(session) = &placed.session {
            let fact = |_: &mut FieldFitter| RunFact::Session(session.id);
            self.observe_field(placed, rank::DIRECT, placed.start, RunField::Session, fact);
        }
        let is_agent = matches!(classification.class, SpanClass::Agent);
        let source_rank = match classification.class {
            _ if root => rank::DIRECT,
            SpanClass::Agent => rank::AGENT,
            SpanClass::Llm => rank::CALL,
            _ => rank::STEP,
        };
        let named = agent_name(facts, classification.class, root);
        if let Some((agent_rank, agent)) = &named {
            let fact = |fit: &mut FieldFitter| RunFact::Agent(fit.text(agent));
            self.observe_field(placed, *agent_rank, placed.start, RunField::Agent, fact);
        }
        if let Some(service) = placed.origin.service {
            let fact = |fit: &mut FieldFitter| RunFact::Agent(fit.text(service));
            self.observe_field(placed, rank::SERVICE, placed.start, RunField::Agent, fact);
        }
        let type_rank = if is_agent {
            rank::DIRECT
        } else {
            source_rank.max(rank::CALL)
        };
        if let Some(framework) = placed.origin.framework(facts.dialect, facts.dialects) {
            let fact = |fit: &mut FieldFitter| RunFact::AgentType(fit.text(framework));
            self.observe_field(placed, type_rank, placed.start, RunField::AgentType, fact);
        }
        if root || facts.has(Slot::RunName) {
            let fact =
                |fit: &mut FieldFitter| {
                    let stated = facts.text(Slot::RunName);
                    RunFact::Name(fit.text(
                        stated.unwrap_or_else(|| step_name(facts, classification.class).into()),
                    ))
                };
            self.observe_field(placed, rank::DIRECT, placed.start, RunField::Name, fact);
        }
        if let Some(metadata) = &placed.origin.metadata {
            let fact = |_: &mut FieldFitter| RunFact::Metadata(metadata.clone());
            let field = RunField::Metadata(metadata.service_key);
            self.observe_field(placed, rank::DIRECT, placed.start, field, fact);
        }
        if let Some(end) = placed.end.filter(|_| is_agent) {
            // The wrapper around an agent may complete although the agent failed.
            let is_named = named.is_some_and(|(rank, _)| rank == rank::DIRECT);
            let outcome_rank = if is_named { source_rank } else { rank::CALL };
            let fact = |fit: &mut FieldFitter| {
                let error = placed.ending.error.as_deref();
                RunFact::Outcome(placed.ending.status, error.map(|error| fit.text(error)))
            };
            self.observe_field(placed, outcome_rank, end, RunField::Outcome, fact);
        }
        if root || matches!(classification.class, SpanClass::Agent | SpanClass::Llm) {
            self.question_and_answer(placed, conversation, source_rank, root);
        }
        let customer = tags::customer(facts).or_else(|| placed.origin.customer.clone());
        let own_rank = if root { rank::DIRECT } else { rank::STEP };
        self.labels(placed, own_rank, customer.as_deref());
        if let Some(session) = &placed.session {
            let user = facts.text(Slot::User).map(String::from);
            let (position, time, fit) = (placed.position, placed.start, &mut *self.fit);
            let parties = SessionParties { user, customer };
            let upsert = || session.upsert(&parties, fit);
            self.observed
                .add_session(position, time, parties.clone(), session.id, upsert);
        }
    }

    /// Observes whose the run is, and its tags.
    fn labels(&mut self, placed: &PlacedSpan<'_>, rank: i32, customer: Option<&str>) {
        let at = placed.start;
        if let Some(customer) = customer {
            let fact = |fit: &mut FieldFitter| RunFact::Customer(fit.text(customer));
            self.observe_field(placed, rank, at, RunField::Customer, fact);
        }
        if let Some(user) = tags::user_name(&placed.facts) {
            let fact = |fit: &mut FieldFitter| RunFact::User(fit.text(user));
            self.observe_field(placed, rank, at, RunField::User, fact);
        }
        if let Some(tags) = tags::tags(&placed.facts)
            && let Some(tags) = self.fit.json(&tags)
        {
            let fact = |_: &mut FieldFitter| RunFact::Tags(tags);
            self.observe_field(placed, rank, at, RunField::Tags, fact);
        }
    }

    fn question_and_answer(
        &mut self,
        placed: &PlacedSpan<'_>,
        conversation: &Conversation,
        source_rank: i32,
        root: bool,
    ) {
        let facts = &placed.facts;
        let readable = |text: &&str| !looks_like_printed_object(text);
        let raw = |slot| root.then(|| facts.text(slot)).flatten();
        if let Some(text) = conversation.last_question().filter(readable) {
            let fact = |fit: &mut FieldFitter| RunFact::Input(fit.text(text));
            self.observe_field(placed, source_rank, placed.start, RunField::Input, fact);
        } else if let Some(text) = raw(Slot::Input) {
            let fact = |fit: &mut FieldFitter| RunFact::Input(fit.text(text));
            self.observe_field(placed, rank::RAW, placed.start, RunField::Input, fact);
        }
        let Some(end) = placed.end else { return };
        if let Some(text) = conversation.last_answer().filter(readable) {
            let fact = |fit: &mut FieldFitter| RunFact::Output(fit.text(text));
            self.observe_field(placed, source_rank, end, RunField::Output, fact);
        } else if let Some(text) = raw(Slot::Output) {
            let fact = |fit: &mut FieldFitter| RunFact::Output(fit.text(text));
            self.observe_field(placed, rank::RAW, end, RunField::Output, fact);
        }
    }

    /// Observes one field. Makes its value only if it beats the one observed so far.
    fn observe_field(
        &mut self,
        placed: &PlacedSpan<'_>,
        rank: i32,
        time: Timestamp,
        field: RunField,
        fact: impl FnOnce(&mut FieldFitter) -> RunFact,
    ) {
        if self.observed.is_better(placed.run, field, rank, time) {
            let fact = fact(self.fit);
            self.observed
                .add(placed.run, placed.position, rank, time, fact);
        }
    }
}

/// Whether a text is an object as a programming language prints it, such as
/// `StopEvent(result=…)`.
fn looks_like_printed_object(text: &str) -> bool {
    let word = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && word.is_some_and(|at| at > 0 && text[at..].starts_with('('))
        && text.contains('=')
}
