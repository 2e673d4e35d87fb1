//! Events of runs and sessions that were deleted. They are ignored: they must not bring back
//! what somebody wanted gone.
//!
//! Only a batch that names such a run or session is told so, and starts again without its
//! events. So all other batches pay for no more than a look beside statements that they need
//! anyway.

use std::collections::HashSet;

use sqlx::PgConnection;
use uuid::Uuid;

use super::error::BatchError;
use super::run_totals::RunTotalsCache;
use super::write::{WrittenBatch, write_batch};
use crate::event::{Event, Refusal, RefusalCode};
use crate::store::outcome::EventOutcome;
use crate::store::plan::Rung;

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

    /// Adds the runs that events want to make in an erased session. From now on they are gone too:
    /// other events of them may not name the session.
    async fn with_new_runs(
        &self,
        conn: &mut PgConnection,
        events: &[&Event],
    ) -> Result<Self, sqlx::Error> {
        let mut gone = self.clone();
        let is_in_session = |event: &&&Event| {
            let session = event.session_id();
            session.is_some_and(|session| self.sessions.contains(&session))
        };
        let runs = events.iter().filter(is_in_session);
        let mut runs: Vec<Uuid> = runs.filter_map(|event| event.run_id()).collect();
        runs.sort_unstable();
        runs.dedup();
        if !runs.is_empty() {
            let made: Vec<Uuid> = sqlx::query_scalar(include_str!("../sql/bury_new_runs.sql"))
                .bind(runs)
                .fetch_all(conn)
                .await?;
            gone.runs.extend(made);
        }
        Ok(gone)
    }

    fn len(&self) -> usize {
        self.runs.len() + self.sessions.len()
    }

    fn names(&self, event: &Event) -> bool {
        let is_in = |ids: &HashSet<Uuid>, id: Option<Uuid>| id.is_some_and(|id| ids.contains(&id));
        is_in(&self.runs, event.run_id()) || is_in(&self.sessions, event.session_id())
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
    let gone = &gone.with_new_runs(conn, events).await?;
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

/// Why runs were not inserted: they were deleted, or somebody else has inserted them.
pub(super) async fn why_not_inserted(
    conn: &mut PgConnection,
    runs: &[Uuid],
) -> Result<BatchError, sqlx::Error> {
    let gone: Vec<Uuid> = sqlx::query_scalar(include_str!("../sql/gone_runs.sql"))
        .bind(runs)
        .fetch_all(conn)
        .await?;
    let gone = GoneIds::of_runs(gone).none();
    Ok(gone.err().unwrap_or(BatchError::MissingRow))
}
