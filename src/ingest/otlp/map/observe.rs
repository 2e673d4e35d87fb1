//! What a span tells of its run.

use super::class::{Class, Work};
use super::conversation::Conversation;
use super::emit::Emitter;
use super::naming::{agent, name};
use super::placed::Placed;
use super::run::{Said, rank};
use super::session;
use super::slots::Slot;
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
        let (run, position) = (placed.run, placed.position);
        let mut say = |rank: i32, time: Timestamp, said: Said| {
            self.observed.add(run, position, rank, time, said)
        };
        if let Some(session) = session::of(facts) {
            say(rank::OUTRIGHT, placed.start, Said::Session(session.id));
        }
        let is_agent = matches!(work.class, Class::Agent);
        let by = match work.class {
            _ if root => rank::OUTRIGHT,
            Class::Agent => rank::AGENT,
            Class::Llm => rank::CALL,
            _ => rank::STEP,
        };
        if let Some((agent_rank, agent)) = agent(facts, work.class, root) {
            say(agent_rank, placed.start, Said::Agent(self.fit.text(agent)));
        }
        if let Some(service) = placed.origin.service {
            say(
                rank::SERVICE,
                placed.start,
                Said::Agent(self.fit.text(service)),
            );
        }
        let framework = placed.origin.framework(facts.dialect);
        if let Some(framework) = framework {
            let type_rank = if is_agent {
                rank::OUTRIGHT
            } else {
                by.max(rank::CALL)
            };
            say(
                type_rank,
                placed.start,
                Said::AgentType(self.fit.text(framework)),
            );
        }
        if root {
            let told = facts
                .text(Slot::RunName)
                .unwrap_or_else(|| name(facts, work.class).into());
            say(
                rank::OUTRIGHT,
                placed.start,
                Said::Name(self.fit.text(told)),
            );
        } else if let Some(told) = facts.text(Slot::RunName) {
            say(
                rank::OUTRIGHT,
                placed.start,
                Said::Name(self.fit.text(told)),
            );
        }
        if let Some(metadata) = &placed.origin.metadata {
            say(
                rank::OUTRIGHT,
                placed.start,
                Said::Metadata(metadata.clone()),
            );
        }
        if is_agent {
            // A wrapper around agents may end well though they did not.
            let (status, error) = placed.outcome();
            let error = error.map(|error| self.fit.text(error));
            self.observed
                .add(run, position, by, placed.end, Said::Outcome(status, error));
        }
        if root || matches!(work.class, Class::Agent | Class::Llm) {
            self.question_and_answer(placed, conversation, by, root);
        }
        if let Some(session) = session::of(facts) {
            let (user, upsert) = session.upsert(facts, self.fit);
            self.observed.session(position, placed.start, user, upsert);
        }
    }

    fn question_and_answer(
        &mut self,
        placed: &Placed<'_>,
        conversation: &Conversation,
        by: i32,
        root: bool,
    ) {
        let (run, position, facts) = (placed.run, placed.position, &placed.facts);
        let readable = |text: &&str| !looks_like_a_dump(text);
        let raw = |slot| root.then(|| facts.text(slot)).flatten();
        if let Some(text) = conversation.question().filter(readable) {
            if self
                .observed
                .wants(run, &Said::Input(String::new()), by, placed.start)
            {
                let said = Said::Input(self.fit.text(text));
                self.observed.add(run, position, by, placed.start, said);
            }
        } else if let Some(text) = raw(Slot::Input) {
            let said = Said::Input(self.fit.text(text));
            self.observed
                .add(run, position, rank::RAW, placed.start, said);
        }
        if let Some(text) = conversation.answer().filter(readable) {
            if self
                .observed
                .wants(run, &Said::Output(String::new()), by, placed.end)
            {
                let said = Said::Output(self.fit.text(text));
                self.observed.add(run, position, by, placed.end, said);
            }
        } else if let Some(text) = raw(Slot::Output) {
            let said = Said::Output(self.fit.text(text));
            self.observed
                .add(run, position, rank::RAW, placed.end, said);
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
