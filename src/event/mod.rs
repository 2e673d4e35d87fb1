//! The domain: plain, validated events. No IO, no protobuf, no SQL.
//!
//! The endpoints decode every protocol into these types, and all later stages use them.
//! Ids are UUIDs, times fit Postgres, JSON is valid, and text holds no NUL.

mod contents;
mod fields;
mod json;
mod jsonb_text;
mod limits;
mod refusal;
mod score;
mod text;
mod time;
mod types;
mod weight;

pub use contents::{Content, ContentKind, ContentRule, CutValue};
pub use fields::EventField;
pub use json::{Json, JsonError, MAX_JSON_DEPTH};
pub use jsonb_text::JsonbText;
pub use limits::FieldLimits;
pub use refusal::{Refusal, RefusalCode};
pub use score::{FiniteNumber, Score};
pub use text::{Repairs, clean_text};
pub use time::{TimeOutOfRange, Timestamp};
pub use types::{
    AliasedRoot, ApprovalDecided, ApprovalRequested, ApprovalStatus, EndStatus, Event, EventBody,
    Heartbeat, Message, MessageRole, RunEnded, RunEndedBy, RunObserved, RunStarted, SessionUpsert,
    StepAliased, StepDetails, StepEnded, StepStarted, StepType, TokenCount,
};
