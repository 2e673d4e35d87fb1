//! The event types. `event.proto` documents the fields; comments here only add what
//! differs.

use uuid::{NonNilUuid, Uuid};

use super::json::Json;
use super::score::Score;
use super::time::Timestamp;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When it happened, by the client's clock.
    pub time: Timestamp,
    /// The only customer whose sessions and runs the event may touch. It comes from the
    /// tenant key of the request; clients cannot set it. `None`: any customer.
    pub tenant: Option<NonNilUuid>,
    /// What happened.
    pub body: EventBody,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // each variant is documented by its type
pub enum EventBody {
    SessionUpsert(SessionUpsert),
    RunStarted(RunStarted),
    RunEnded(RunEnded),
    Heartbeat(Heartbeat),
    StepStarted(StepStarted),
    StepEnded(StepEnded),
    Message(Message),
    TokenCount(TokenCount),
    ApprovalRequested(ApprovalRequested),
    ApprovalDecided(ApprovalDecided),
    RunObserved(RunObserved),
    StepAliased(StepAliased),
    Score(Score),
}

/// Creates or changes a session.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct SessionUpsert {
    pub session_id: Uuid,
    pub customer_id: Option<Uuid>,
    pub user_id: Option<Uuid>,
    pub title: Option<String>,
    pub external_id: Option<String>,
    pub metadata: Option<Json>,
}

/// A run started.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct RunStarted {
    pub run_id: Uuid,
    pub session_id: Option<Uuid>,
    pub parent_run_id: Option<Uuid>,
    pub customer_id: Option<Uuid>,
    pub agent_id: String,
    pub agent_type: String,
    pub name: Option<String>,
    pub input: Option<String>,
    pub metadata: Option<Json>,
    /// In milliseconds.
    pub timeout_ms: Option<i64>,
}

/// How a run or step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum EndStatus {
    Completed,
    Failed,
}

/// Who reported the end of a run. An end from the client outranks one from a root span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RunEndedBy {
    Client,
    RootSpan,
}

/// A run ended, at the event's time.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct RunEnded {
    pub run_id: Uuid,
    pub by: RunEndedBy,
    pub status: EndStatus,
    pub output: Option<String>,
    pub error: Option<String>,
    pub reported_tokens_input: Option<i32>,
    pub reported_tokens_output: Option<i32>,
    pub metadata: Option<Json>,
    pub started_at: Option<Timestamp>,
}

/// An observation: what a part of a run tells about the whole run.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct RunObserved {
    pub run_id: Uuid,
    pub rank: i32,
    pub session_id: Option<Uuid>,
    pub agent_id: Option<String>,
    pub agent_type: Option<String>,
    pub name: Option<String>,
    pub input: Option<String>,
    pub output: Option<String>,
    pub metadata: Option<Json>,
    pub outcome: Option<EndStatus>,
    pub error: Option<String>,
    pub customer: Option<String>,
    pub user: Option<String>,
    pub tags: Option<Json>,
}

/// A sign that a run is alive.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Heartbeat {
    pub run_id: Uuid,
}

/// The type of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StepType {
    Thinking,
    ToolCall,
    ToolResult,
    LlmCall,
    Handoff,
    Other,
}

/// The details of a step.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct StepDetails {
    pub step_type: StepType,
    pub kind: Option<String>,
    pub name: Option<String>,
    pub parent_step_id: Option<Uuid>,
    pub model: Option<String>,
    pub input: Option<Json>,
    pub metadata: Option<Json>,
    pub parent_may_be_alias: bool,
}

/// A step started, at the event's time.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct StepStarted {
    pub step_id: Uuid,
    pub run_id: Uuid,
    pub details: StepDetails,
}

/// A step ended, at the event's time.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct StepEnded {
    pub step_id: Uuid,
    pub run_id: Uuid,
    pub details: Option<StepDetails>,
    pub status: EndStatus,
    pub output: Option<Json>,
    pub error: Option<String>,
    pub started_at: Option<Timestamp>,
    pub duration_ms: Option<i32>,
    pub announced: bool,
    /// How complete the data is. 0: complete; the lower, the less complete.
    pub view: i16,
}

/// What an alias tells about the root of a trace.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct AliasedRoot {
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub status: EndStatus,
    pub error: Option<String>,
    pub name: String,
}

/// An alias: `alias_id`, which other events use as the id of a step, stands for another
/// step or for none.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct StepAliased {
    pub alias_id: Uuid,
    pub run_id: Uuid,
    pub step_id: Option<Uuid>,
    pub parent_step_id: Option<Uuid>,
    pub root: Option<AliasedRoot>,
}

/// The author of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MessageRole {
    User,
    Assistant,
    System,
    Tool,
}

/// A message. It belongs to a run, a session, or both.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Message {
    pub message_id: Uuid,
    pub run_id: Option<Uuid>,
    pub session_id: Option<Uuid>,
    pub step_id: Option<Uuid>,
    pub role: MessageRole,
    pub content: Option<String>,
    pub thinking: Option<String>,
    pub tool_calls: Option<Json>,
    pub metadata: Option<Json>,
    pub seq: Option<i64>,
    pub sighting: bool,
    pub believed_new: bool,
}

impl Message {
    /// Whether the row of the message is expected not to exist yet.
    #[must_use]
    pub fn is_believed_new(&self) -> bool {
        !self.sighting || self.believed_new
    }
}

/// Tokens were used.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct TokenCount {
    pub token_count_id: Uuid,
    pub run_id: Uuid,
    pub step_id: Option<Uuid>,
    pub model: Option<String>,
    pub input: Option<i32>,
    pub output: Option<i32>,
    pub cache_read: Option<i32>,
    pub cache_write: Option<i32>,
    pub reasoning: Option<i32>,
    pub rollup: bool,
}

/// A person was asked for approval. The approval belongs to a run, a session, or both.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct ApprovalRequested {
    pub approval_id: Uuid,
    pub run_id: Option<Uuid>,
    pub session_id: Option<Uuid>,
    pub step_id: Option<Uuid>,
    pub action_type: String,
    pub action_description: Option<String>,
    pub action_data: Option<Json>,
    pub expires_at: Option<Timestamp>,
}

/// The decision about an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ApprovalStatus {
    Approved,
    Rejected,
    Expired,
}

/// A person decided about an approval, at the event's time.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct ApprovalDecided {
    pub approval_id: Uuid,
    pub run_id: Option<Uuid>,
    pub session_id: Option<Uuid>,
    pub status: ApprovalStatus,
    pub decided_by: Option<Uuid>,
    pub notes: Option<String>,
}

macro_rules! names {
    ($type:ty { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// The name in the database.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

names!(EndStatus { Completed => "completed", Failed => "failed" });
names!(RunEndedBy { Client => "client", RootSpan => "root_span" });
names!(StepType {
    Thinking => "thinking",
    ToolCall => "tool_call",
    ToolResult => "tool_result",
    LlmCall => "llm_call",
    Handoff => "handoff",
    Other => "other",
});
names!(MessageRole {
    User => "user",
    Assistant => "assistant",
    System => "system",
    Tool => "tool",
});
names!(ApprovalStatus { Approved => "approved", Rejected => "rejected", Expired => "expired" });

// The tenant must not take more memory than an id.
const _: () = assert!(size_of::<Option<NonNilUuid>>() == size_of::<Uuid>());

impl Event {
    /// An event without a tenant: it may touch any customer.
    #[must_use]
    pub fn new(time: Timestamp, body: EventBody) -> Self {
        Self {
            time,
            tenant: None,
            body,
        }
    }

    /// Makes this a tenant event, and makes the customer in its body match.
    ///
    /// The store gives a new session its customer. So a session upsert carries none: the
    /// client's time would make it win over a later change of the session's customer. An
    /// observation carries none either: the run has its customer from its tenant. A
    /// run start carries the customer, because all its fields apply together.
    pub fn assign_tenant(&mut self, tenant: NonNilUuid) {
        self.tenant = Some(tenant);
        match &mut self.body {
            EventBody::SessionUpsert(e) => e.customer_id = None,
            EventBody::RunStarted(e) => e.customer_id = Some(tenant.get()),
            EventBody::RunObserved(e) => e.customer = None,
            _ => {}
        }
    }

    /// The run of the event, if any.
    #[must_use]
    pub fn run_id(&self) -> Option<Uuid> {
        match &self.body {
            EventBody::SessionUpsert(_) => None,
            EventBody::RunStarted(e) => Some(e.run_id),
            EventBody::RunEnded(e) => Some(e.run_id),
            EventBody::Heartbeat(e) => Some(e.run_id),
            EventBody::StepStarted(e) => Some(e.run_id),
            EventBody::StepEnded(e) => Some(e.run_id),
            EventBody::Message(e) => e.run_id,
            EventBody::TokenCount(e) => Some(e.run_id),
            EventBody::ApprovalRequested(e) => e.run_id,
            EventBody::ApprovalDecided(e) => e.run_id,
            EventBody::RunObserved(e) => Some(e.run_id),
            EventBody::StepAliased(e) => Some(e.run_id),
            EventBody::Score(e) => Some(e.run_id),
        }
    }

    /// Whether the event inserts a row that exists only if the event is a duplicate. False
    /// for an announced end and for a partial view of a step, whose rows usually exist, and
    /// for sightings, even those that are believed new.
    #[must_use]
    pub fn is_surely_new(&self) -> bool {
        match &self.body {
            EventBody::StepStarted(_) | EventBody::TokenCount(_) | EventBody::Score(_) => true,
            EventBody::StepEnded(e) => !e.announced && e.view == 0,
            EventBody::Message(e) => !e.sighting,
            _ => false,
        }
    }

    /// The session that the event names, if any.
    #[must_use]
    pub fn session_id(&self) -> Option<Uuid> {
        match &self.body {
            EventBody::SessionUpsert(e) => Some(e.session_id),
            EventBody::RunStarted(e) => e.session_id,
            EventBody::Message(e) => e.session_id,
            EventBody::ApprovalRequested(e) => e.session_id,
            EventBody::ApprovalDecided(e) => e.session_id,
            EventBody::RunObserved(e) => e.session_id,
            _ => None,
        }
    }
}
