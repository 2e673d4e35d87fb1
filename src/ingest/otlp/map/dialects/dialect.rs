//! One dialect: everything about it but its keys, which share one table.

use std::sync::Arc;

use super::ControlFlow;
use super::file::{CountingRules, EventRole};
use super::kind::WordTable;
use super::pattern::{Pattern, PatternList};
use super::rule::Rule;
use super::table::DialectIndex;

/// The set of attributes with which an SDK describes agents.
#[derive(Debug)]
pub struct Dialect {
    /// The name in metrics and metadata.
    pub name: Arc<str>,
    /// Where its words come from.
    pub source: String,
    /// Its position: if several dialects fit a span, the first wins.
    pub index: DialectIndex,
    /// The value of `agent_runs.agent_type`. `$1` is what the `*` of the scope
    /// matched, `$scope` the name of the SDK in the scope's name.
    pub agent_type: String,
    /// Its instrumentation scopes.
    pub scopes: PatternList,
    /// Its words for kinds of work.
    pub words: WordTable,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
    /// How it counts tokens.
    pub counting: CountingRules,
    /// The values of the facts `status` and `finish_reason` that mean failed.
    pub failed: Vec<String>,
    /// The types of exceptions that are no failure.
    pub control_flow: Vec<(Pattern, ControlFlow)>,
    /// Texts of messages that stand for what they really say.
    pub placeholders: PatternList,
    /// The only field of a wrapper around a tool's result.
    pub unwrap: Vec<String>,
    /// The events that carry one message.
    pub message_events: Vec<MessageEvent>,
}

/// A span event or log record that carries one message.
#[derive(Clone, Debug)]
pub struct MessageEvent {
    /// The name of the event.
    pub name: String,
    /// The role of the message.
    pub role: EventRole,
    /// The attribute, or field of the body, with the text.
    pub text: String,
}

impl Dialect {
    /// What the `*` of its first matching scope matched; an empty text if the
    /// scope has no `*`. `None` if no scope matches.
    pub fn matches_scope<'s>(&self, scope: &'s str) -> Option<&'s str> {
        let captured = (!self.scopes.is_empty()).then(|| self.scopes.captures(scope))??;
        Some(captured.first().copied().unwrap_or_default())
    }

    /// Whether it describes the work of many SDKs, and names none.
    pub fn is_convention(&self) -> bool {
        &*self.name == super::CONVENTIONS
    }

    /// Whether it is the one of spans that no dialect fits.
    pub fn is_unknown(&self) -> bool {
        &*self.name == super::UNKNOWN
    }

    /// Whether an exception of this type is no failure. Only the last part of its name
    /// counts.
    pub fn control_flow(&self, exception_type: &str) -> Option<ControlFlow> {
        let name = exception_type.rsplit('.').next().unwrap_or_default();
        let mut known = self.control_flow.iter();
        let found = known.find(|(pattern, _)| pattern.matches(name));
        found.map(|(_, flow)| *flow)
    }

    /// Whether a status or a finish reason means failed.
    pub fn is_failure(&self, status: &str) -> bool {
        self.failed
            .iter()
            .any(|word| word.eq_ignore_ascii_case(status))
    }
}
