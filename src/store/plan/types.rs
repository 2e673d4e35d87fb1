//! What a batch writes, by table.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::observed::ObservedFields;
use crate::event::{
    ApprovalDecided, ApprovalRequested, Event, EventBody, Message, RunEnded, RunStarted, Score,
    SessionUpsert, StepAliased, Timestamp, TokenCount,
};
use crate::store::encode::rows::StepPart;

/// A rung of the write ladder that a batch can be planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// COPY new rows straight into their tables.
    Append,
    /// Merge all rows.
    Merge,
}

/// An event with its position in the batch and its time.
#[derive(Debug)]
pub struct PlannedEvent<'a, T> {
    /// Position in the batch.
    pub index: usize,
    /// The event's time.
    pub time: Timestamp,
    /// The event.
    pub event: &'a T,
}

// Derived impls would require `T: Copy`.
impl<T> Clone for PlannedEvent<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for PlannedEvent<'_, T> {}

/// A session that the batch names.
#[derive(Clone, Copy, Debug)]
pub struct SessionRef {
    /// The least time of the events that name it.
    pub at: Timestamp,
    /// Whether the batch also upserts it.
    pub upsert: bool,
    /// The customer who owns the session if it is new.
    pub tenant: Option<Uuid>,
}

/// What a batch says about one run.
#[derive(Debug, Default)]
pub struct RunPatch<'a> {
    /// The run.
    pub id: Uuid,
    /// The start that wins.
    pub start: Option<PlannedEvent<'a, RunStarted>>,
    /// The least time of all its starts, and the position of that start.
    pub started: Option<(Timestamp, usize)>,
    /// The end that wins.
    pub end: Option<PlannedEvent<'a, RunEnded>>,
    /// The least start that its ends report, and the position of that end.
    pub root_started: Option<(Timestamp, usize)>,
    /// Positions of its heartbeats.
    pub heartbeats: Vec<usize>,
    /// What its observations say.
    pub observed: ObservedFields<'a>,
    /// The greatest event time of its starts, ends and heartbeats.
    pub alive_at: Option<Timestamp>,
}

/// The fields of a session, each merged by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SessionField {
    Customer,
    User,
    Title,
    ExternalId,
    Metadata,
}

impl SessionField {
    /// All fields, in the order of the column `merge_times`.
    pub const ALL: [Self; 5] = [
        Self::Customer,
        Self::User,
        Self::Title,
        Self::ExternalId,
        Self::Metadata,
    ];
}

/// What a batch says about one session.
#[derive(Debug)]
pub struct SessionPatch<'a> {
    /// The session.
    pub id: Uuid,
    /// The latest upsert.
    pub latest: PlannedEvent<'a, SessionUpsert>,
    /// For each field the upsert that wins.
    pub fields: [Option<PlannedEvent<'a, SessionUpsert>>; SessionField::ALL.len()],
}

impl<'a> SessionPatch<'a> {
    /// The upsert that sets a field.
    #[must_use]
    pub fn winner(&self, field: SessionField) -> Option<PlannedEvent<'a, SessionUpsert>> {
        self.fields[field as usize]
    }

    /// Positions of the upserts that the session shows.
    pub fn contributors(&self) -> impl Iterator<Item = usize> {
        let fields = self.fields.iter().flatten();
        fields.chain([&self.latest]).map(|upsert| upsert.index)
    }
}

/// A step's row and the positions of the events that make it.
#[derive(Clone, Copy, Debug)]
pub struct StepRow<'a> {
    /// The step's run.
    pub run_id: Uuid,
    /// The step.
    pub id: Uuid,
    /// Its start, its end, or both.
    pub part: StepPart<'a>,
    /// Positions of the start, the end, and the event with the least start if that is
    /// neither.
    pub events: [Option<usize>; 3],
}

/// Rows of the tables that take COPY.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct PlannedRows<'a> {
    pub steps: Vec<StepRow<'a>>,
    pub messages: Vec<PlannedEvent<'a, Message>>,
    pub token_counts: Vec<PlannedEvent<'a, TokenCount>>,
    pub scores: Vec<PlannedEvent<'a, Score>>,
}

/// What a batch says about one approval.
#[derive(Clone, Copy, Debug)]
pub struct ApprovalPatch<'a> {
    /// The approval.
    pub id: Uuid,
    /// Its run.
    pub run_id: Option<Uuid>,
    /// Its session: that of the request or, without a request, the greatest one that a
    /// decision names.
    pub session_id: Option<Uuid>,
    /// The request that wins.
    pub request: Option<PlannedEvent<'a, ApprovalRequested>>,
    /// The decision that wins.
    pub decision: Option<PlannedEvent<'a, ApprovalDecided>>,
    /// Position of the decision that names the session, if there is no request.
    pub session_from: Option<usize>,
}

/// What a batch says about one alias.
#[derive(Clone, Copy, Debug)]
pub struct AliasPatch<'a> {
    /// The alias with the greatest target.
    pub target: PlannedEvent<'a, StepAliased>,
    /// The alias with the root whose end wins.
    pub root_end: Option<PlannedEvent<'a, StepAliased>>,
    /// The alias with the root whose start and name win.
    pub root_start: Option<PlannedEvent<'a, StepAliased>>,
}

impl AliasPatch<'_> {
    /// Positions of the events that the alias shows.
    pub fn contributors(&self) -> impl Iterator<Item = usize> {
        let roots = [self.root_end, self.root_start];
        let events = roots.into_iter().flatten().chain([self.target]);
        events.map(|alias| alias.index)
    }
}

/// The most rows of one step in [`Plan::more_steps`].
pub const MORE_ENDS: usize = 3;

/// Everything that a batch writes: one row for each id, whatever the batch repeats.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    /// Every session that the batch names.
    pub sessions: HashMap<Uuid, SessionRef>,
    /// Session upserts.
    pub session_patches: Vec<SessionPatch<'a>>,
    /// For each run that a tenant event names: the customer who owns it if it is new.
    pub run_tenants: HashMap<Uuid, Uuid>,
    /// Every run that the batch touches, sorted, but for `scored_runs`.
    pub runs: Vec<Uuid>,
    /// The runs of scores, sorted. A score changes nothing of a run that exists: it is no
    /// sign of life, and no total counts it.
    pub scored_runs: Vec<Uuid>,
    /// Starts, ends, heartbeats and observations.
    pub run_patches: Vec<RunPatch<'a>>,
    /// Rows that are believed to be new.
    pub appends: PlannedRows<'a>,
    /// Rows to merge.
    pub merges: PlannedRows<'a>,
    /// Further ends of steps, to merge one list after the other. A step shows parts of up
    /// to four ends: the details and the end that win, and those of a lesser view.
    pub more_steps: [Vec<StepRow<'a>>; MORE_ENDS],
    /// Requests and decisions.
    pub approvals: Vec<ApprovalPatch<'a>>,
    /// Step aliases.
    pub aliases: Vec<AliasPatch<'a>>,
    /// Runs with an event that aliases may affect, sorted. A run that only aliases name
    /// is in this list but not in `runs`.
    pub bridged_runs: Vec<Uuid>,
    /// Events that another event of the batch stands over: their position, and the
    /// position of the event that decides their outcome. If that event is refused, they
    /// are refused too; otherwise they are duplicates.
    pub superseded: Vec<(usize, usize)>,
    /// Events whose id the batch gave to another run or session before. They are right
    /// only if the stored row is theirs.
    pub contested: Vec<(usize, &'a Event)>,
}

impl<'a> Plan<'a> {
    /// The runs that the batch ends.
    #[must_use]
    pub fn ends(&self) -> HashSet<Uuid> {
        let ends = self.run_patches.iter().filter(|patch| patch.end.is_some());
        ends.map(|patch| patch.id).collect()
    }

    /// The ids of steps and token counts to merge.
    #[must_use]
    pub fn merged_ids(&self) -> Vec<Uuid> {
        let counts = self.merges.token_counts.iter();
        let contested = self.contested.iter();
        let contested = contested.filter_map(|(_, event)| match &event.body {
            EventBody::StepStarted(event) => Some(event.step_id),
            EventBody::StepEnded(event) => Some(event.step_id),
            EventBody::TokenCount(event) => Some(event.token_count_id),
            _ => None,
        });
        self.merged_steps()
            .map(|row| row.id)
            .chain(counts.map(|row| row.event.token_count_id))
            .chain(contested)
            .collect()
    }

    /// The steps to merge.
    pub fn merged_steps(&self) -> impl Iterator<Item = &StepRow<'a>> {
        let lists = [&self.merges.steps].into_iter().chain(&self.more_steps);
        lists.flatten()
    }
}
