//! A valid span with its run, ids, times and outcome.

use std::borrow::Cow;

use serde_json::Value;
use uuid::Uuid;

use super::class::SpanClass;
use super::facts::SpanFacts;
use super::hex::hex;
use super::ids::{self, IdSource};
use super::lang_graph;
use super::origin::SpanOrigin;
use super::outcome::SpanEnding;
use super::session::SpanSession;
use super::slots::Slot;
use crate::event::Timestamp;
use crate::ingest::otlp::wire::Span;

/// A shorter response id may not be unique: a local server may use a counter
/// that restarts.
const UNIQUE_RESPONSE_ID_BYTES: usize = 24;
/// The prefix of Anthropic's response ids. They are always unique, and the
/// Anthropic client traces its calls itself.
const ANTHROPIC_ID_PREFIX: &str = "msg_";
/// The view of a span with all texts and tools.
const FULL_VIEW: i16 = 0;
/// The view of a client library, which records neither texts nor tools, or of a
/// LangGraph node around its tool. It only fills gaps.
const LESSER_VIEW: i16 = -1;
/// The view that a server has of a tool call: it knows nothing of the model that asked. The
/// store looks for the caller's view (`find_views.sql`).
const SERVER_VIEW: i16 = -3;

/// A span with valid ids and times.
pub struct PlacedSpan<'a> {
    /// The facts that the span states.
    pub facts: SpanFacts<'a>,
    /// The resource and scope of the span.
    pub origin: &'a SpanOrigin<'a>,
    /// The index of the span in the request.
    pub position: u32,
    /// The session that the span belongs to.
    pub session: Option<SpanSession>,
    /// The run: that of the trace, or of [`run_of_separate_call`].
    pub run: Uuid,
    /// The start time.
    pub start: Timestamp,
    /// The end time. `None` if the span has not ended.
    pub end: Option<Timestamp>,
    /// How it ended.
    pub ending: SpanEnding,
    /// The id of its response, if no other call can have the same id.
    pub response_id: Option<String>,
}

impl PlacedSpan<'_> {
    /// The step id of a span, by its span id.
    pub fn span_step_id(&self, span_id: &[u8]) -> Uuid {
        ids::derived(self.run, IdSource::Span(span_id))
    }

    /// The step id of the parent span.
    pub fn parent_step_id(&self) -> Option<Uuid> {
        let id = self.facts.span.parent_span_id;
        self.facts.has_parent().then(|| self.span_step_id(id))
    }

    /// Whether the span ends its run: it has no parent in this process.
    pub fn is_root(&self) -> bool {
        let remote = Span::REMOTE_PARENT_FLAGS;
        !self.facts.has_parent() || self.facts.span.flags & remote == remote
    }

    /// The id of a step that another span may describe too: if no run has both spans, and if
    /// LangGraph made a node for one tool call. All other steps have the id of their span.
    pub fn shared_step_id(&self, class: SpanClass) -> Option<Uuid> {
        match class {
            SpanClass::Llm | SpanClass::Embedding if self.is_separate() => {
                let id = self.response_id.as_deref();
                id.map(|id| ids::derived(self.run, IdSource::Response(id)))
            }
            SpanClass::Tool => lang_graph::call_node(&self.facts)
                .map(|node| ids::derived(self.run, IdSource::ToolCall(&hex(node)))),
            _ => None,
        }
    }

    /// Whether the run is that of a call, and not that of a trace.
    fn is_separate(&self) -> bool {
        self.run.as_bytes().as_slice() != self.facts.span.trace_id
    }

    /// The id that the views of a call share: that of the response or the tool call. Other
    /// calls may have it too, because caches repeat responses and some models number the
    /// tools of each answer.
    pub fn call_id(&self, class: SpanClass) -> Option<Cow<'_, str>> {
        match class {
            SpanClass::Llm | SpanClass::Embedding => self.response_id.as_deref().map(Into::into),
            SpanClass::Tool => self.facts.text(Slot::ToolCallId),
            _ => None,
        }
    }

    /// The rank of this view of a call: [`LESSER_VIEW`] if another span describes
    /// the call more completely.
    pub fn view(&self, class: SpanClass) -> i16 {
        if class == SpanClass::Tool && self.facts.span.kind == Span::KIND_SERVER {
            SERVER_VIEW
        } else if self.facts.ruled.lesser_view || lang_graph::is_call_node(&self.facts) {
            LESSER_VIEW
        } else {
            FULL_VIEW
        }
    }

    /// Whether another span probably describes the same step. The store then
    /// does not assume that the step is new.
    pub fn has_other_views(&self) -> bool {
        let is_anthropic = |id: &str| id.starts_with(ANTHROPIC_ID_PREFIX);
        self.response_id.as_deref().is_some_and(is_anthropic)
            || lang_graph::call_node(&self.facts).is_some()
    }

    /// When the span ended, or began if it has not ended.
    pub fn last_time(&self) -> Timestamp {
        self.end.unwrap_or(self.start)
    }
}

/// The run of a call whose two spans are in two traces. No trace has both spans,
/// so the run is derived from the id of the response.
pub fn run_of_separate_call(facts: &SpanFacts<'_>) -> Option<Uuid> {
    facts
        .ruled
        .run_of_response
        .then(|| response_id(facts).map(|id| ids::run_of_call(&id, facts.tenant)))
        .flatten()
}

/// The id of the response, if no other call can have the same id.
pub fn response_id(facts: &SpanFacts<'_>) -> Option<String> {
    let stated = facts.text(Slot::ResponseId).map(String::from);
    let id = stated.or_else(|| recorded_response_id(facts.str(Slot::Output)?))?;
    let unique = id.len() >= UNIQUE_RESPONSE_ID_BYTES || id.starts_with(ANTHROPIC_ID_PREFIX);
    // The messages of these calls are log records, which name only the span.
    let has_messages_in_logs = facts.ruled.messages_in_logs;
    (unique && !has_messages_in_logs).then_some(id)
}

/// The `id` in a recorded response of the client or of LangChain.
fn recorded_response_id(output: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct RecordedResponse<'a> {
        #[serde(borrow)]
        id: Option<Cow<'a, str>>,
        generations: Option<Value>,
    }
    if !output.starts_with('{') || !output.contains("\"id\"") {
        return None;
    }
    let response: RecordedResponse<'_> = serde_json::from_str(output).ok()?;
    if let Some(id) = response.id {
        return Some(id.into_owned());
    }
    let kwargs = "/0/0/message/kwargs";
    let pointers = [
        format!("{kwargs}/response_metadata/id"),
        format!("{kwargs}/id"),
    ];
    let generations = response.generations?;
    let ids = pointers
        .iter()
        .filter_map(|pointer| generations.pointer(pointer)?.as_str());
    // Only provider ids: no other view has LangChain's own ids ("lc_run-…").
    let provider_prefixes = ["chatcmpl-", "resp_", "msg_", "gen-"];
    ids.into_iter()
        .find(|id| {
            provider_prefixes
                .iter()
                .any(|prefix| id.starts_with(prefix))
        })
        .map(str::to_owned)
}
