//! What a batch writes, by table and by pass.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::observed::ObservedFields;
use crate::event::{
    ApprovalDecided, ApprovalRequested, Message, RunEnded, RunStarted, SessionUpsert, StepAliased,
    Timestamp, TokenCount,
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

/// What one pass says about one run: at most one start and one end.
#[derive(Debug, Default)]
pub struct RunPatch<'a> {
    /// The run.
    pub id: Uuid,
    /// Its start.
    pub start: Option<PlannedEvent<'a, RunStarted>>,
    /// Its end.
    pub end: Option<PlannedEvent<'a, RunEnded>>,
    /// Positions of its heartbeats.
    pub heartbeats: Vec<usize>,
    /// What its observations say.
    pub observed: ObservedFields<'a>,
    /// The greatest event time of its start, end and heartbeats.
    pub alive_at: Option<Timestamp>,
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
    /// Position of the start, position of the end.
    pub events: [Option<usize>; 2],
}

/// Rows of the tables that take COPY.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct PlannedRows<'a> {
    pub steps: Vec<StepRow<'a>>,
    pub messages: Vec<PlannedEvent<'a, Message>>,
    pub token_counts: Vec<PlannedEvent<'a, TokenCount>>,
}

/// A request for approval, or a decision on one.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum ApprovalPatch<'a> {
    Requested(PlannedEvent<'a, ApprovalRequested>),
    Decided(PlannedEvent<'a, ApprovalDecided>),
}

impl ApprovalPatch<'_> {
    /// The approval.
    #[must_use]
    pub fn id(&self) -> Uuid {
        match self {
            Self::Requested(planned) => planned.event.approval_id,
            Self::Decided(planned) => planned.event.approval_id,
        }
    }

    /// The approval's run.
    #[must_use]
    pub fn run_id(&self) -> Option<Uuid> {
        match self {
            Self::Requested(planned) => planned.event.run_id,
            Self::Decided(planned) => planned.event.run_id,
        }
    }

    /// The approval's session.
    #[must_use]
    pub fn session_id(&self) -> Option<Uuid> {
        match self {
            Self::Requested(planned) => planned.event.session_id,
            Self::Decided(planned) => planned.event.session_id,
        }
    }

    /// Position in the batch.
    #[must_use]
    pub fn index(&self) -> usize {
        match self {
            Self::Requested(planned) => planned.index,
            Self::Decided(planned) => planned.index,
        }
    }
}

/// Everything that a batch writes.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    /// Every session that the batch names.
    pub sessions: HashMap<Uuid, SessionRef>,
    /// Session upserts, by pass.
    pub session_passes: Vec<Vec<PlannedEvent<'a, SessionUpsert>>>,
    /// For each run that a tenant event names: the customer who owns it if it is new.
    pub run_tenants: HashMap<Uuid, Uuid>,
    /// Every run that the batch touches, sorted.
    pub runs: Vec<Uuid>,
    /// Starts, ends, heartbeats and observations, by pass.
    pub run_passes: Vec<Vec<RunPatch<'a>>>,
    /// Rows that are believed to be new.
    pub appends: PlannedRows<'a>,
    /// Rows to merge, by pass.
    pub merges: Vec<PlannedRows<'a>>,
    /// Requests and decisions, by pass.
    pub approval_passes: Vec<Vec<ApprovalPatch<'a>>>,
    /// Step aliases, by pass.
    pub alias_passes: Vec<Vec<PlannedEvent<'a, StepAliased>>>,
    /// Runs with an event that aliases may affect, sorted. A run that only aliases name
    /// is in this list but not in `runs`.
    pub bridged_runs: Vec<Uuid>,
    /// Events that need no row of their own: their position, and the position of the
    /// event that decides their outcome. If that event is refused, they are refused too;
    /// otherwise they are duplicates.
    pub superseded: Vec<(usize, usize)>,
}

impl Plan<'_> {
    /// The runs that the batch ends.
    #[must_use]
    pub fn ends(&self) -> HashSet<Uuid> {
        let patches = self.run_passes.iter().flatten();
        let ends = patches.filter(|patch| patch.end.is_some());
        ends.map(|patch| patch.id).collect()
    }

    /// The number of passes: how often the most repeated id occurs.
    #[must_use]
    pub fn passes(&self) -> usize {
        [
            self.session_passes.len(),
            self.run_passes.len(),
            self.merges.len(),
            self.approval_passes.len(),
            self.alias_passes.len(),
        ]
        .into_iter()
        .max()
        .unwrap_or(0)
    }
}

/// The rows of a pass, which is added if it does not exist yet.
pub(super) fn at_pass<T: Default>(passes: &mut Vec<T>, pass: usize) -> &mut T {
    if passes.len() <= pass {
        passes.resize_with(pass + 1, T::default);
    }
    &mut passes[pass]
}
