//! A span with its place: its run, its ids, its times, how it ended.

use serde_json::Value;
use uuid::Uuid;

use super::class::Class;
use super::dialects::{Dialect, anthropic_sdk, lang_graph};
use super::facts::Facts;
use super::ids::{self, Named};
use super::origin::Origin;
use super::session::Session;
use super::slots::Slot;
use super::{hex::hex, span_events};
use crate::event::{EndStatus, Timestamp};
use crate::ingest::otlp::wire::Status;

/// OTLP's span flags: the parent is known to be, and is, in another process.
const REMOTE_PARENT: u32 = 0x300;
/// Ids of responses shorter than this may be counted anew by a local server.
const DISTINCTIVE_ID_BYTES: usize = 24;
/// How the ids of Anthropic's responses begin; its client traces itself.
const ANTHROPIC_ID: &str = "msg_";
/// The view of a tool's call that the node around it has.
const NODE_VIEW: i16 = -1;

/// A span whose ids and times are valid.
pub struct Placed<'a> {
    /// What it says.
    pub facts: Facts<'a>,
    /// Where it comes from.
    pub origin: &'a Origin<'a>,
    /// Its place in the request.
    pub position: u32,
    /// The conversation that it is part of.
    pub session: Option<Session>,
    /// Its run: the trace, or the call that [`call_of_its_own`] tells of.
    pub run: Uuid,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
}

impl Placed<'_> {
    /// What a span id is called as a step.
    pub fn span_step(&self, span_id: &[u8]) -> Uuid {
        ids::within(self.run, Named::Span(span_id))
    }

    /// The span above, as a step.
    pub fn parent(&self) -> Option<Uuid> {
        let id = self.facts.span.parent_span_id;
        self.facts.has_parent().then(|| self.span_step(id))
    }

    /// Whether it ends its run: it has no parent, or none in this process.
    pub fn is_root(&self) -> bool {
        !self.facts.has_parent() || self.facts.span.flags & REMOTE_PARENT == REMOTE_PARENT
    }

    /// The step's id: shared by all views of one call where something is
    /// shared, else the span's own.
    pub fn step(&self, class: Class) -> Uuid {
        let named = match class {
            Class::Llm | Class::Embedding => {
                response_id(&self.facts).map(|id| ids::within(self.run, Named::Response(&id)))
            }
            Class::Tool => {
                let id = self.facts.text(Slot::ToolCallId).map(String::from);
                let id = id.or_else(|| lang_graph::call_node(&self.facts).map(hex));
                id.map(|id| ids::within(self.run, Named::ToolCall(&id)))
            }
            _ => None,
        };
        named.unwrap_or_else(|| self.span_step(self.facts.span.span_id))
    }

    /// How much this view counts where another describes the same call.
    pub fn view(&self) -> i16 {
        if lang_graph::is_call_node(&self.facts) {
            NODE_VIEW
        } else {
            self.facts.dialect.view()
        }
    }

    /// Whether another span is likely to tell of the same step: its row is then
    /// not appended in the belief that it is new.
    pub fn has_other_views(&self) -> bool {
        let anthropic = response_id(&self.facts).is_some_and(|id| id.starts_with(ANTHROPIC_ID));
        anthropic || lang_graph::call_node(&self.facts).is_some()
    }

    /// How it ended, and what went wrong.
    pub fn outcome(&self) -> (EndStatus, Option<String>) {
        let facts = &self.facts;
        let said = facts.span.status.as_ref();
        let level = facts
            .str(Slot::Level)
            .is_some_and(|level| level.eq_ignore_ascii_case("error"));
        let tool = matches!(facts.str(Slot::ToolStatus), Some("error" | "failed"));
        let failed = said.is_some_and(|status| status.code == Status::ERROR) || level || tool;
        if !failed {
            return (EndStatus::Completed, None);
        }
        let exception = span_events::exception(facts.span);
        let error = exception
            .and_then(|exception| exception.message.or(exception.kind))
            .or_else(|| {
                said.map(|status| status.message.to_owned())
                    .filter(|text| !text.is_empty())
            })
            .or_else(|| facts.text(Slot::ErrorMessage).map(Into::into))
            .or_else(|| facts.text(Slot::ErrorType).map(Into::into));
        (EndStatus::Failed, error)
    }
}

/// The run of a call that is told in two traces: no trace holds both spans, so
/// it is named after the response.
pub fn call_of_its_own(facts: &Facts<'_>) -> Option<Uuid> {
    let apart = !facts.has_parent() && anthropic_sdk::is_told_apart(facts);
    apart
        .then(|| response_id(facts).map(|id| ids::call(&id, facts.tenant)))
        .flatten()
}

/// The id of the response, where it can be no other call's.
fn response_id(facts: &Facts<'_>) -> Option<String> {
    let told = facts.text(Slot::ResponseId).map(String::from);
    let id = told.or_else(|| id_in(facts.str(Slot::Output)?))?;
    let distinctive = id.len() >= DISTINCTIVE_ID_BYTES || id.starts_with(ANTHROPIC_ID);
    // Log records that belong to the call know the span alone.
    let told_in_logs = facts.key(Slot::GenAiOperation).is_some()
        && facts.scope.starts_with("opentelemetry.instrumentation.")
        && facts
            .span
            .attributes
            .iter()
            .any(|attribute| attribute.key == "gen_ai.system")
        && !facts.has(Slot::InputMessages)
        && facts.dialect == Dialect::GenAi;
    (distinctive && !told_in_logs).then_some(id)
}

/// The `id` of a response that is recorded whole, by the client or by LangChain.
fn id_in(output: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Response<'a> {
        #[serde(borrow)]
        id: Option<std::borrow::Cow<'a, str>>,
        generations: Option<Value>,
    }
    if !output.starts_with('{') || !output.contains("\"id\"") {
        return None;
    }
    let response: Response<'_> = serde_json::from_str(output).ok()?;
    if let Some(id) = response.id {
        return Some(id.into_owned());
    }
    let kwargs = "/0/0/message/kwargs";
    let places = [
        format!("{kwargs}/response_metadata/id"),
        format!("{kwargs}/id"),
    ];
    let generations = response.generations?;
    let ids = places
        .iter()
        .filter_map(|place| generations.pointer(place)?.as_str());
    // LangChain's own ids ("lc_run-…") are no one else's.
    let shared = ["chatcmpl-", "resp_", "msg_", "gen-"];
    ids.into_iter()
        .find(|id| shared.iter().any(|kind| id.starts_with(kind)))
        .map(str::to_owned)
}
