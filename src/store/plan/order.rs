//! The order of events that contradict each other, and the contest for the winner.
//!
//! Each key compares as the `record_gt` of the merging statement does: column by column,
//! NULL above all values, text by its bytes, JSON by the text of `jsonb`. A key and its
//! statement must change together; `tests/suite/order.rs` compares them.

use std::cell::OnceCell;
use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;

use uuid::Uuid;

use super::types::PlannedEvent;
use crate::event::{
    ApprovalDecided, ApprovalRequested, ApprovalStatus, FiniteNumber, Json, JsonbText, Message,
    RunEnded, RunEndedBy, RunStarted, Score, StepDetails, StepEnded, Timestamp, TokenCount,
};

/// A value that may be NULL, which is above all values.
pub type Nullable<T> = (bool, Option<T>);

pub fn nullable<T>(value: Option<T>) -> Nullable<T> {
    (value.is_none(), value)
}

fn text(value: &Option<String>) -> Nullable<&str> {
    nullable(value.as_deref())
}

/// JSON, ordered by the text of `jsonb`. The text is made once, when it is needed.
#[derive(Debug)]
pub struct JsonKey<'a> {
    json: Option<&'a Json>,
    /// Members that only the daemon sets. Without them, an empty object is NULL.
    reserved: &'static [&'static str],
    text: OnceCell<Option<JsonbText>>,
}

impl<'a> JsonKey<'a> {
    fn new(json: &'a Option<Json>) -> Self {
        Self::without(json, &[])
    }

    pub fn without(json: &'a Option<Json>, reserved: &'static [&'static str]) -> Self {
        Self {
            json: json.as_ref(),
            reserved,
            text: OnceCell::new(),
        }
    }

    fn text(&self) -> Nullable<&JsonbText> {
        let text = self.text.get_or_init(|| match self.reserved {
            [] => self.json.map(JsonbText::of),
            reserved => JsonbText::without(self.json?, reserved),
        });
        nullable(text.as_ref())
    }
}

impl Ord for JsonKey<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.json == other.json {
            return Ordering::Equal;
        }
        self.text().cmp(&other.text())
    }
}

impl PartialOrd for JsonKey<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for JsonKey<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for JsonKey<'_> {}

/// A start of a run: time, session, parent, customer, agent id and type, name, input,
/// metadata, timeout.
pub type RunStartKey<'a> = (
    Timestamp,
    [Nullable<Uuid>; 3],
    &'a str,
    &'a str,
    Nullable<&'a str>,
    Nullable<&'a str>,
    JsonKey<'a>,
    Nullable<i64>,
);

pub fn run_start<'a>(planned: &PlannedEvent<'a, RunStarted>) -> RunStartKey<'a> {
    let e = planned.event;
    (
        planned.time,
        [e.session_id, e.parent_run_id, e.customer_id].map(nullable),
        &e.agent_id,
        &e.agent_type,
        text(&e.name),
        text(&e.input),
        JsonKey::without(&e.metadata, &["unresolved_customer_id"]),
        nullable(e.timeout_ms),
    )
}

/// An end of a run: whether a client ended it, time, status, output, error, reported
/// tokens, metadata.
pub type RunEndKey<'a> = (
    bool,
    Timestamp,
    &'static str,
    Nullable<&'a str>,
    Nullable<&'a str>,
    [Nullable<i32>; 2],
    JsonKey<'a>,
);

pub fn run_end<'a>(planned: &PlannedEvent<'a, RunEnded>) -> RunEndKey<'a> {
    let e = planned.event;
    (
        e.by == RunEndedBy::Client,
        planned.time,
        e.status.as_str(),
        text(&e.output),
        text(&e.error),
        [e.reported_tokens_input, e.reported_tokens_output].map(nullable),
        JsonKey::new(&e.metadata),
    )
}

/// Details of a step: view, time, type, kind, name, parent, model, input, metadata,
/// whether the parent may be an alias.
pub type DetailsKey<'a> = (
    i16,
    Timestamp,
    &'static str,
    [Nullable<&'a str>; 2],
    Nullable<Uuid>,
    Nullable<&'a str>,
    [JsonKey<'a>; 2],
    bool,
);

pub fn step_details(view: i16, time: Timestamp, details: &StepDetails) -> DetailsKey<'_> {
    (
        view,
        time,
        details.step_type.as_str(),
        [text(&details.kind), text(&details.name)],
        nullable(details.parent_step_id),
        text(&details.model),
        [&details.input, &details.metadata].map(JsonKey::new),
        details.parent_may_be_alias && details.parent_step_id.is_some(),
    )
}

/// An end of a step: view, time, status, output, error, reported duration.
pub type StepEndKey<'a> = (
    i16,
    Timestamp,
    &'static str,
    JsonKey<'a>,
    Nullable<&'a str>,
    Nullable<i32>,
);

pub fn step_end<'a>(planned: &PlannedEvent<'a, StepEnded>) -> StepEndKey<'a> {
    let e = planned.event;
    (
        e.view,
        planned.time,
        e.status.as_str(),
        JsonKey::new(&e.output),
        text(&e.error),
        nullable(e.duration_ms),
    )
}

/// A message. Sightings are below all others, and the least one wins.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageKey<'a> {
    /// A message of a history.
    Sighting(Reverse<SightingKey<'a>>),
    /// Time, content, step, sequence number.
    Told(Timestamp, ContentKey<'a>, Nullable<Uuid>, Nullable<i64>),
}

/// Time, run and step, content, sequence number.
type SightingKey<'a> = (
    Timestamp,
    [Nullable<Uuid>; 2],
    ContentKey<'a>,
    Nullable<i64>,
);

/// Session, role, content and thinking, tool calls and metadata.
type ContentKey<'a> = (
    Nullable<Uuid>,
    &'static str,
    [Nullable<&'a str>; 2],
    [JsonKey<'a>; 2],
);

pub fn message<'a>(planned: &PlannedEvent<'a, Message>) -> MessageKey<'a> {
    let (time, e) = (planned.time, planned.event);
    let content = (
        nullable(e.session_id),
        e.role.as_str(),
        [text(&e.content), text(&e.thinking)],
        [&e.tool_calls, &e.metadata].map(JsonKey::new),
    );
    let seq = nullable(e.seq);
    if e.sighting {
        let ids = [e.run_id, e.step_id].map(nullable);
        MessageKey::Sighting(Reverse((time, ids, content, seq)))
    } else {
        MessageKey::Told(time, content, nullable(e.step_id), seq)
    }
}

/// A token count: time, step, model, the counts, whether it is a roll-up.
pub type TokenCountKey<'a> = (
    Timestamp,
    Nullable<Uuid>,
    Nullable<&'a str>,
    [Nullable<i32>; 5],
    bool,
);

pub fn token_count<'a>(planned: &PlannedEvent<'a, TokenCount>) -> TokenCountKey<'a> {
    let e = planned.event;
    let counts = [e.input, e.output, e.cache_read, e.cache_write, e.reasoning];
    (
        planned.time,
        nullable(e.step_id),
        text(&e.model),
        counts.map(nullable),
        e.rollup,
    )
}

/// A score: time, step, value, name, label, comment and source, metadata.
pub type ScoreKey<'a> = (
    Timestamp,
    Nullable<Uuid>,
    Nullable<FiniteNumber>,
    &'a str,
    [Nullable<&'a str>; 3],
    JsonKey<'a>,
);

pub fn score<'a>(planned: &PlannedEvent<'a, Score>) -> ScoreKey<'a> {
    let e = planned.event;
    (
        planned.time,
        nullable(e.step_id),
        nullable(e.value),
        &e.name,
        [text(&e.label), text(&e.comment), text(&e.source)],
        JsonKey::new(&e.metadata),
    )
}

/// A request: time, session and step, action type, description, data, expiry.
pub type RequestKey<'a> = (
    Timestamp,
    [Nullable<Uuid>; 2],
    &'a str,
    Nullable<&'a str>,
    JsonKey<'a>,
    Nullable<Timestamp>,
);

pub fn request<'a>(planned: &PlannedEvent<'a, ApprovalRequested>) -> RequestKey<'a> {
    let e = planned.event;
    (
        planned.time,
        [e.session_id, e.step_id].map(nullable),
        &e.action_type,
        text(&e.action_description),
        JsonKey::new(&e.action_data),
        nullable(e.expires_at),
    )
}

/// A decision: time, rank of the status, by whom, notes.
pub type DecisionKey<'a> = (Timestamp, u8, Nullable<Uuid>, Nullable<&'a str>);

pub fn decision<'a>(planned: &PlannedEvent<'a, ApprovalDecided>) -> DecisionKey<'a> {
    let e = planned.event;
    let rank = match e.status {
        ApprovalStatus::Expired => 1,
        ApprovalStatus::Approved => 2,
        ApprovalStatus::Rejected => 3,
    };
    (planned.time, rank, nullable(e.decided_by), text(&e.notes))
}

/// Keeps the winner of each row when the batch has several events for the row.
///
/// A row with one event, which most rows are, has no key.
#[derive(Debug)]
pub struct Contest<K> {
    /// The key of the winner, by row.
    keys: HashMap<usize, K>,
    /// Position of each loser, with its row.
    losers: Vec<(usize, usize)>,
}

impl<K> Default for Contest<K> {
    fn default() -> Self {
        Self {
            keys: HashMap::new(),
            losers: Vec::new(),
        }
    }
}

impl<K: Ord> Contest<K> {
    /// Replaces the winner of a row if the new event wins over it. Of equal events the
    /// first one wins.
    pub fn enter<'a, T>(
        &mut self,
        row: usize,
        winner: &mut PlannedEvent<'a, T>,
        new: PlannedEvent<'a, T>,
        key: impl Fn(&PlannedEvent<'a, T>) -> K,
    ) {
        let new_key = key(&new);
        let key = self.keys.entry(row).or_insert_with(|| key(winner));
        let loser = if new_key > *key {
            *key = new_key;
            std::mem::replace(winner, new)
        } else {
            new
        };
        self.losers.push((loser.index, row));
    }

    /// The losers, each with its row.
    pub fn into_losers(self) -> Vec<(usize, usize)> {
        self.losers
    }
}

/// Keeps the least time and the position of its event.
pub fn keep_earliest(
    earliest: &mut Option<(Timestamp, usize)>,
    time: Option<Timestamp>,
    index: usize,
) {
    let new = time.map(|time| (time, index));
    *earliest = match (*earliest, new) {
        (Some(old), Some(new)) => Some(old.min(new)),
        (old, new) => old.or(new),
    };
}
