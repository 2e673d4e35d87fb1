//! Events of runs and sessions that were deleted. They are ignored: they must not bring back
//! what somebody wanted gone.
//!
//! Only a batch that names such a run or session is told so, and starts again without its
//! events. So all other batches pay for no more than a look beside statements that they need
//! anyway.

use std::collections::HashSet;

use sqlx::PgConnection;
use uuid::{NonNilUuid, Uuid};

use super::error::BatchError;
use super::run_totals::RunTotalsCache;
use super::write::{WrittenBatch, write_batch};
use crate::event::{Event, EventBody, Refusal, RefusalCode};
use crate::store::outcome::EventOutcome;
use crate::store::plan::{RunPatch, Rung};

/// Runs and sessions that were deleted.
#[derive(Clone, Debug, Default)]
pub struct GoneIds {
    runs: HashSet<Uuid>,
    sessions: HashSet<Uuid>,
}

impl GoneIds {
    pub(super) fn of_runs(runs: impl IntoIterator<Item = Uuid>) -> Self {
        Self {
            runs: runs.into_iter().collect(),
            sessions: HashSet::new(),
        }
    }

    pub(super) fn of_sessions(sessions: impl IntoIterator<Item = Uuid>) -> Self {
        Self {
            runs: HashSet::new(),
            sessions: sessions.into_iter().collect(),
        }
    }

    /// Adds others. Returns whether one of them is new.
    pub fn add(&mut self, others: &Self) -> bool {
        let before = self.len();
        self.runs.extend(&others.runs);
        self.sessions.extend(&others.sessions);
        self.len() > before
    }

    /// `Ok` if there are none.
    pub(super) fn none(self) -> Result<(), BatchError> {
        match self.len() {
            0 => Ok(()),
            _ => Err(BatchError::Gone(Box::new(self))),
        }
    }

    /// Adds the runs that events start in an erased session or below an erased run, and the runs
    /// below those. From now on they are gone too: other events of them may name neither.
    async fn with_started(
        &self,
        conn: &mut PgConnection,
        events: &[&Event],
    ) -> Result<Self, sqlx::Error> {
        let mut gone = self.clone();
        let starts = events.iter().filter(|event| self.names(event));
        let starts: Vec<StartedRun> = starts.filter_map(|e| StartedRun::of(e)).collect();
        if !starts.is_empty() {
            let buried: Vec<Uuid> = sqlx::query_scalar(include_str!("../sql/bury_runs.sql"))
                .bind(starts.iter().map(|start| start.run).collect::<Vec<_>>())
                .bind(starts.iter().map(|s| s.session).collect::<Vec<_>>())
                .bind(starts.iter().map(|s| s.parent).collect::<Vec<_>>())
                .bind(starts.iter().map(|s| s.tenant).collect::<Vec<_>>())
                .bind(starts.iter().map(|s| s.customer).collect::<Vec<_>>())
                .fetch_all(conn)
                .await?;
            gone.runs.extend(buried);
        }
        Ok(gone)
    }

    fn len(&self) -> usize {
        self.runs.len() + self.sessions.len()
    }

    pub(super) fn has_run(&self, run: Uuid) -> bool {
        self.runs.contains(&run)
    }

    /// Whether an event names one of them.
    pub(super) fn names(&self, event: &Event) -> bool {
        let is_in = |ids: &HashSet<Uuid>, id: Option<Uuid>| id.is_some_and(|id| ids.contains(&id));
        is_in(&self.runs, event.run_id()) || is_in(&self.sessions, event.session_id())
    }
}

/// What an event says about where its run belongs.
struct StartedRun {
    run: Uuid,
    session: Option<Uuid>,
    parent: Option<Uuid>,
    tenant: Option<Uuid>,
    customer: Option<Uuid>,
}

impl StartedRun {
    /// `None` if the event says nothing about that: a message may be in another session than its
    /// run.
    fn of(event: &Event) -> Option<Self> {
        let (parent, customer) = match &event.body {
            EventBody::RunStarted(start) => (start.parent_run_id, start.customer_id),
            EventBody::RunObserved(_) => (None, None),
            _ => return None,
        };
        Some(Self {
            run: event.run_id()?,
            session: event.session_id(),
            parent,
            tenant: event.tenant.map(NonNilUuid::get),
            customer,
        })
    }
}

/// Writes a batch into an open transaction, without the events of runs and sessions that are
/// known to be gone.
///
/// # Errors
/// After an error the caller must roll the transaction back. [`BatchError::Gone`]: more of them
/// are gone.
pub async fn write_unless_gone(
    conn: &mut PgConnection,
    events: &[&Event],
    gone: &GoneIds,
    rung: Rung,
    run_timeout_ms: i64,
    cache: &mut RunTotalsCache,
) -> Result<WrittenBatch, BatchError> {
    if gone.len() == 0 {
        return write_batch(conn, events, rung, run_timeout_ms, cache).await;
    }
    let gone = &gone.with_started(conn, events).await?;
    let (positions, kept): (Vec<usize>, Vec<&Event>) = events
        .iter()
        .enumerate()
        .filter(|(_, event)| !gone.names(event))
        .map(|(position, event)| (position, *event))
        .unzip();
    let written = write_batch(conn, &kept, rung, run_timeout_ms, cache).await;
    let mut written = written
        .map_err(|error| error.in_batch(|kept| positions.get(kept).map_or(kept, |at| *at)))?;
    let mut outcomes = vec![ignored(); events.len()];
    for (position, outcome) in positions.into_iter().zip(written.outcomes) {
        outcomes[position] = outcome;
    }
    written.outcomes = outcomes;
    Ok(written)
}

fn ignored() -> EventOutcome {
    let reason = "the run or session was deleted";
    EventOutcome::Ignored(Refusal::new(RefusalCode::RunGone, reason))
}

/// Why runs were not inserted: they or their parents were deleted, or somebody else has inserted
/// them.
pub(super) async fn why_not_inserted(
    conn: &mut PgConnection,
    runs: &[&RunPatch<'_>],
) -> Result<BatchError, sqlx::Error> {
    let parent = |run: &&RunPatch<'_>| run.start.and_then(|start| start.event.parent_run_id);
    let gone: Vec<Uuid> = sqlx::query_scalar(include_str!("../sql/gone_runs.sql"))
        .bind(runs.iter().map(|run| run.id).collect::<Vec<_>>())
        .bind(runs.iter().map(parent).collect::<Vec<_>>())
        .fetch_all(conn)
        .await?;
    let gone = GoneIds::of_runs(gone).none();
    Ok(gone.err().unwrap_or(BatchError::MissingRow))
}
