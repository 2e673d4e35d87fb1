//! What a span tells of its run.

use super::class::{Class, Work};
use super::conversation::Conversation;
use super::emit::Emitter;
use super::naming::{agent, name};
use super::placed::Placed;
use super::run::{Field, Said, rank};
use super::slots::Slot;
use super::text::Fit;
use crate::event::Timestamp;

impl Emitter<'_> {
    /// What the span tells of its run.
    pub fn observe(
        &mut self,
        placed: &Placed<'_>,
        work: &Work,
        conversation: &Conversation,
        root: bool,
    ) {
        let facts = &placed.facts;
        if let Some(session) = &placed.session {
            let said = |_: &mut Fit| Said::Session(session.id);
            self.say(placed, rank::OUTRIGHT, placed.start, Field::Session, said);
        }
        let is_agent = matches!(work.class, Class::Agent);
        let by = match work.class {
            _ if root => rank::OUTRIGHT,
            Class::Agent => rank::AGENT,
            Class::Llm => rank::CALL,
            _ => rank::STEP,
        };
        if let Some((agent_rank, agent)) = agent(facts, work.class, root) {
            let said = |fit: &mut Fit| Said::Agent(fit.text(agent));
            self.say(placed, agent_rank, placed.start, Field::Agent, said);
        }
        if let Some(service) = placed.origin.service {
            let said = |fit: &mut Fit| Said::Agent(fit.text(service));
            self.say(placed, rank::SERVICE, placed.start, Field::Agent, said);
        }
        let type_rank = if is_agent {
            rank::OUTRIGHT
        } else {
            by.max(rank::CALL)
        };
        if let Some(framework) = placed.origin.framework(facts.dialect) {
            let said = |fit: &mut Fit| Said::AgentType(fit.text(framework));
            self.say(placed, type_rank, placed.start, Field::AgentType, said);
        }
        if root || facts.has(Slot::RunName) {
            let said = |fit: &mut Fit| {
                let told = facts.text(Slot::RunName);
                Said::Name(fit.text(told.unwrap_or_else(|| name(facts, work.class).into())))
            };
            self.say(placed, rank::OUTRIGHT, placed.start, Field::Name, said);
        }
        if let Some(metadata) = &placed.origin.metadata {
            let said = |_: &mut Fit| Said::Metadata(metadata.clone());
            self.say(placed, rank::OUTRIGHT, placed.start, Field::Metadata, said);
        }
        if is_agent {
            // A wrapper around agents may end well though they did not.
            let (status, error) = placed.outcome();
            let said = |fit: &mut Fit| Said::Outcome(status, error.map(|error| fit.text(error)));
            self.say(placed, by, placed.end, Field::Outcome, said);
        }
        if root || matches!(work.class, Class::Agent | Class::Llm) {
            self.question_and_answer(placed, conversation, by, root);
        }
        if let Some(session) = &placed.session {
            let user = facts.text(Slot::User).map(String::from);
            let (position, time, fit) = (placed.position, placed.start, &mut *self.fit);
            let upsert = || session.upsert(facts.text(Slot::User).as_deref(), fit);
            self.observed
                .session(position, time, user, session.id, upsert);
        }
    }

    fn question_and_answer(
        &mut self,
        placed: &Placed<'_>,
        conversation: &Conversation,
        by: i32,
        root: bool,
    ) {
        let facts = &placed.facts;
        let readable = |text: &&str| !looks_like_a_dump(text);
        let raw = |slot| root.then(|| facts.text(slot)).flatten();
        if let Some(text) = conversation.question().filter(readable) {
            let said = |fit: &mut Fit| Said::Input(fit.text(text));
            self.say(placed, by, placed.start, Field::Input, said);
        } else if let Some(text) = raw(Slot::Input) {
            let said = |fit: &mut Fit| Said::Input(fit.text(text));
            self.say(placed, rank::RAW, placed.start, Field::Input, said);
        }
        if let Some(text) = conversation.answer().filter(readable) {
            let said = |fit: &mut Fit| Said::Output(fit.text(text));
            self.say(placed, by, placed.end, Field::Output, said);
        } else if let Some(text) = raw(Slot::Output) {
            let said = |fit: &mut Fit| Said::Output(fit.text(text));
            self.say(placed, rank::RAW, placed.end, Field::Output, said);
        }
    }

    /// One field, as one span tells it; not even made where another's stands.
    fn say(
        &mut self,
        placed: &Placed<'_>,
        rank: i32,
        time: Timestamp,
        field: Field,
        said: impl FnOnce(&mut Fit) -> Said,
    ) {
        if self.observed.wants(placed.run, field, rank, time) {
            let said = said(self.fit);
            self.observed
                .add(placed.run, placed.position, rank, time, said);
        }
    }
}

/// `StopEvent(result=…)`: an object as its language prints it.
fn looks_like_a_dump(text: &str) -> bool {
    let word = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && word.is_some_and(|at| at > 0 && text[at..].starts_with('('))
        && text.contains('=')
}
